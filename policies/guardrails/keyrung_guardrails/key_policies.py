"""The rule about KMS key policies: whom a key serves is named, never everybody."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

KMS_KEYS = frozenset(
    {
        "aws:kms/externalKey:ExternalKey",
        "aws:kms/key:Key",
        "aws:kms/keyPolicy:KeyPolicy",
        "aws:kms/replicaExternalKey:ReplicaExternalKey",
        "aws:kms/replicaKey:ReplicaKey",
    }
)


def names_its_principals(props: Mapping[str, object]) -> Iterator[str]:
    """Refuse a statement that allows something to everybody, whatever its conditions."""
    text = props.get("policy")
    if not isinstance(text, str):
        return  # KMS gives a key without a policy to its account only
    for number, statement in enumerate(_listed(json.loads(text).get("Statement", [])), start=1):
        if statement.get("Effect") == "Allow" and _means_everybody(statement):
            yield f"statement {statement.get('Sid', number)} allows everybody; name the roles by their ARNs"


def _means_everybody(statement: Mapping[str, Any]) -> bool:
    if "NotPrincipal" in statement:
        return True
    principal = statement.get("Principal")
    named = principal.values() if isinstance(principal, dict) else [principal]
    return any("*" in _listed(names) for names in named)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
