"""The reader over what the real writer wrote: the two were made from one text and agree."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.verifier import AUDIT_KEY, LARGE_TRANSFER, START, World

from keyrung_infra.cli.audit import command

TAMPER = b'"event":"assertion.issued"'


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    (tmp_path / "Pulumi.yaml").touch()
    folder = tmp_path / ".keyrung" / "verifier"
    folder.mkdir(parents=True)
    made = World(folder, checkpoint_records=5)
    yield made
    made.close()


def write_config(world: World) -> None:
    """Write what the stack deploys; the audit command needs its member `audit` only, but reads it strictly."""
    one = {"uri": AUDIT_KEY.key_uri, "generation": 1, "state": "active", "use_not_before": "2026-01-01T00:00:00+00:00"}
    key = one | {"thumbprint": AUDIT_KEY.key_id, "jwk": AUDIT_KEY.public_jwk}
    document = {
        "issuer": "https://localhost:1",
        "tls": {"certificate": "c", "key": "k"},
        "store": ".keyrung/verifier/store.db",
        "inventory": ".keyrung/inventory.db",
        "policy": {"bundle": "b", "keys": {}},
        "audit": {
            "store": ".keyrung/verifier/store.db",
            "checkpoints": ".keyrung/verifier/checkpoints.jsonl",
            "keys": [AUDIT_KEY.public_jwk],
        },
        "assertion_keys": [key],
        "audit_keys": [key],
        "seed_keys": [one],
        "clients": [{"client_id": "c", "audience": "a", "secret": "file:s"}],
        "backends": {},
    }
    (world.folder / "config.json").write_text(json.dumps(document))


def verify(world: World, monkeypatch: pytest.MonkeyPatch, *more: str) -> Result:
    write_config(world)
    monkeypatch.chdir(world.folder)
    return CliRunner().invoke(command, ["verify", *more])


def use(world: World) -> None:
    totp = world.enrol_totp()
    assertion = world.step_up(totp)
    world.spend(assertion)
    world.spend(assertion)
    world.evaluate("payments.transfer", resource=LARGE_TRANSFER | {"payee": "Zoë \U0001f600 \u2028 \x00"})
    world.evaluate("\ufb00\ue000\U00010000.name")
    world.http("POST", "/access/v1/evaluation", authorization="Basic x")
    world.respond("nobody", {"factor": "otp", "code": "000000"})


def test_a_log_in_use_is_whole_and_its_defaults_come_from_the_deployed_configuration(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(world)

    running = verify(world, monkeypatch, "--json")
    world.verifier.stop()
    stopped = verify(world, monkeypatch, "--json")

    assert running.exit_code == stopped.exit_code == 0, running.output + stopped.output
    report = json.loads(stopped.stdout)
    assert report["records"] == len(world.lines())
    assert report["unsigned_records"] == 0
    assert report["key_generations"] == 2
    assert report["first_time"] == START.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_what_a_crash_left_of_a_checkpoint_is_no_finding(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    use(world)
    with world.checkpoint_path.open("ab") as file:
        file.write(world.checkpoint_path.read_bytes()[:200])

    assert verify(world, monkeypatch).exit_code == 0


def test_a_record_changed_in_the_database_is_found(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    use(world)
    world.verifier.stop()
    world.close()

    with sqlite3.connect(world.folder / "store.db") as connection:
        (line,) = connection.execute("SELECT line FROM audit WHERE instr(line, ?)", (TAMPER,)).fetchone()
        changed = line.replace(b'"outcome":"success"', b'"outcome":"refused"')
        connection.execute("UPDATE audit SET line = ? WHERE line = ?", (changed, line))
    connection.close()

    result = verify(world, monkeypatch)

    assert result.exit_code == 1
    assert f"finding: altered at number {json.loads(line)['seq']}," in result.output
