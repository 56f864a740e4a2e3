"""`keyrung key suspend | resume | deactivate | compromise`: allowed transitions only, one event each."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.recorded_keys import record_key

from keyrung_infra.cli import main
from keyrung_infra.inventory.sqlite import SqliteInventory

_URI = "pkcs11:token=t;object=assertion-signing-one"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SqliteInventory:
    (tmp_path / "Pulumi.yaml").write_text("name: test\n")
    monkeypatch.chdir(tmp_path)
    made = SqliteInventory(tmp_path / ".keyrung" / "inventory.db")
    record_key(made, _URI)
    return made


@pytest.fixture
def run(inventory: SqliteInventory, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = main.run(["key", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def _events(inventory: SqliteInventory) -> list[str]:
    return [event.event for _, event in inventory.events()][3:]  # behind claimed, created, activated


def test_a_key_is_suspended_and_resumed_as_often_as_needed_each_time_one_event(
    run: Run, inventory: SqliteInventory
) -> None:
    for _ in range(2):
        assert run("suspend", _URI)[0] == 0
        assert run("resume", _URI)[0] == 0
    assert _events(inventory) == ["key.suspended", "key.resumed"] * 2
    assert inventory.rows()[0].state == "active"


def test_what_changed_is_said_to_people_and_to_programs(run: Run) -> None:
    code, out, err = run("suspend", _URI)
    assert (code, err) == (0, "")
    assert out.startswith(f"{_URI} generation 1 was active and is suspended\n")
    code, out, _ = run("deactivate", _URI, "--json")
    assert code == 0
    assert '"before": "suspended", "state": "deactivated"' in out


@pytest.mark.parametrize(
    ("before", "refused"),
    [
        (["deactivate"], ["suspend", "resume", "deactivate"]),
        (["compromise --yes"], ["suspend", "resume", "deactivate", "compromise --yes"]),
        (["suspend"], ["suspend"]),
        ([], ["resume"]),
    ],
)
def test_other_transitions_are_refused_and_leave_no_event(
    run: Run, inventory: SqliteInventory, before: list[str], refused: list[str]
) -> None:
    for step in before:
        assert run(*step.split(), _URI)[0] == 0
    known, state = _events(inventory), inventory.rows()[0].state
    for step in refused:
        code, out, err = run(*step.split(), _URI)
        assert (code, out) == (1, ""), step
        assert err.startswith("keyrung: ")
        assert state in err
    assert (_events(inventory), inventory.rows()[0].state) == (known, state)


@pytest.mark.parametrize("before", [[], ["suspend"], ["deactivate"]])
def test_compromised_is_reachable_from_every_living_state(
    run: Run, inventory: SqliteInventory, before: list[str]
) -> None:
    for step in before:
        run(step, _URI)
    assert run("compromise", _URI, "--yes")[0] == 0
    assert inventory.rows()[0].state == "compromised"
    assert _events(inventory)[-1] == "key.compromised"


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_nothing_is_compromised_by_accident(run: Run, inventory: SqliteInventory, more: list[str]) -> None:
    code, out, err = run("compromise", _URI, *more)
    assert code == 1
    assert "add --yes" in out + err
    assert inventory.rows()[0].state == "active"


def test_a_key_that_is_not_recorded_is_named(run: Run, inventory: SqliteInventory) -> None:
    other = "pkcs11:token=t;object=other"
    code, _, err = run("suspend", other)
    assert code == 1
    assert other in err
    assert _events(inventory) == []


def test_without_an_inventory_none_is_made(run: Run, tmp_path: Path) -> None:
    code, _, err = run("suspend", _URI, "--inventory", "nowhere.db")
    assert code == 1
    assert "there is no key inventory" in err
    assert not (tmp_path / "nowhere.db").exists()
