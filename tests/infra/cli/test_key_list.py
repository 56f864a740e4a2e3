"""`keyrung key list`: states, ages, rotations; overdue keys fail a pipeline and become one event each."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.recorded_keys import record_key

from keyrung_infra.cli import main
from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_provisioners.api import Purpose
from keyrung_provisioners.states import KeyState

_TOKEN = "pkcs11:token=t;object=assertion-signing-one"
_MOUNT = "transit:mount=m;name=policy-signing-one"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SqliteInventory:
    (tmp_path / "Pulumi.yaml").write_text("name: test\n")
    monkeypatch.chdir(tmp_path)
    made = SqliteInventory(tmp_path / ".keyrung" / "inventory.db")
    record_key(made, _MOUNT, purpose=Purpose.POLICY_SIGNING)
    return made


@pytest.fixture
def run(inventory: SqliteInventory, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = main.run(["key", "list", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def _days_ago(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def _overdue_events(inventory: SqliteInventory) -> list[str]:
    return [event.uri for _, event in inventory.events() if event.event == "key.overdue"]


def test_every_living_key_is_shown_with_units(run: Run, inventory: SqliteInventory) -> None:
    record_key(inventory, _TOKEN, at=_days_ago(100))
    code, out, err = run()
    assert (code, err) == (0, "")
    assert "pkcs11:token=t" in out
    assert [line.split() for line in out.splitlines() if "assertion-signing-one" in line] == [
        ["assertion-signing-one", "assertion-signing", "1", "active", "100", "d", "in", "264", "d"]
    ]


def test_programs_get_times_and_seconds(run: Run, inventory: SqliteInventory) -> None:
    row = record_key(inventory, _TOKEN, at=_days_ago(100))
    code, out, _ = run("--json")
    assert code == 0
    found = {key["uri"]: key for key in json.loads(out)["keys"]}
    assert set(found) == {_TOKEN, _MOUNT}
    assert found[_TOKEN]["thumbprint"] == row.fingerprint
    assert found[_TOKEN]["cryptoperiod_days"] == 365
    assert found[_TOKEN]["rotation"] == "later"
    assert abs(found[_TOKEN]["age_seconds"] - 100 * 86400) < 60


@pytest.mark.parametrize(
    ("age_days", "fails_on"), [(100, set()), (340, {"due"}), (364, {"due"}), (366, {"due", "overdue"})]
)
def test_a_pipeline_fails_on_what_it_asks_for(
    run: Run, inventory: SqliteInventory, age_days: int, fails_on: set[str]
) -> None:
    record_key(inventory, _TOKEN, at=_days_ago(age_days))
    assert run()[0] == 0
    for asked in ("due", "overdue"):
        assert run("--fail-on", asked)[0] == (asked in fails_on)


def test_an_overdue_key_is_one_event_until_its_period_is_another(run: Run, inventory: SqliteInventory) -> None:
    row = record_key(inventory, _TOKEN, at=_days_ago(400))
    for _ in range(3):
        assert "overdue 35 d" in run()[1]
    assert _overdue_events(inventory) == [_TOKEN]
    inventory.set_cryptoperiod(row, 399)
    run()
    assert _overdue_events(inventory) == [_TOKEN] * 2
    inventory.set_cryptoperiod(row, 800)
    assert "in 399 d" in run()[1]
    assert _overdue_events(inventory) == [_TOKEN] * 2


@pytest.mark.parametrize("state", [KeyState.DEACTIVATED, KeyState.COMPROMISED])
def test_a_key_that_is_not_in_use_any_more_is_never_overdue(
    run: Run, inventory: SqliteInventory, state: KeyState
) -> None:
    inventory.transition(record_key(inventory, _TOKEN, at=_days_ago(400)), state, now=datetime.now(UTC))
    assert run("--fail-on", "due")[0] == 0
    assert _overdue_events(inventory) == []


def test_a_key_whose_next_generation_is_in_use_is_not_overdue_and_before_that_it_is(
    run: Run, inventory: SqliteInventory
) -> None:
    row = record_key(inventory, _TOKEN, at=_days_ago(400))
    later = record_key(inventory, f"{_TOKEN}-g2", generation=2, owner=row.claim.owner)
    assert run("--fail-on", "due")[0] == 0
    assert "handed over" in run()[1]
    inventory.postpone(later, datetime.now(UTC) + timedelta(hours=3, minutes=1))
    code, told, _ = run("--fail-on", "overdue")
    assert code == 1
    assert "used in 3 h" in told


def test_a_destroyed_key_is_not_listed(run: Run, inventory: SqliteInventory) -> None:
    inventory.transition(record_key(inventory, _TOKEN), KeyState.DESTROYED, now=datetime.now(UTC))
    assert _TOKEN not in run("--json")[1]
