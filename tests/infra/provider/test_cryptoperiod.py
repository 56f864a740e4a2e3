"""Cryptoperiods of declared keys: recorded, changed in place, and warned of in previews once they near their end."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from support.deployment import inventory, resources
from support.project import Project
from support.provider_inputs import given

from keyrung_infra.provider.key_cryptoperiod import overdue_advice
from keyrung_infra.provider.values import Plain

_NOW = datetime(2030, 1, 1, tzinfo=UTC)


def _advice(
    age_days: float, *, state: str = "active", declared_days: int | None = None, generation: int = 1
) -> list[str]:
    begun = (_NOW - timedelta(days=age_days)).isoformat()
    stage: dict[str, Plain] = {"generation": 1, "state": state, "stateSince": begun, "useNotBefore": begun}
    known = given("Key", purpose="assertion-signing", generation=1)
    wanted = {**known, "generation": generation, "cryptoperiodDays": declared_days}
    return overdue_advice({**known, "generations": [stage]}, wanted, _NOW)


def test_nothing_is_said_of_a_key_in_its_time() -> None:
    assert _advice(0) == _advice(320) == []


def test_a_rotation_that_is_due_or_overdue_is_said_with_the_day_and_what_to_do() -> None:
    assert _advice(330) == [
        "generation 1 of seed is due for rotation before 2030-02-05, after 365 days of use: raise `generation` to 2"
    ]
    assert _advice(366) == [
        "generation 1 of seed is overdue for rotation since 2029-12-31, after 365 days of use: raise `generation` to 2"
    ]


def test_the_declared_cryptoperiod_counts_and_a_rotation_that_is_declared_ends_the_warning() -> None:
    assert _advice(100, declared_days=99)
    assert _advice(400, declared_days=800) == []
    assert _advice(400, generation=2) == []


@pytest.mark.parametrize("state", ["suspended", "deactivated"])
def test_a_key_that_is_not_in_use_is_not_warned_of(state: str) -> None:
    assert _advice(400, state=state) == []


def test_a_compromised_key_is_warned_of_at_any_age_until_its_successor_is_declared() -> None:
    warning = "generation 1 of seed is compromised, and nothing uses it: raise `generation` to 2"
    assert _advice(1, state="compromised") == _advice(400, state="compromised") == [warning]
    assert _advice(1, state="compromised", generation=2) == []


def _declare_days(project: Project, days: int) -> None:
    project.pulumi("config", "set", "cryptoperiodDays", str(days))


def test_a_declared_cryptoperiod_is_recorded_in_place_and_a_preview_warns_when_it_is_over(deployed: Project) -> None:
    _declare_days(deployed, 100)
    done = deployed.pulumi("up", "--yes", "--skip-preview")
    assert "due for rotation" not in done.stdout + done.stderr
    assert {row.cryptoperiod_days for row in inventory(deployed).rows()} == {100}
    listed = json.loads(deployed.keyrung("key", "list", "--json").stdout)["keys"]
    assert {key["cryptoperiod_days"] for key in listed} == {100}
    for row in inventory(deployed).rows():
        inventory(deployed).postpone(row, datetime.now(UTC) - timedelta(days=101))
    deployed.pulumi("refresh", "--yes", "--skip-preview")
    for command in (("preview",), ("up", "--yes", "--skip-preview")):
        done = deployed.pulumi(*command)
        # Said once; a display without a terminal shows it in the rows of its progress as well.
        _, said = done.stdout.split("Diagnostics:")
        for name in ("assertion-signing-local", "policy-signing-local"):
            assert said.count(f"generation 1 of {name} is overdue for rotation since") == 1
        assert (
            "raise `generation` to 2 (Keyrung's own program takes it from `pulumi config set keyGeneration 2`)" in said
        )
    assert deployed.keyrung("key", "list", "--fail-on", "overdue", check=False).returncode == 1
    assert resources(deployed)["assertion-signing"]["outputs"]["state"] == "active"
