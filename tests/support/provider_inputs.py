"""Every input of every resource type: a golden table of defaults and effects, and valid values to begin with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.runtime.rpc import UNKNOWN as UNKNOWN_ON_THE_WIRE

from keyrung_infra.policy_text import policy_text
from keyrung_provisioners.escrow.custodian import HpkeRecipient

_REPOSITORY = Path(__file__).resolve().parents[2]
_POLICY = policy_text(_REPOSITORY / "policies" / "catalog")

# Recipients of custodians who never were: nobody has the keys that belong to these.
RECIPIENTS = [str(HpkeRecipient(bytes([number]) * 32)) for number in (1, 2, 3)]
PLAN = {"threshold": 2, "custodians": RECIPIENTS, "folder": ".keyrung/escrow"}

# Every input of every resource: its default (None: must be given) and what a change leads to.
INPUTS: dict[str, dict[str, tuple[Any, str]]] = {
    "KeyVault": {"uri": (None, "replace")},
    "Key": {
        "vault": (None, "replace"),
        "name": (None, "replace"),
        "algorithm": ("P-256", "replace"),
        "purpose": (None, "replace"),
        "generation": (1, "update"),
        "publishSeconds": (600, "update"),
        "overlapSeconds": (86_400, "update"),
        "escrow": (None, "update"),
        "copyTo": (None, "replace"),
        "source": (None, "update"),
        "cryptoperiodDays": (None, "update"),
        "deletionProtection": (True, "update"),
    },
    "Custodian": {"name": (None, "update"), "recipient": (None, "update")},
    "Escrow": {"threshold": (None, "update"), "custodians": (None, "update"), "folder": (".keyrung/escrow", "update")},
    "PolicySet": {
        "policy": (None, "update"),
        "signingKey": (None, "update"),
        "signingKeyPem": (None, "update"),
        "path": (None, "replace"),
        "lifetimeDays": (90, "update"),
        "allowWeaker": (False, "update"),
    },
    "VerifierConfig": {"document": (None, "update"), "path": (None, "replace")},
}
# These have no default either.
OPTIONAL = {
    *(("Key", name) for name in ("escrow", "copyTo", "source", "cryptoperiodDays")),
    ("PolicySet", "path"),
}
# Valid inputs of each, and what they are changed to.
GIVEN: dict[str, dict[str, tuple[Any, Any]]] = {
    "KeyVault": {"uri": ("transit:mount=keyrung", "transit:mount=other")},
    "Key": {
        "vault": ("transit:mount=keyrung", "transit:mount=other"),
        "name": ("seed", "seed-2"),
        "algorithm": ("AES-256", "P-256"),
        "purpose": ("credential-seed", "audit-signing"),
        "generation": (1, 2),
        "publishSeconds": (600, 60),
        "overlapSeconds": (86_400, 600),
        "escrow": (None, PLAN),
        "copyTo": (None, "transit:mount=keyrung;name=copy"),
        "source": (None, "arn:aws:kms:eu-central-1:123456789012:key/1234abcd"),
        "cryptoperiodDays": (700, 300),
        "deletionProtection": (False, True),
    },
    "Custodian": {"name": ("Ada", "Bo"), "recipient": (RECIPIENTS[0], RECIPIENTS[1])},
    "Escrow": {
        "threshold": (2, 3),
        "custodians": (RECIPIENTS, RECIPIENTS[::-1]),
        "folder": (".keyrung/escrow", "envelopes"),
    },
    "PolicySet": {
        "policy": (_POLICY, "{}"),
        "signingKey": ("transit:mount=keyrung;name=policy", "transit:mount=keyrung;name=other"),
        "signingKeyPem": ("pem", "another pem"),
        "path": (".keyrung/bundle.json", ".keyrung/other.json"),
        "lifetimeDays": (90, 30),
        "allowWeaker": (True, False),
    },
    "VerifierConfig": {"document": ("{}", '{"a": 1}'), "path": ("config.json", "other.json")},
}
OUTPUTS: dict[str, dict[str, Any]] = {
    "KeyVault": {"created": True, "evidence": {}},
    "Key": {
        "uri": "transit:mount=keyrung;name=seed",
        "thumbprint": "t",
        "publicKeyPem": "",
        "state": "active",
        "generations": [
            {
                "generation": 1,
                "state": "active",
                "stateSince": "2026-01-01T00:00:00+00:00",
                "useNotBefore": "2026-01-01T00:00:00+00:00",
            }
        ],
        "holder": "h",
    },
    "Custodian": {},
    "Escrow": {},
    "PolicySet": {
        "version": 1,
        "bundleDigest": "d",
        "inPlace": True,
        "notBefore": "2026-01-01T00:00:00+00:00",
        "expiresAt": "9999-01-01T00:00:00+00:00",
    },
    "VerifierConfig": {"inPlace": True},
}
EVERY_INPUT = [(resource, name) for resource, inputs in INPUTS.items() for name in inputs]
UNKNOWN = PropertyValue(UNKNOWN_ON_THE_WIRE)


def values(plain: Mapping[str, Any]) -> dict[str, PropertyValue]:
    """Return ``plain`` as the engine sends it."""

    def value(item: Any) -> PropertyValue:
        if isinstance(item, PropertyValue):
            return item
        if isinstance(item, dict):
            return PropertyValue(values(item))
        if isinstance(item, list):
            return PropertyValue([value(each) for each in item])
        return PropertyValue(float(item) if type(item) is int else item)

    return {name: value(item) for name, item in plain.items()}


def urn(resource: str) -> str:
    """Return the URN of the one ``resource``."""
    return f"urn:pulumi:local::stepup::keyrung:index:{resource}::it"


def given(resource: str, **changed: Any) -> dict[str, Any]:
    """Return valid inputs of ``resource``, with ``changed`` in place of some."""
    return {name: values[0] for name, values in GIVEN[resource].items()} | changed
