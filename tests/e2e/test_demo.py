"""`keyrung demo` tells what happened, for people and programs, can be run again, and leaves no secret about."""

import base64
import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from support.project import Project
from support.secrets import files, holders, secrets_of
from support.serving import application, challenge, enrol_app, unused_code

from keyrung_infra.step_up_client import StepUpClient

pytestmark = pytest.mark.xdist_group("e2e")


def _seed(otpauth_uri: str) -> str:
    return parse_qs(urlsplit(otpauth_uri).query)["secret"][0]


def _lines(project: Project) -> list[bytes]:
    with closing(sqlite3.connect(project.state / "verifier" / "store.db")) as store:
        return [bytes(row[0]) for row in store.execute("SELECT line FROM audit ORDER BY seq")]


def test_no_secret_of_the_run_stands_anywhere_but_in_its_own_file(demo: Project, verifier: Project) -> None:
    """Every file below the project, against every secret of the run in every usual encoding."""
    _, app = enrol_app(demo, "dave")
    client = StepUpClient(demo.stack.layout.openbao.ca)
    with application(demo) as http:
        uri = challenge(http, "dave")
    assertion = client.answer_code(uri, unused_code(app))
    client.close()
    for number, command in enumerate(
        (["preview", "--diff"], ["up", "--yes"], ["refresh", "--yes"], ["stack", "export"])
    ):
        done = demo.pulumi(*command, "--logtostderr", "-v=9")
        (demo.root / f"written-{number}.txt").write_text(done.stdout + done.stderr)

    state, alice = demo.state, demo.state / "demo" / "alice"
    of_the_stack = secrets_of(demo.stack.layout)
    alices_seed = _seed(json.loads((alice / "app.json").read_text())["otpauth_uri"])
    held = {name: state / ("openbao/unseal.json" if name.startswith("unseal") else name) for name in of_the_stack}
    secrets = of_the_stack | {
        "Alice's PIN": (alice / "token" / "pin").read_bytes().strip(),
        "Alice's SO PIN": (alice / "token" / "so-pin").read_bytes().strip(),
        "Alice's seed": alices_seed.encode(),
        "Alice's seed, decoded": base64.b32decode(alices_seed),
        "Dave's seed": app.secret.encode(),
        "Dave's seed, decoded": base64.b32decode(app.secret),
        "Dave's challenge": uri.rpartition("/")[2].encode(),
        "Dave's assertion": assertion.encode(),
        "Dave's assertion, its signature": assertion.rpartition(".")[2].encode(),
    }
    held |= {
        "Alice's PIN": alice / "token" / "pin",
        "Alice's SO PIN": alice / "token" / "so-pin",
        "Alice's seed": alice / "app.json",
    }
    for session in json.loads((state / "demo" / "sessions.json").read_text()):
        secrets[f"session of {session['subject_id']}"] = session["token"].encode()
        held[f"session of {session['subject_id']}"] = state / "demo" / "sessions.json"

    searched = files(demo.root)
    for name in (
        "told.txt",
        "written-3.txt",
        ".keyrung/demo.json",
        ".keyrung/inventory.db",
        ".keyrung/verifier/store.db",
    ):
        assert str(demo.root / name) in searched
    assert holders(secrets, searched) == {name: {str(held[name])} if name in held else set() for name in secrets}


def test_it_says_what_it_did(demo: Project) -> None:
    told = json.loads((demo.state / "demo.json").read_text())
    assert told["ok"] is True
    assert len(told["steps"]) >= 15
    assert all(step["ok"] and step["seconds"] >= 0 for step in told["steps"])
    assert told["seconds"] == pytest.approx(sum(step["seconds"] for step in told["steps"]), abs=0.01)
    assert sorted(name for names in told["resources"].values() for name in names) == [
        "Key assertion-signing",
        "Key audit-signing",
        "Key credential-seed",
        "Key policy-signing",
        "KeyVault token",
        "KeyVault transit",
        "PolicySet policies",
        "VerifierConfig verifier",
    ]
    assert told["audit"]["ok"] is True
    assert told["audit"]["chains"][0]["head"] in {hashlib.sha256(line).hexdigest() for line in _lines(demo)}


def test_the_printed_story_shows_each_step_with_its_time(demo: Project) -> None:
    printed = (demo.root / "told.txt").read_text()
    for step in json.loads((demo.state / "demo.json").read_text())["steps"]:
        assert step["step"] in printed
    assert printed.count("✓") >= 15
    assert "✗" not in printed
    assert "8 created" in printed
    assert "Traceback" not in printed


def test_the_log_is_whole_and_a_changed_byte_in_a_copy_is_found(demo: Project, tmp_path: Path) -> None:
    assert "Audit log: whole" in demo.keyrung("audit", "verify").stdout
    lines = _lines(demo)
    copy = tmp_path / "log.jsonl"
    copy.write_bytes(b"\n".join(lines) + b"\n")
    demo.keyrung("audit", "verify", "--log", str(copy))
    for changed in (len(lines) // 2, len(lines) - 1):
        text = lines[changed].replace(b'"outcome":"', b'"outcome":"X', 1)
        copy.write_bytes(b"\n".join([*lines[:changed], text, *lines[changed + 1 :]]) + b"\n")
        done = demo.keyrung("audit", "verify", "--log", str(copy), check=False)
        assert done.returncode == 1, done.stdout
        assert f"number {changed}" in done.stdout or f"line {changed + 1}" in done.stdout


def test_a_second_run_finds_its_stack_unchanged_and_shows_a_step_up_again(demo: Project) -> None:
    told = json.loads(demo.keyrung("demo", "--json").stdout)
    assert told == json.loads((demo.state / "demo.json").read_text())
    assert told["ok"] is True
    assert told["resources_created"] == []
    assert {operation: len(names) for operation, names in told["resources"].items()} == {"same": 8}
    assert "her token signs the challenge, bound to the verifier's origin" in [step["step"] for step in told["steps"]]
