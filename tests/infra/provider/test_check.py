"""Checks without an engine: every property, its default and its type, and what is said of a wrong one."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.provider import CheckRequest, CheckResponse, CreateRequest, GetSchemaRequest
from pulumi.runtime.rpc import UNKNOWN as UNKNOWN_ON_THE_WIRE
from support.provider_inputs import EVERY_INPUT, GIVEN, INPUTS, OPTIONAL, PLAN, RECIPIENTS, UNKNOWN, given, urn, values

from keyrung_infra.provider import key_escrow
from keyrung_infra.provider.provider import KeyrungProvider

_WRONG_TYPE = {str: 5, int: "five", bool: "yes", list: [5], type(None): "an escrow"}


def _check(provider: KeyrungProvider, resource: str, inputs: Mapping[str, Any]) -> CheckResponse:
    return asyncio.run(provider.check(CheckRequest(urn(resource), {}, values(inputs), b"")))


def _required(resource: str) -> list[str]:
    return [
        name
        for name, (default, _) in INPUTS[resource].items()
        if (default, (resource, name) in OPTIONAL) == (None, False)
    ]


def _reasons(response: CheckResponse) -> list[str]:
    return [failure.reason for failure in response.failures or []]


def test_the_schema_says_for_each_input_what_the_golden_table_says(provider: KeyrungProvider) -> None:
    answer = asyncio.run(provider.get_schema(GetSchemaRequest(0, None, None)))
    schema = json.loads(answer.schema or "")
    found = {
        token.rpartition(":")[2]: {
            name: (rule.get("default"), "replace" if rule.get("replaceOnChanges") else "update")
            for name, rule in resource["inputProperties"].items()
        }
        for token, resource in schema["resources"].items()
        if not resource.get("isComponent")
    }
    assert found == INPUTS
    for resource in INPUTS:
        assert schema["resources"][f"keyrung:index:{resource}"]["requiredInputs"] == _required(resource)
    assert set(schema["config"]["variables"]) == {
        "inventory",
        "pkcs11Module",
        "pkcs11Pin",
        "transitAddress",
        "transitToken",
        "transitRoleId",
        "transitSecretId",
        "transitSoftDelete",
        "transitCaFile",
        "awskmsEndpoint",
        "awskmsKeyPolicy",
        "softwareFolder",
        "softwarePassphrase",
    }


def test_what_is_left_out_becomes_the_default_or_is_asked_for(provider: KeyrungProvider) -> None:
    for resource, inputs in INPUTS.items():
        needed = {name: value for name, value in given(resource).items() if name in _required(resource)}
        if resource == "Key":
            needed["purpose"] = "audit-signing"
        if resource == "VerifierConfig":
            needed["document"] = UNKNOWN
        answer = _check(provider, resource, needed)
        assert _reasons(answer) == []
        defaults = {name: default for name, (default, _) in inputs.items() if default is not None}
        assert answer.inputs == values(defaults) | values(needed)

        reasons = _reasons(_check(provider, resource, {}))
        assert [reason.partition(" is missing:")[0] for reason in reasons] == _required(resource)


@pytest.mark.parametrize(("resource", "name"), EVERY_INPUT)
def test_an_input_of_the_wrong_type_is_refused_without_its_value(
    provider: KeyrungProvider, resource: str, name: str
) -> None:
    wrong = 5 if name in {"copyTo", "source"} else _WRONG_TYPE[type(GIVEN[resource][name][0])]
    answer = _check(provider, resource, given(resource, **{name: wrong}))
    assert f"{name} must be of type" in " ".join(_reasons(answer))
    # The engine prints the value of a property that a failure names.
    assert [failure.property for failure in answer.failures or []] == [""] * len(answer.failures or [])


@pytest.mark.parametrize(("resource", "name"), EVERY_INPUT)
def test_an_input_that_is_still_unknown_passes_the_check_as_unknown(
    provider: KeyrungProvider, resource: str, name: str
) -> None:
    others: dict[str, Any] = {"document": UNKNOWN} if resource == "VerifierConfig" else {}
    if name == "source":
        others = {"vault": "awskms:region=eu-central-1"}
    answer = _check(provider, resource, given(resource, **others, **{name: UNKNOWN} if name not in others else {}))
    assert _reasons(answer) == []
    assert (answer.inputs or {})[name].value == UNKNOWN_ON_THE_WIRE


def test_a_planned_key_has_its_uri_and_no_more(provider: KeyrungProvider) -> None:
    request = CreateRequest(urn("Key"), values(given("Key")), 0, True)
    planned = asyncio.run(provider.create(request)).properties
    assert planned["uri"].value == "transit:mount=keyrung;name=seed"
    outputs = ("thumbprint", "publicKeyPem", "state", "evidence")
    assert [planned[name].value for name in outputs] == [UNKNOWN_ON_THE_WIRE] * 4
    request = CreateRequest(urn("Key"), values(given("Key", vault=UNKNOWN)), 0, True)
    assert asyncio.run(provider.create(request)).properties["uri"].value == UNKNOWN_ON_THE_WIRE


def test_a_resource_inside_a_component_is_checked_like_any_other(provider: KeyrungProvider) -> None:
    inside = "urn:pulumi:local::stepup::keyrung:index:StepUp$keyrung:index:KmsKeyVault$keyrung:index:Key::it"
    answer = asyncio.run(provider.check(CheckRequest(inside, {}, values(given("Key", generation=0)), b"")))
    assert _reasons(answer) == ["generation starts at 1"]


def test_a_secret_input_stays_secret(provider: KeyrungProvider) -> None:
    name = PropertyValue("seed", is_secret=True)
    answer = _check(provider, "Key", given("Key", name=name))
    assert (answer.inputs or {})["name"].is_secret


@pytest.mark.parametrize(
    ("resource", "changed", "reason"),
    [
        ("Key", {"generatoin": 2}, "there is no input called generatoin; did you mean generation?"),
        ("Key", {"pin": "1234"}, "there is no input called pin"),
        ("Key", {"purpose": "signing"}, "purpose must be one of assertion-signing, policy-signing"),
        ("Key", {"purpose": "user-credential"}, "purpose must be one of"),
        ("Key", {"algorithm": "P-521"}, "algorithm must be one of P-256, P-384, Ed25519, RSA-3072, AES-256"),
        ("Key", {"algorithm": "P-256"}, "a key for credential-seed cannot be P-256; use AES-256"),
        ("Key", {"purpose": "audit-signing"}, "a key for audit-signing cannot be AES-256; use P-256 or Ed25519"),
        ("Key", {"generation": 0}, "generation starts at 1"),
        ("Key", {"generation": 1.5}, "generation must be of type integer"),
        ("Key", {"generation": True}, "generation must be of type integer"),
        ("Key", {"name": "../sys/raw"}, "is no valid transit name"),
        ("Key", {"vault": "yubikey:serial=1"}, "no known scheme"),
        ("Key", {"vault": "awskms:region=eu-central-1", "name": "alias/a"}, "leave out alias/"),
        ("Key", {"copyTo": "transit:mount=m"}, "names no key"),
        ("Key", {"copyTo": "transit:mount=m;name=n"}, "only a signing key can prove its copy"),
        ("Key", {"copyTo": "transit:mount=m;name=n", "escrow": PLAN}, "either an escrow or a copy"),
        ("Key", {"cryptoperiodDays": 0}, "cryptoperiodDays starts at 1"),
        ("Key", {"escrow": {"threshold": 2}}, "escrow.custodians is missing"),
        ("Key", {"escrow": {**PLAN, "treshold": 2}}, "no member of escrow called treshold; did you mean threshold?"),
        ("Key", {"escrow": {**PLAN, "custodians": ["age1x", 5]}}, "escrow.custodians must be of type array"),
        ("Key", {"escrow": PLAN}, "name=seed cannot be escrowed: Transit lets a key out only if it stays exportable"),
        ("Key", {"escrow": PLAN, "vault": "awskms:region=eu-central-1"}, "KMS never lets out a key that it generated"),
        ("Key", {"escrow": PLAN, "vault": "software:folder=f"}, "for development; keep it in a PKCS#11 token"),
        ("Key", {"escrow": {**PLAN, "custodians": RECIPIENTS[:2] * 2}}, "a custodian is named twice"),
        ("Key", {"escrow": {**PLAN, "threshold": 4}}, "4 of 3 shares is no quorum"),
        (
            "Key",
            {
                "vault": "pkcs11:token=t",
                "escrow": {**PLAN, "custodians": [*RECIPIENTS[:2], "pkcs11:token=t;object=share"]},
            },
            "pkcs11:token=t;object=share is in the vault of the key whose escrow it would share in",
        ),
        ("Escrow", {"threshold": 1}, "1 of 3 shares is no quorum"),
        ("Escrow", {"custodians": [*RECIPIENTS[:2], RECIPIENTS[2][:-1]]}, "recipient text is mistyped: copy it whole"),
        ("Escrow", {"custodians": [*RECIPIENTS[:2], "transit:name=x;mount=m"]}, "write transit:mount=m;name=x"),
        ("Escrow", {"custodians": RECIPIENTS * 6}, "at most 16 custodians"),
        ("Custodian", {"recipient": "someone@example.com"}, "is no recipient"),
        ("Custodian", {"recipient": "age1" + "q" * 58}, "an age recipient is mistyped"),
        ("Custodian", {"name": ""}, "name is empty"),
        ("KeyVault", {"uri": "pkcs11:token=t?pin-value=1234"}, "has a query part"),
        ("KeyVault", {"uri": "transit:mount=m;name=n"}, "names no vault"),
        ("PolicySet", {"policy": "{}"}, "the policy is not valid"),
        ("PolicySet", {"lifetimeDays": 0}, "a bundle lives at least one day"),
        (
            "VerifierConfig",
            {"document": "{}"},
            "the verifier's configuration is not valid (Object missing required field",
        ),
    ],
)
def test_a_wrong_input_is_refused_with_the_reason(
    provider: KeyrungProvider, resource: str, changed: dict[str, Any], reason: str
) -> None:
    reasons = _reasons(_check(provider, resource, given(resource, **changed)))
    assert reason in " ".join(reasons)
    assert "1234" not in " ".join(reasons)


@pytest.mark.parametrize("purpose", ["credential-seed", "kek"])
def test_a_key_that_seals_in_a_token_may_be_escrowed_and_without_it_the_preview_says_what_that_means(
    provider: KeyrungProvider, purpose: str
) -> None:
    sealing = {"vault": "pkcs11:token=t", "purpose": purpose}
    assert _reasons(_check(provider, "Key", given("Key", **sealing, escrow=PLAN))) == []
    (told,) = key_escrow.advice(given("Key", **sealing))
    assert f"This {purpose} key has no escrow and never leaves its token" in told
    assert "whoever loses the token loses all that the key sealed" in told
    assert key_escrow.advice(given("Key", **sealing, escrow=PLAN)) == []
    assert key_escrow.advice(given("Key", purpose=purpose)) == []  # Transit


@pytest.mark.parametrize("setting", ["pkcs11Pin", "transitToken", "transitSecretId", "softwarePassphrase"])
def test_a_secret_written_out_in_the_settings_is_refused_and_not_repeated(
    provider: KeyrungProvider, setting: str
) -> None:
    def check(**settings: Any) -> CheckResponse:
        return asyncio.run(provider.check_config(CheckRequest("urn:p", {}, values(settings), b"")))

    answer = check(**{setting: "s3cret-value", "pkcs11Pim": "s3cret-value", "inventory": 5})
    assert _reasons(answer) == [
        "there is no setting called pkcs11Pim; did you mean pkcs11Pin?",
        "the setting inventory must be of type string",
        f"the setting {setting} must refer to its secret as file:PATH or env:NAME",
    ]
    assert [failure.property for failure in answer.failures or []] == ["", "", ""]
    assert not check(**{setting: "file:secret", "version": "0.1.0"}).failures
    assert not check(**{setting: "env:SECRET"}).failures
