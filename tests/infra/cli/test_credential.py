"""`keyrung credential` over a deployed stack: what it provisions, refuses, and does beside a running verifier."""

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from support.openbao import kill_server
from support.project import Project
from support.secrets import files, leaks
from support.serving import (
    LARGE_TRANSFER,
    application,
    challenge,
    check_one_sentence,
    enrol_app,
    events,
    log_report,
    question,
    serving,
    unused_code,
)
from support.softhsm import SoftHsmToken, make_token, pkcs11_tool

from keyrung_infra.cli.main import run
from keyrung_infra.step_up_client import StepUpClient, StepUpRefusedError
from keyrung_infra.tools import Tools
from keyrung_verifier.models import TokenSignatureOffer

Add = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def eves_token(tools: Tools, tmp_path: Path) -> SoftHsmToken:
    return make_token(tmp_path / "eve", tools)


@pytest.fixture
def add_token(deployed: Project, eves_token: SoftHsmToken) -> Add:
    """`keyrung credential add token eve`, with her token plugged in; named options may be changed."""

    def add(*more: str, check: bool = True, subject: str = "eve", **changes: str) -> subprocess.CompletedProcess[str]:
        settings = eves_token.settings()
        given = {"token": eves_token.label, "module": settings["pkcs11Module"], "pin": settings["pkcs11Pin"]} | changes
        options = ["--allow-software", *(part for name, value in given.items() for part in (f"--{name}", value))]
        return deployed.run(
            *("keyrung", "credential", "add", "token", subject, *options, *more),
            environment={"SOFTHSM2_CONF": str(eves_token.config)},
            check=check,
        )

    return add


CLICK_USAGE_ERROR = 2


def _list(project: Project, *subject: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(project.keyrung("credential", "list", *subject, "--json").stdout)[
        "credentials"
    ]
    return found


def test_an_app_is_added_listed_and_revoked_and_its_seed_shown_once(deployed: Project) -> None:
    shown = deployed.keyrung("credential", "add", "totp", "eve@example.org").stdout
    credential_id = shown.splitlines()[0].removeprefix("credential ")
    (uri,) = [line.strip() for line in shown.splitlines() if line.strip().startswith("otpauth://totp/")]
    assert urlsplit(uri).path == "/Keyrung:eve%40example.org"
    seed = parse_qs(urlsplit(uri).query)["secret"][0]

    header, line = deployed.keyrung("credential", "list").stdout.splitlines()
    assert header.split()[:4] == ["CREDENTIAL", "STATE", "KIND", "AGE"]
    assert line.split()[:3] == [credential_id, "active", "totp"]
    assert line.endswith("  -     generation 1  eve@example.org")
    assert [each["revoked_at"] for each in _list(deployed, "eve@example.org")] == [None]
    assert _list(deployed, "nobody") == []

    assert deployed.keyrung("credential", "revoke", credential_id).stdout == f"revoked {credential_id}\n"
    check_one_sentence(deployed.keyrung("credential", "revoke", credential_id, check=False), "revoked before")
    assert deployed.keyrung("credential", "list").stdout.splitlines()[1].split()[1] == "revoked"
    assert _list(deployed)[0]["revoked_at"] is not None
    check_one_sentence(deployed.keyrung("credential", "revoke", "--subject", "eve@example.org", check=False), "no open")
    assert deployed.keyrung("credential", "revoke", check=False).returncode == CLICK_USAGE_ERROR
    assert deployed.keyrung("credential", "revoke", "x", "--subject", "y", check=False).returncode == CLICK_USAGE_ERROR

    secrets = {"seed": seed.encode(), "seed, decoded": base64.b32decode(seed)}
    assert leaks(secrets, files(deployed.state / "verifier", deployed.state / "inventory.db")) == []
    assert events(deployed)[-2:] == ["credential.added", "credential.revoked"]
    assert log_report(deployed)["ok"]


def test_a_token_is_added_with_its_key_and_a_second_time_refused(
    deployed: Project, eves_token: SoftHsmToken, add_token: Add
) -> None:
    added = json.loads(add_token("--json").stdout)
    assert added["key"] == f"pkcs11:token={eves_token.label};object=step-up"
    assert (added["factor"], added["hardware"]) == ("token-signature-origin-bound", False)
    refused = add_token(check=False)
    check_one_sentence(refused, "registered already")
    # Not for somebody else either.
    check_one_sentence(add_token(subject="mallory", check=False), "registered already")
    assert [(each["credential_id"], each["subject"]) for each in _list(deployed)] == [(added["credential_id"], "eve")]
    assert pkcs11_tool(eves_token.layout, eves_token.label, "--list-objects").count("Private Key Object") == 1


def test_a_wrong_pin_is_one_sentence_and_the_right_one_works_afterwards(
    eves_token: SoftHsmToken, add_token: Add, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong-pin"
    wrong.write_text("918273645546\n")
    done = add_token(pin=f"file:{wrong}", check=False)
    check_one_sentence(done, f"the token '{eves_token.label}' refused the PIN")
    told = json.loads(add_token("--json", pin=f"file:{wrong}", check=False).stdout)
    assert "refused the PIN" in told["error"]["message"]
    assert "918273645546" not in done.stderr + json.dumps(told)
    assert add_token().stdout.startswith("credential ")


def test_what_is_missing_or_written_out_is_one_sentence_without_the_secret(
    deployed: Project, eves_token: SoftHsmToken, add_token: Add
) -> None:
    check_one_sentence(add_token(token="absent", check=False), "no PKCS#11 token labelled 'absent'")
    check_one_sentence(add_token(module="/absent.so", check=False), "/absent.so")
    check_one_sentence(add_token(pin="file:absent", check=False), "absent")
    done = add_token(pin=eves_token.pin, check=False)
    check_one_sentence(done)
    told = add_token("--json", pin=eves_token.pin, check=False)
    assert told.returncode == 1
    assert json.loads(told.stdout)["error"]["message"]
    assert eves_token.pin not in done.stderr + told.stdout + told.stderr
    check_one_sentence(deployed.keyrung("credential", "add", "totp", "a\nb", check=False), "subject")
    check_one_sentence(deployed.keyrung("credential", "revoke", "absent", check=False), "keyrung credential list")
    assert _list(deployed) == []


def test_a_terminal_gets_the_qr_code_and_a_pipe_the_text_alone(deployed: Project) -> None:
    keyrung = str(Path(sys.prefix, "bin", "keyrung"))
    shown = deployed.run("script", "-qec", f"{keyrung} credential add totp eve", "/dev/null").stdout
    assert "\u2588\u2588" in shown
    assert "otpauth://totp/Keyrung:eve" in shown
    piped = deployed.keyrung("credential", "add", "totp", "eve", "--issuer-name", "Sample Bank").stdout
    assert "\u2588" not in piped
    assert "otpauth://totp/Sample%20Bank:eve?" in piped
    check_one_sentence(
        deployed.keyrung("credential", "add", "totp", "eve", "--issuer-name", "a:b", check=False), "colon"
    )


def test_a_software_token_is_taken_only_where_that_is_said(
    deployed: Project, eves_token: SoftHsmToken, add_token: Add
) -> None:
    settings = eves_token.settings()
    refused = deployed.run(
        *("keyrung", "credential", "add", "token", "eve", "--token", eves_token.label),
        *("--module", settings["pkcs11Module"], "--pin", settings["pkcs11Pin"]),
        environment={"SOFTHSM2_CONF": str(eves_token.config)},
        check=False,
    )
    check_one_sentence(refused, "does not say that it is hardware", "--allow-software")
    assert _list(deployed) == []
    assert "hardware   no" in add_token().stdout


def test_a_ticket_is_issued_listed_and_revoked_and_its_secret_shown_once(deployed: Project) -> None:
    issued = deployed.keyrung("credential", "add", "webauthn", "eve", "--valid-for", "2h", "--json")
    ticket = json.loads(issued.stdout)
    secret = urlsplit(ticket["link"]).path.removeprefix("/enroll/")
    assert ticket["link"].startswith("https://localhost:")
    assert "no enrolment page yet" in issued.stderr

    (listed,) = _list(deployed, "eve")
    assert (listed["kind"], listed["state"], listed["credential_id"]) == ("ticket", "open", ticket["credential_id"])
    lives = datetime.fromisoformat(listed["expires_at"]) - datetime.fromisoformat(listed["created_at"])
    assert lives.total_seconds() == 2 * 3600

    deployed.keyrung("credential", "revoke", ticket["credential_id"])
    assert _list(deployed)[0]["state"] == "revoked"
    check_one_sentence(deployed.keyrung("credential", "revoke", ticket["credential_id"], check=False), "before")
    assert leaks({"ticket": secret.encode()}, files(deployed.state / "verifier", deployed.state / "inventory.db")) == []
    assert events(deployed)[-2:] == ["ticket.issued", "ticket.revoked"]
    assert log_report(deployed)["ok"]


@pytest.mark.parametrize("time", ["0m", "8d", "24", "1.5h", "-1h", "1w", ""])
def test_a_life_that_is_no_time_in_bounds_is_refused(time: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["credential", "add", "webauthn", "eve", f"--valid-for={time}"]) == 2
    assert "write for instance 24h" in capsys.readouterr().err


def test_a_vault_that_is_down_is_one_sentence_and_adds_nothing(deployed: Project) -> None:
    kill_server(deployed.stack.layout.openbao)
    check_one_sentence(deployed.keyrung("credential", "add", "totp", "eve", check=False), "keyrung dev up")
    assert _list(deployed) == []  # the list needs no key store
    deployed.stack.up()
    enrol_app(deployed, "eve")
    assert [each["subject"] for each in _list(deployed)] == ["eve"]
    assert log_report(deployed)["ok"]


def test_beside_a_running_verifier_each_change_counts_from_the_next_request_on(
    deployed: Project, add_token: Add
) -> None:
    client = StepUpClient(deployed.stack.layout.openbao.ca)
    with serving(deployed), application(deployed) as http:
        refused = http.post("/stepup/v1/challenges", json={**question("eve"), "request": {}})
        assert refused.status_code == 400
        with pytest.raises(AssertionError, match="unmet_authentication_requirements"):
            challenge(http, "eve")
        app_id, app = enrol_app(deployed, "eve")
        assert client.answer_code(challenge(http, "eve"), app.now())
        assert _list(deployed, "eve")[0]["last_used_at"] is not None
        with pytest.raises(StepUpRefusedError):
            client.answer_code(challenge(http, "eve"), "000000")
        assert _list(deployed, "eve")[0]["failures"] == 1

        uri = challenge(http, "eve")
        deployed.keyrung("credential", "revoke", app_id)
        with pytest.raises(StepUpRefusedError):
            client.answer_code(uri, unused_code(app))

        with pytest.raises(AssertionError, match="unmet_authentication_requirements"):
            challenge(http, "eve", "payments.transfer", **LARGE_TRANSFER)
        add_token()
        offered = client.challenge(challenge(http, "eve", "payments.transfer", **LARGE_TRANSFER))
        assert [type(each) for each in offered.factors] == [TokenSignatureOffer]
    client.close()
    assert log_report(deployed)["ok"]


def test_processes_that_change_one_store_at_once_leave_its_log_whole(deployed: Project) -> None:
    with serving(deployed), application(deployed) as http, ThreadPoolExecutor(8) as threads:
        adding = [threads.submit(enrol_app, deployed, f"person-{number}") for number in range(6)]
        asking = [threads.submit(http.post, "/access/v1/evaluation", json=question("eve")) for _ in range(60)]
        assert {future.result().status_code for future in asking} == {200}
        assert len({future.result()[0] for future in adding}) == 6
    assert log_report(deployed)["ok"]
    assert events(deployed).count("credential.added") == 6
    assert events(deployed).count("access.evaluated") == 60
