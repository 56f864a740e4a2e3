"""Checks and diffs without an engine: every property, its default, its type, and what a change of it leads to."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.provider import (
    CheckRequest,
    CheckResponse,
    CreateRequest,
    DiffRequest,
    DiffResponse,
    GetSchemaRequest,
    PropertyDiffKind,
)
from pulumi.runtime.rpc import UNKNOWN as UNKNOWN_ON_THE_WIRE

from keyrung_infra.errors import InfraError
from keyrung_infra.policy_text import policy_text
from keyrung_infra.provider.provider import KeyrungProvider

_REPOSITORY = Path(__file__).resolve().parents[3]
_POLICY = policy_text(_REPOSITORY / "policies" / "catalog")

# Every input of every resource: its default (None: must be given) and what a change leads to.
_INPUTS: dict[str, dict[str, tuple[Any, str]]] = {
    "KeyVault": {"uri": (None, "replace")},
    "Key": {
        "vault": (None, "replace"),
        "name": (None, "replace"),
        "algorithm": ("P-256", "replace"),
        "purpose": (None, "replace"),
        "generation": (1, "replace"),
        "deletionProtection": (True, "update"),
    },
    "PolicySet": {
        "policy": (None, "update"),
        "signingKey": (None, "update"),
        "signingKeyPem": (None, "update"),
        "path": (None, "replace"),
        "lifetimeDays": (90, "update"),
    },
    "VerifierConfig": {"document": (None, "update"), "path": (None, "replace")},
}
# Valid inputs of each, and what they are changed to.
_GIVEN: dict[str, dict[str, tuple[Any, Any]]] = {
    "KeyVault": {"uri": ("transit:mount=keyrung", "transit:mount=other")},
    "Key": {
        "vault": ("transit:mount=keyrung", "transit:mount=other"),
        "name": ("seed", "seed-2"),
        "algorithm": ("AES-256", "P-256"),
        "purpose": ("credential-seed", "audit-signing"),
        "generation": (1, 2),
        "deletionProtection": (False, True),
    },
    "PolicySet": {
        "policy": (_POLICY, "{}"),
        "signingKey": ("transit:mount=keyrung;name=policy", "transit:mount=keyrung;name=other"),
        "signingKeyPem": ("pem", "another pem"),
        "path": (".keyrung/bundle.json", ".keyrung/other.json"),
        "lifetimeDays": (90, 30),
    },
    "VerifierConfig": {"document": ("{}", '{"a": 1}'), "path": ("config.json", "other.json")},
}
_OUTPUTS: dict[str, dict[str, Any]] = {
    "KeyVault": {"created": True, "evidence": {}},
    "Key": {"uri": "transit:mount=keyrung;name=seed", "thumbprint": "t", "publicKeyPem": "", "state": "active"},
    "PolicySet": {
        "version": 1,
        "bundleDigest": "d",
        "inPlace": True,
        "notBefore": "2026-01-01T00:00:00+00:00",
        "expiresAt": "9999-01-01T00:00:00+00:00",
    },
    "VerifierConfig": {"inPlace": True},
}
_EVERY_INPUT = [(resource, name) for resource, inputs in _INPUTS.items() for name in inputs]
_WRONG_TYPE = {str: 5, int: "five", bool: "yes"}
_UNKNOWN = PropertyValue(UNKNOWN_ON_THE_WIRE)


def _values(plain: Mapping[str, Any]) -> dict[str, PropertyValue]:
    def value(item: Any) -> PropertyValue:
        if isinstance(item, PropertyValue):
            return item
        if isinstance(item, dict):
            return PropertyValue(_values(item))
        return PropertyValue(float(item) if type(item) is int else item)

    return {name: value(item) for name, item in plain.items()}


def _urn(resource: str) -> str:
    return f"urn:pulumi:local::stepup::keyrung:index:{resource}::it"


def _given(resource: str, **changed: Any) -> dict[str, Any]:
    return {name: values[0] for name, values in _GIVEN[resource].items()} | changed


def _check(provider: KeyrungProvider, resource: str, inputs: Mapping[str, Any]) -> CheckResponse:
    return asyncio.run(provider.check(CheckRequest(_urn(resource), {}, _values(inputs), b"")))


def _reasons(response: CheckResponse) -> list[str]:
    return [failure.reason for failure in response.failures or []]


def _diff(
    provider: KeyrungProvider, resource: str, new: Mapping[str, Any], *, state: Mapping[str, Any] | None = None
) -> DiffResponse:
    old = _values({**_given(resource), **_OUTPUTS[resource], **(state or {})})
    return asyncio.run(provider.diff(DiffRequest(_urn(resource), "id", old, _values(new), [])))


def test_the_schema_says_for_each_input_what_the_golden_table_says(provider: KeyrungProvider) -> None:
    answer = asyncio.run(provider.get_schema(GetSchemaRequest(0, None, None)))
    schema = json.loads(answer.schema or "")
    found = {
        token.rpartition(":")[2]: {
            name: (rule.get("default"), "replace" if rule.get("replaceOnChanges") else "update")
            for name, rule in resource["inputProperties"].items()
        }
        for token, resource in schema["resources"].items()
    }
    assert found == _INPUTS
    for resource, inputs in _INPUTS.items():
        required = [name for name, (default, _) in inputs.items() if default is None]
        assert schema["resources"][f"keyrung:index:{resource}"]["requiredInputs"] == required
    assert set(schema["config"]["variables"]) == {
        "inventory",
        "pkcs11Module",
        "pkcs11Pin",
        "transitAddress",
        "transitToken",
        "transitCaFile",
    }


def test_what_is_left_out_becomes_the_default_or_is_asked_for(provider: KeyrungProvider) -> None:
    for resource, inputs in _INPUTS.items():
        given = {name: value for name, value in _given(resource).items() if inputs[name][0] is None}
        if resource == "Key":
            given["purpose"] = "audit-signing"
        if resource == "VerifierConfig":
            given["document"] = _UNKNOWN
        answer = _check(provider, resource, given)
        assert _reasons(answer) == []
        defaults = {name: default for name, (default, _) in inputs.items() if default is not None}
        assert answer.inputs == _values(defaults) | _values(given)

        reasons = _reasons(_check(provider, resource, {}))
        asked = [name for name, (default, _) in inputs.items() if default is None]
        assert [reason.partition(" is missing:")[0] for reason in reasons] == asked


@pytest.mark.parametrize(("resource", "name"), _EVERY_INPUT)
def test_an_input_of_the_wrong_type_is_refused_without_its_value(
    provider: KeyrungProvider, resource: str, name: str
) -> None:
    wrong = _WRONG_TYPE[type(_GIVEN[resource][name][0])]
    answer = _check(provider, resource, _given(resource, **{name: wrong}))
    assert f"{name} must be of type" in " ".join(_reasons(answer))
    # The engine prints the value of a property that a failure names.
    assert [failure.property for failure in answer.failures or []] == [""] * len(answer.failures or [])


@pytest.mark.parametrize(("resource", "name"), _EVERY_INPUT)
def test_an_input_that_is_still_unknown_passes_the_check_as_unknown(
    provider: KeyrungProvider, resource: str, name: str
) -> None:
    others = {"document": _UNKNOWN} if resource == "VerifierConfig" else {}
    answer = _check(provider, resource, _given(resource, **others, **{name: _UNKNOWN} if name not in others else {}))
    assert _reasons(answer) == []
    assert (answer.inputs or {})[name].value == UNKNOWN_ON_THE_WIRE


def test_a_planned_key_has_its_uri_and_no_more(provider: KeyrungProvider) -> None:
    request = CreateRequest(_urn("Key"), _values(_given("Key")), 0, True)
    planned = asyncio.run(provider.create(request)).properties
    assert planned["uri"].value == "transit:mount=keyrung;name=seed"
    outputs = ("thumbprint", "publicKeyPem", "state", "evidence")
    assert [planned[name].value for name in outputs] == [UNKNOWN_ON_THE_WIRE] * 4
    request = CreateRequest(_urn("Key"), _values(_given("Key", vault=_UNKNOWN)), 0, True)
    assert asyncio.run(provider.create(request)).properties["uri"].value == UNKNOWN_ON_THE_WIRE


def test_a_secret_input_stays_secret(provider: KeyrungProvider) -> None:
    name = PropertyValue("seed", is_secret=True)
    answer = _check(provider, "Key", _given("Key", name=name))
    assert (answer.inputs or {})["name"].is_secret


@pytest.mark.parametrize(
    ("resource", "changed", "reason"),
    [
        ("Key", {"generatoin": 2}, "there is no input called generatoin; did you mean generation?"),
        ("Key", {"pin": "1234"}, "there is no input called pin"),
        ("Key", {"purpose": "signing"}, "purpose must be one of assertion-signing, policy-signing"),
        ("Key", {"purpose": "user-credential"}, "purpose must be one of"),
        ("Key", {"algorithm": "P-521"}, "algorithm must be one of P-256, AES-256"),
        ("Key", {"algorithm": "P-256"}, "a key for credential-seed cannot be P-256; use AES-256"),
        ("Key", {"purpose": "audit-signing"}, "a key for audit-signing cannot be AES-256; use P-256"),
        ("Key", {"vault": "pkcs11:token=t"}, "a PKCS#11 token cannot hold a key for credential-seed"),
        ("Key", {"generation": 0}, "generation starts at 1"),
        ("Key", {"generation": 1.5}, "generation must be of type integer"),
        ("Key", {"generation": True}, "generation must be of type integer"),
        ("Key", {"name": "../sys/raw"}, "is no valid transit name"),
        ("Key", {"vault": "awskms:alias=a"}, "has no known scheme"),
        ("KeyVault", {"uri": "pkcs11:token=t?pin-value=1234"}, "has a query part"),
        ("KeyVault", {"uri": "transit:mount=m;name=n"}, "names no vault"),
        ("PolicySet", {"policy": "{}"}, "the policy is not valid"),
        ("PolicySet", {"lifetimeDays": 0}, "a bundle lives at least one day"),
        ("VerifierConfig", {"document": "{}"}, "issuer"),
    ],
)
def test_a_wrong_input_is_refused_with_the_reason(
    provider: KeyrungProvider, resource: str, changed: dict[str, Any], reason: str
) -> None:
    reasons = _reasons(_check(provider, resource, _given(resource, **changed)))
    assert reason in " ".join(reasons)
    assert "1234" not in " ".join(reasons)


@pytest.mark.parametrize("setting", ["pkcs11Pin", "transitToken"])
def test_a_secret_written_out_in_the_settings_is_refused_and_not_repeated(
    provider: KeyrungProvider, setting: str
) -> None:
    def check(**settings: Any) -> CheckResponse:
        return asyncio.run(provider.check_config(CheckRequest("urn:p", {}, _values(settings), b"")))

    answer = check(**{setting: "s3cret-value", "pkcs11Pim": "s3cret-value", "inventory": 5})
    assert _reasons(answer) == [
        "there is no setting called pkcs11Pim; did you mean pkcs11Pin?",
        "the setting inventory must be of type string",
        f"the setting {setting} must refer to its secret as file:PATH or env:NAME",
    ]
    assert [failure.property for failure in answer.failures or []] == ["", "", ""]
    assert not check(**{setting: "file:secret", "version": "0.1.0"}).failures
    assert not check(**{setting: "env:SECRET"}).failures


@pytest.mark.parametrize("resource", _INPUTS)
def test_what_is_declared_as_it_was_is_no_change(provider: KeyrungProvider, resource: str) -> None:
    answer = _diff(provider, resource, _given(resource))
    assert answer.changes is False
    assert answer.detailed_diff == {}


@pytest.mark.parametrize("unknown", [False, True], ids=["changed", "unknown"])
@pytest.mark.parametrize(("resource", "name"), _EVERY_INPUT)
def test_each_input_says_whether_its_change_is_in_place_or_a_replacement(
    provider: KeyrungProvider, resource: str, name: str, unknown: bool
) -> None:
    changed = {name: _UNKNOWN if unknown else _GIVEN[resource][name][1]}
    if resource == "Key" and name not in ("generation", "deletionProtection"):
        changed["generation"] = 2  # without it, replacing is refused
    answer = _diff(provider, resource, _given(resource, **changed))
    replaces = _INPUTS[resource][name][1] == "replace"
    assert answer.changes is True
    assert (name in (answer.replaces or [])) == replaces
    kind = PropertyDiffKind.UPDATE_REPLACE if replaces else PropertyDiffKind.UPDATE
    assert (answer.detailed_diff or {})[name].kind is kind
    assert answer.delete_before_replace  # two keys of one name cannot stand side by side


@pytest.mark.parametrize("unknown", [False, True], ids=["changed", "unknown"])
@pytest.mark.parametrize("name", ["vault", "name", "algorithm", "purpose", "generation"])
def test_a_protected_key_is_not_replaced_and_not_perhaps_replaced(
    provider: KeyrungProvider, name: str, unknown: bool
) -> None:
    new = _given("Key", **{name: _UNKNOWN if unknown else _GIVEN["Key"][name][1]})
    with pytest.raises(InfraError, match=f"changing {name} would replace .*name=seed, which is protected: first"):
        _diff(provider, "Key", new, state={"deletionProtection": True})


def test_lifting_the_protection_and_replacing_are_two_steps(provider: KeyrungProvider) -> None:
    new = _given("Key", generation=2, deletionProtection=False)
    with pytest.raises(InfraError, match="protected"):
        _diff(provider, "Key", new, state={"deletionProtection": True})


@pytest.mark.parametrize("generation", [1, 2, 3])
def test_a_replacement_needs_a_generation_that_was_never_there(provider: KeyrungProvider, generation: int) -> None:
    new = _given("Key", name="other", generation=generation)
    if generation == 3:
        assert "generation" in (_diff(provider, "Key", new, state={"generation": 2}).replaces or [])
        return
    with pytest.raises(InfraError, match="raise `generation` to 3"):
        _diff(provider, "Key", new, state={"generation": 2})


def test_an_ignored_change_is_no_change(provider: KeyrungProvider) -> None:
    old = _values({**_given("Key"), **_OUTPUTS["Key"]})
    new = _values(_given("Key", name="other"))
    answer = asyncio.run(provider.diff(DiffRequest(_urn("Key"), "id", old, new, ["name"])))
    assert answer.changes is False


@pytest.mark.parametrize(
    ("resource", "state", "name"),
    [
        ("PolicySet", {"inPlace": False}, "inPlace"),
        ("VerifierConfig", {"inPlace": False}, "inPlace"),
        ("PolicySet", {"expiresAt": "2026-01-02T00:00:00+00:00"}, "expiresAt"),
    ],
)
def test_what_a_refresh_or_the_clock_found_is_mended_in_place(
    provider: KeyrungProvider, resource: str, state: dict[str, Any], name: str
) -> None:
    answer = _diff(provider, resource, _given(resource), state=state)
    assert answer.diffs == [name]
    assert not answer.replaces
    assert (answer.detailed_diff or {})[name].input_diff is False
