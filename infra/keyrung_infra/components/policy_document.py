"""IAM policy documents from typed statements; everything that a role or a key may do is written with these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pulumi

_VERSION = "2012-10-17"  # of the policy language; older ones know no variables


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement.

    Attributes:
        sid: Says what it is for, in letters and digits.
        actions: Written out, without wildcards.
        resources: ARNs; none in a role's trust policy.
        principals: Who, in a document that belongs to a resource: AWS or Service, and their names.
        conditions: Operator, condition key, value.
    """

    sid: str
    actions: Sequence[str]
    resources: Sequence[pulumi.Input[str]] = ()
    effect: Literal["Allow", "Deny"] = "Allow"
    principals: Mapping[str, Sequence[pulumi.Input[str]]] = field(default_factory=dict)
    conditions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def policy_document(statements: Sequence[Statement]) -> pulumi.Output[str]:
    """Return the document as JSON, once every ARN in it is known."""
    return pulumi.Output.json_dumps(
        {"Version": _VERSION, "Statement": [_written(statement) for statement in statements]}, sort_keys=True
    )


def _written(statement: Statement) -> dict[str, Any]:
    written: dict[str, Any] = {
        "Sid": statement.sid,
        "Effect": statement.effect,
        "Action": list(statement.actions),
    }
    if statement.resources:
        written["Resource"] = list(statement.resources)
    if statement.principals:
        written["Principal"] = {kind: list(names) for kind, names in statement.principals.items()}
    if statement.conditions:
        written["Condition"] = {operator: dict(keys) for operator, keys in statement.conditions.items()}
    return written
