"""The signed policy bundle: renewed in place, mended after a loss, and never half replaced."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.deployment import resources
from support.openbao import OpenBaoServer
from support.project import Project
from support.recorded_keys import record_key

from keyrung_infra.errors import InfraError
from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_infra.policy_text import policy_text
from keyrung_infra.provider.backends import Backends
from keyrung_infra.provider.model import Values
from keyrung_infra.provider.policy_set import PolicySet
from keyrung_policies.bundle import open_bundle
from keyrung_provisioners import encoding
from keyrung_provisioners.api import Purpose

_REPOSITORY = Path(__file__).resolve().parents[3]
_POLICY = policy_text(_REPOSITORY / "policies" / "catalog")
_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_changed_catalogue_and_a_lost_bundle_give_a_new_version_in_place(deployed: Project) -> None:
    catalogue = deployed.root / "policies" / "catalog" / "bank.yaml"
    bundle = deployed.state / "verifier" / "policy-bundle.json"
    first, first_bundle = resources(deployed)["policies"]["outputs"], bundle.read_bytes()

    catalogue.write_text(catalogue.read_text().replace("max_age: 5m", "max_age: 4m"))
    steps = deployed.pulumi_json("preview", "--json")["steps"]
    changed = {step["urn"].rpartition("::")[2]: step for step in steps if step["op"] != "same"}
    assert {name: step["op"] for name, step in changed.items()} == {"policies": "update"}
    assert changed["policies"]["diffReasons"] == ["policy"]
    assert bundle.read_bytes() == first_bundle
    deployed.pulumi("up", "--yes", "--skip-preview")
    second = resources(deployed)["policies"]["outputs"]
    assert second["version"] > first["version"]

    for lose in (bundle.unlink, lambda: bundle.write_bytes(first_bundle)):
        lose()  # the second puts the older, validly signed bundle back
        deployed.pulumi("refresh", "--yes", "--skip-preview")
        found = resources(deployed)["policies"]["outputs"]
        assert (found["inPlace"], found["version"]) == (False, second["version"])
        deployed.pulumi("up", "--yes", "--skip-preview")
        third = resources(deployed)["policies"]["outputs"]
        assert third["inPlace"]
        assert third["version"] > second["version"]
        second = third


def test_a_mistake_in_a_policy_is_told_with_its_place_and_changes_nothing(deployed: Project) -> None:
    before = resources(deployed)
    catalogue = deployed.root / "policies" / "catalog" / "bank.yaml"
    right = catalogue.read_text()
    catalogue.write_text(right + "surprise: true\n")
    done = deployed.pulumi("up", "--yes", check=False)
    written = done.stdout + done.stderr
    assert done.returncode != 0
    assert f"bank.yaml:{len(right.splitlines()) + 1}:1: unknown-field: the field 'surprise' is unknown here" in written
    assert "Traceback" not in written
    assert resources(deployed) == before
    catalogue.write_text(right)
    deployed.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")


def test_a_failing_case_is_named_and_changes_nothing(deployed: Project) -> None:
    before = resources(deployed)
    catalogue = deployed.root / "policies" / "catalog" / "bank.yaml"
    right = catalogue.read_text()
    catalogue.write_text(right.replace("{lt: 100000}", "{lt: 99999}").replace("{gte: 100000}", "{gte: 99999}"))
    done = deployed.pulumi("up", "--yes", check=False)
    written = done.stdout + done.stderr
    assert done.returncode != 0
    assert "case \"a transfer just below the limit passes\": outcome: expected 'allow', got 'step_up'" in written
    assert "Traceback" not in written
    assert resources(deployed) == before
    catalogue.write_text(right)


class _Clock:
    """A clock that is set by hand."""

    now = _NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def policy_key(openbao: OpenBaoServer, policies_inventory: SqliteInventory) -> dict[str, str]:
    return _made(openbao, policies_inventory)


def _made(openbao: OpenBaoServer, inventory: SqliteInventory) -> dict[str, str]:
    """Make a policy key in the vault, recorded as active."""
    name = openbao.key_name("policy-signing")
    client = openbao.client("deployer")
    client.call("POST", f"keyrung/keys/{name}", {"type": "ecdsa-p256"})
    pem = client.call("GET", f"keyrung/keys/{name}")["data"]["keys"]["1"]["public_key"]
    uri = f"transit:mount=keyrung;name={name}"
    record_key(inventory, uri, purpose=Purpose.POLICY_SIGNING)
    return {"uri": uri, "pem": pem}


@pytest.fixture
def policies_inventory(tmp_path: Path) -> SqliteInventory:
    return SqliteInventory(tmp_path / "inventory.db")


@pytest.fixture
def policies(openbao: OpenBaoServer, tmp_path: Path, clock: _Clock) -> PolicySet:
    backends = Backends(tmp_path, reached=lambda _point: None, now=clock)
    backends.configure({**openbao.settings("deployer"), "inventory": "inventory.db"})
    return PolicySet(backends)


def _inputs(key: dict[str, str], **changed: Any) -> Values:
    return {
        "policy": _POLICY,
        "signingKey": key["uri"],
        "signingKeyPem": key["pem"],
        "path": "bundle.json",
        "lifetimeDays": 90,
        **changed,
    }


def test_a_bundle_is_due_again_when_a_third_of_its_life_is_left(
    policies: PolicySet, policy_key: dict[str, str], clock: _Clock, tmp_path: Path
) -> None:
    inputs = _inputs(policy_key)
    _, outputs = policies.create("urn", inputs)
    state = {**inputs, **outputs}
    key = {encoding.thumbprint(policy_key["pem"]): encoding.public_jwk(policy_key["pem"])}
    opened = open_bundle((tmp_path / "bundle.json").read_bytes(), trusted_keys=key, now=_NOW)
    assert (opened.version, opened.expires_at) == (outputs["version"], _NOW + timedelta(days=90))

    clock.now = _NOW + timedelta(days=60)
    assert policies.drift(state, inputs) == {}
    clock.now = _NOW + timedelta(days=60, seconds=1)
    assert list(policies.drift(state, inputs)) == ["expiresAt"]

    renewed = policies.update("urn", state, inputs)
    assert policies.drift({**state, **renewed}, inputs) == {}
    assert int(str(renewed["version"])) > int(str(outputs["version"]))


def test_versions_grow_even_when_the_clock_went_back(
    policies: PolicySet, policy_key: dict[str, str], clock: _Clock
) -> None:
    inputs = _inputs(policy_key)
    _, outputs = policies.create("urn", inputs)
    clock.now = _NOW - timedelta(days=365)
    renewed = policies.update("urn", {**inputs, **outputs}, inputs)
    assert int(str(renewed["version"])) == int(str(outputs["version"])) + 1


def test_a_store_that_signs_with_another_key_than_declared_is_refused_before_anything_is_written(
    policies: PolicySet,
    openbao: OpenBaoServer,
    policies_inventory: SqliteInventory,
    policy_key: dict[str, str],
    tmp_path: Path,
) -> None:
    policies.create("urn", _inputs(policy_key))
    kept = (tmp_path / "bundle.json").read_bytes()
    replaced = _inputs(policy_key, signingKey=_made(openbao, policies_inventory)["uri"])
    with pytest.raises(InfraError, match=r"does not verify under its declared public key .*pulumi refresh"):
        policies.update("urn", {**_inputs(policy_key), "version": 1}, replaced)
    assert (tmp_path / "bundle.json").read_bytes() == kept


@pytest.mark.parametrize("purpose", [None, Purpose.AUDIT_SIGNING])
def test_a_key_that_is_not_recorded_or_made_for_something_else_signs_no_policy(
    policies: PolicySet, policies_inventory: SqliteInventory, tmp_path: Path, purpose: Purpose | None
) -> None:
    uri = "transit:mount=keyrung;name=somebodys"
    if purpose is not None:
        record_key(policies_inventory, uri, purpose=purpose)
    with pytest.raises(InfraError, match="only a key made to sign policies signs one"):
        policies.create("urn", _inputs({"uri": uri, "pem": "not looked at"}))
    assert not (tmp_path / "bundle.json").exists()


def test_the_bundle_is_readable_by_its_owner_only_and_holds_the_declared_policy(
    policies: PolicySet, policy_key: dict[str, str], tmp_path: Path
) -> None:
    policies.create("urn", _inputs(policy_key))
    assert (tmp_path / "bundle.json").stat().st_mode & 0o077 == 0
    envelope = json.loads((tmp_path / "bundle.json").read_bytes())
    assert set(envelope) == {"payload", "protected", "signature"}
