"""`keyrung serve` over a deployed stack: how it starts, ends, and what keeps it from starting."""

import json
import os
import signal
import socket
import sqlite3

import pytest
from support.deployment import pkcs11_tool
from support.openbao import kill_server
from support.project import Project
from support.serving import (
    START_SECONDS,
    application,
    check_one_sentence,
    events,
    log_report,
    question,
    seal,
    serving,
)

_KEY = "assertion-signing-local"


def test_a_taken_port_is_one_sentence(deployed: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (deployed.state / "verifier" / "address").write_text(f"https://localhost:{port}\n")
        check_one_sentence(deployed.keyrung("serve", check=False), f"port {port} is taken", "keyrung dev up")


def test_without_a_deployment_it_names_pulumi_up(local_stack: Project) -> None:
    check_one_sentence(local_stack.keyrung("serve", check=False), "pulumi up")
    check_one_sentence(local_stack.keyrung("credential", "list", check=False), "pulumi up")


@pytest.mark.parametrize(
    ("member", "value"),
    [("issuer", ""), ("clients", []), ("surprise", 1), ("tls", None), ("backends", {}), ("store", "absent/store.db")],
)
def test_a_wrong_configuration_is_one_sentence(deployed: Project, member: str, value: object) -> None:
    path = deployed.state / "verifier" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {member: value}))
    check_one_sentence(deployed.keyrung("serve", check=False))


def test_a_client_secret_that_is_gone_or_written_out_is_one_sentence(deployed: Project) -> None:
    path = deployed.state / "verifier" / "config.json"
    document = json.loads(path.read_text())
    document["clients"][0]["secret"] = "written out instead of referred to"
    path.write_text(json.dumps(document))
    done = deployed.keyrung("serve", check=False)
    check_one_sentence(done, "secret")
    assert "written out" not in done.stderr
    document["clients"][0]["secret"] = "file:absent"
    path.write_text(json.dumps(document))
    check_one_sentence(deployed.keyrung("serve", check=False), "absent")


def test_a_certificate_that_does_not_fit_its_key_or_is_gone_is_one_sentence(deployed: Project) -> None:
    layout = deployed.stack.layout
    layout.verifier_certificate.write_bytes(layout.openbao.certificate.read_bytes())
    check_one_sentence(deployed.keyrung("serve", check=False), "certificate", "keyrung dev up")
    layout.verifier_certificate.unlink()
    check_one_sentence(deployed.keyrung("serve", check=False), "certificate", "keyrung dev up")
    assert "verifier.started" not in events(deployed)
    deployed.stack.up()
    with serving(deployed):
        pass


@pytest.mark.parametrize("sealed", [True, False])
def test_a_vault_that_is_sealed_or_down_is_one_sentence_and_the_next_start_works(
    deployed: Project, sealed: bool
) -> None:
    if sealed:
        seal(deployed)
    else:
        kill_server(deployed.stack.layout.openbao)
    check_one_sentence(deployed.keyrung("serve", check=False), "keyrung dev up")
    deployed.stack.up()
    with serving(deployed):
        assert log_report(deployed)["ok"]


def test_a_key_that_was_replaced_in_the_token_is_refused_with_both_thumbprints(deployed: Project) -> None:
    document = json.loads((deployed.state / "verifier" / "config.json").read_text())
    for kind in ("privkey", "pubkey"):
        pkcs11_tool(deployed, "--delete-object", "--type", kind, "--label", _KEY)
    check_one_sentence(deployed.keyrung("serve", check=False), _KEY)
    pkcs11_tool(deployed, "--keypairgen", "--key-type", "EC:prime256v1", "--label", _KEY, "--usage-sign")
    done = deployed.keyrung("serve", check=False)
    check_one_sentence(done, document["assertion_keys"][0]["thumbprint"], "pulumi refresh")
    (other,) = {word.strip(":") for word in done.stderr.split() if len(word.strip(":")) == 43} - {
        document["assertion_keys"][0]["thumbprint"]
    }
    assert other


def test_a_log_whose_end_was_changed_is_not_continued(deployed: Project) -> None:
    with serving(deployed):
        pass
    with sqlite3.connect(deployed.state / "verifier" / "store.db") as store:
        store.execute("UPDATE audit SET line = replace(line, 'null', 'NULL') WHERE seq = (SELECT max(seq) FROM audit)")
    check_one_sentence(deployed.keyrung("serve", check=False), "keyrung audit verify")
    check_one_sentence(deployed.keyrung("credential", "add", "totp", "eve", check=False), "keyrung audit verify")


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_order_on_a_signal(deployed: Project, end: signal.Signals) -> None:
    with serving(deployed) as process:
        process.send_signal(end)
        _, said = process.communicate(timeout=START_SECONDS)
    assert (process.returncode, said) == (0, "")
    assert events(deployed)[-1] == "verifier.stopped"
    report = log_report(deployed)
    assert report["ok"]
    assert report["unsigned_records"] == 0


def test_after_kill_9_the_log_goes_on_whole(deployed: Project) -> None:
    with serving(deployed) as process, application(deployed) as http:
        assert http.post("/access/v1/evaluation", json=question("eve")).json()["context"]["outcome"] == "step_up"
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=START_SECONDS)
    with serving(deployed), application(deployed) as http:
        http.post("/access/v1/evaluation", json=question("eve")).raise_for_status()
        assert log_report(deployed)["ok"]
    assert events(deployed).count("log.opened") == 1
    assert events(deployed).count("verifier.started") == 2


def test_a_second_verifier_on_the_same_port_leaves_the_first_alone(deployed: Project) -> None:
    with serving(deployed), application(deployed) as http:
        check_one_sentence(deployed.keyrung("serve", check=False), "is taken")
        http.post("/access/v1/evaluation", json=question("eve")).raise_for_status()
    assert events(deployed).count("verifier.started") == 1
