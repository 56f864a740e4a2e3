"""`keyrung credential import` over a deployed stack: whole, strict, and the same after a crash."""

import base64
import json
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support.project import Project
from support.secrets import files, leaks
from support.serving import application, challenge, check_one_sentence, events, log_report, serving

from keyrung_infra.serve.build import build_records
from keyrung_infra.serve.settings import DEFAULT_CONFIG, read_settings
from keyrung_infra.step_up_client import StepUpClient
from keyrung_verifier.factors.totp import seed_context

VENDORS_SEED = base64.b32encode(bytes(range(20))).decode()


@pytest.fixture
def people(deployed: Project) -> Path:
    """A file with a row of each kind."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (deployed.root / "carol.pem").write_bytes(pem)
    file = deployed.root / "people.csv"
    file.write_text(
        "subject,kind,serial,seed,public_key\n"
        "alice,totp,,,\n"
        f"bob,totp,HW-1,{VENDORS_SEED},\n"
        "carol,token,YK-7,,carol.pem\n"
        "dave,webauthn,,,\n"
    )
    return file


def _import(project: Project, file: Path, *more: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return project.keyrung("credential", "import", str(file), *more, check=check)


def _list(project: Project) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(project.keyrung("credential", "list", "--json").stdout)["credentials"]
    return found


def _secrets(out: Path) -> dict[str, str]:
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    return {line["subject"]: line["uri"] for line in lines}


def _seed(uri: str) -> str:
    return parse_qs(urlsplit(uri).query)["secret"][0]


def test_a_file_is_imported_whole_and_a_second_run_changes_nothing(deployed: Project, people: Path) -> None:
    out = deployed.root / "secrets.jsonl"
    done = _import(deployed, people, "--out", str(out), "--json")
    assert json.loads(done.stdout) == {
        "checked_only": False,
        "added": {"totp": 2, "token": 1, "webauthn": 1},
        "already_there": 0,
        "out": str(out),
    }
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    secrets = _secrets(out)
    assert secrets.keys() == {"alice", "dave"}
    held = {each["subject"]: each for each in _list(deployed)}
    assert {name: (each["kind"], each["state"], each["serial"]) for name, each in held.items()} == {
        "alice": ("totp", "active", None),
        "bob": ("totp", "active", "HW-1"),
        "carol": ("token", "active", "YK-7"),
        "dave": ("ticket", "open", None),
    }
    # Nobody read the key back from a token, so it is none in hardware.
    assert held["carol"]["hardware"] is False

    before, content = events(deployed), out.read_bytes()
    again = json.loads(_import(deployed, people, "--out", str(out), "--json").stdout)
    assert (again["added"], again["already_there"]) == ({"totp": 0, "token": 0, "webauthn": 0}, 4)
    assert (events(deployed), out.read_bytes()) == (before, content)
    assert events(deployed).count("credential.added") == 3

    ticket = urlsplit(secrets["dave"]).path.removeprefix("/enroll/")
    plain = {"made": _seed(secrets["alice"]), "given": VENDORS_SEED, "ticket": ticket}
    wanted = {name: text.encode() for name, text in plain.items()}
    wanted |= {f"{name}, decoded": base64.b32decode(plain[name]) for name in ("made", "given")}
    assert leaks(wanted, files(deployed.state / "verifier", deployed.state / "inventory.db")) == []
    assert not any(text in done.stdout + done.stderr for text in plain.values())
    assert log_report(deployed)["ok"]


def test_what_was_imported_answers_challenges(deployed: Project, people: Path) -> None:
    out = deployed.root / "secrets.jsonl"
    client = StepUpClient(deployed.stack.layout.openbao.ca)
    with serving(deployed), application(deployed) as http:
        _import(deployed, people, "--out", str(out))
        made = pyotp.TOTP(_seed(_secrets(out)["alice"]))
        assert client.answer_code(challenge(http, "alice"), made.now())
        assert client.answer_code(challenge(http, "bob"), pyotp.TOTP(VENDORS_SEED).now())
    client.close()


def test_a_file_with_mistakes_imports_nothing_and_tells_all_of_them(deployed: Project, people: Path) -> None:
    deployed.keyrung("credential", "add", "totp", "erin")
    before = events(deployed)
    with people.open("a") as file:
        file.write(f"erin,sms,,,\nbob,totp,HW-1,{VENDORS_SEED},\nfrank,totp,F1,123,\n")
    done = _import(deployed, people, "--out", "secrets.jsonl", check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    first, *lines = done.stderr.splitlines()
    assert "has 5 mistakes, and nothing was imported" in first
    assert [line.rsplit(": ", 1)[0] for line in lines] == [
        f"{people}:6: kind",
        f"{people}:7: subject",
        f"{people}:7: serial",
        f"{people}:7: seed",
        f"{people}:8: seed",
    ]
    assert VENDORS_SEED not in done.stderr
    told = json.loads(_import(deployed, people, "--json", check=False).stdout)
    assert told["error"]["type"] == "ImportRefusedError"
    assert [(each["line"], each["column"]) for each in told["error"]["fields"]["problems"]] == [
        (6, "kind"),
        (7, "subject"),
        (7, "serial"),
        (7, "seed"),
        (8, "seed"),
    ]
    assert [each["subject"] for each in _list(deployed)] == ["erin"]
    assert events(deployed) == before
    assert not (deployed.root / "secrets.jsonl").exists()


def test_without_a_place_for_secrets_or_with_a_foreign_one_nothing_is_imported(deployed: Project, people: Path) -> None:
    check_one_sentence(_import(deployed, people, check=False), "2 rows need a secret", "--out")
    other = deployed.root / "other.jsonl"
    for content in ("not ours", '{"subject": "zoe", "kind": "totp", "serial": null, "uri": "otpauth://x"}\n'):
        other.write_text(content)
        check_one_sentence(_import(deployed, people, "--out", str(other), check=False), "--out")
        assert other.read_text() == content
    check_one_sentence(_import(deployed, deployed.root / "absent.csv", check=False), "absent.csv")
    assert _list(deployed) == []


def test_checking_changes_nothing(deployed: Project, people: Path) -> None:
    deployed.keyrung("credential", "add", "totp", "zoe")
    before = events(deployed)
    told = json.loads(_import(deployed, people, "--check", "--json").stdout)
    assert (told["checked_only"], told["added"]["totp"], told["out"]) == (True, 2, None)
    assert [each["subject"] for each in _list(deployed)] == ["zoe"]
    assert events(deployed) == before


def test_two_imports_of_one_file_at_once_take_turns(deployed: Project) -> None:
    file, out = deployed.root / "many.csv", deployed.root / "many.jsonl"
    file.write_text("subject,kind\n" + "".join(f"person-{number},totp\n" for number in range(700)))
    with ThreadPoolExecutor(2) as threads:
        runs = [threads.submit(_import, deployed, file, "--out", str(out), "--json") for _ in range(2)]
    told = [json.loads(run.result().stdout) for run in runs]
    assert sorted(each["added"]["totp"] for each in told) == [0, 700]
    assert events(deployed).count("credential.added") == len(_secrets(out)) == 700
    assert log_report(deployed)["ok"]


def _count(store: Path) -> int:
    with closing(sqlite3.connect(store)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM credentials").fetchone()
    return int(count)


def test_an_import_killed_in_the_middle_is_finished_by_the_next(deployed: Project) -> None:
    total = 4000
    file, out = deployed.root / "many.csv", deployed.root / "many.jsonl"
    file.write_text("subject,kind\n" + "".join(f"person-{number},totp\n" for number in range(total)))
    store = deployed.state / "verifier" / "store.db"
    deployed.keyrung("credential", "list")  # makes the store
    command = [str(Path(sys.prefix, "bin", "keyrung")), "credential", "import", str(file), "--out", str(out)]
    with subprocess.Popen(
        command, cwd=deployed.root, env=deployed.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 60
        while _count(store) == 0 and time.monotonic() < deadline:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    stored = _count(store)
    assert 0 < stored < total

    done = json.loads(_import(deployed, file, "--out", str(out), "--json").stdout)

    assert (done["added"]["totp"], done["already_there"]) == (total - stored, stored)
    assert events(deployed).count("credential.added") == total
    assert log_report(deployed)["ok"]
    # Each secret on file is the one in the store, from before the crash and from after it.
    secrets = _secrets(out)
    assert len(secrets) == total
    records = build_records(read_settings(deployed.root / DEFAULT_CONFIG), deployed.root)
    held = records.credentials.list()
    assert len({each.subject_id for each in held}) == total
    for each in [*held[:20], *held[-20:]]:
        context = seed_context(subject_id=each.subject_id, credential_id=each.credential_id)
        seed = records.sealer.open(each.sealed_seed or "", context=context)
        assert base64.b32decode(_seed(secrets[each.subject_id])) == seed
    records.store.close()
