"""A comparison as one JSON object, for programs. `policy-diff.v1.schema.json` beside this file describes it."""

from datetime import datetime

import msgspec

from keyrung_policies.analysis.differences import ActionDiff, DeclarationDiff, Difference, PolicyDiff
from keyrung_policies.model import Decision, Request

FORMAT = "keyrung/policy-diff/v1"


def diff_document(diff: PolicyDiff, *, base: str, head: str) -> dict[str, object]:
    """Return a comparison as a JSON object; ``base`` and ``head`` are the names the versions were given by."""
    return {
        "format": FORMAT,
        "verdict": diff.verdict,
        "may_be_weaker": diff.verdict.may_be_weaker,
        "base": {"name": base, "digest": diff.base_digest},
        "head": {"name": head, "digest": diff.head_digest},
        "actions": [_action(one) for one in diff.actions],
        "declarations": [_declaration(one) for one in diff.declarations],
    }


def request_document(request: Request, now: datetime) -> dict[str, object]:
    """Return a request as a JSON object."""
    return {"action": request.action, "attributes": dict(request.attributes), "at": now.isoformat()}


def decision_document(decision: Decision) -> dict[str, object]:
    """Return a decision as a JSON object."""
    document: dict[str, object] = msgspec.to_builtins(decision)
    return document


def _action(one: ActionDiff) -> dict[str, object]:
    return {
        "action": one.action.label,
        "verdict": one.verdict,
        "undecided": one.undecided,
        "differences": [_difference(difference) for difference in one.differences],
    }


def _declaration(one: DeclarationDiff) -> dict[str, object]:
    return {
        "attribute": one.attribute,
        "verdict": one.verdict,
        "actions": [action.label for action in one.actions],
        "difference": None if one.difference is None else _difference(one.difference),
    }


def _difference(one: Difference) -> dict[str, object]:
    return {
        "weaker": list(one.comparison.weaker),
        "stronger": list(one.comparison.stronger),
        "display": one.display,
        "request": request_document(one.request, one.now),
        "base": decision_document(one.base),
        "head": decision_document(one.head),
    }
