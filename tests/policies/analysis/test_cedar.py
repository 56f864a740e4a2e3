"""A second policy engine decides the same, where it can express the policy: random policies through Cedar."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.cedar import cedar_outcome, to_cedar
from support.policy_domain import DECLARATIONS, MINUTES, TRIED_ACTIONS, VALUES, documents

from keyrung_policies.evaluate import evaluate
from keyrung_policies.model import Document, Outcome, Request, Require, TextAttribute, Value
from keyrung_policies.policy_set import PolicySet, policy_set

# Of the type that the declaration asks for, and not among what Cedar can't say.
_TYPES: dict[str, type] = {
    "resource.n": int,
    "resource.kind": str,
    "resource.path": str,
    "signal.odd": bool,
    "context.address": str,
    "subject.roles": tuple,
}
_BEYOND_CEDAR = ("x", "::ffff:10.0.0.1", "aaa")
_LISTS = [(), ("r",), ("s",), ("t",), ("r", "s"), ("s", "t")]


@st.composite
def questions(draw: st.DrawFn) -> tuple[PolicySet, list[tuple[Request, datetime]]]:
    names = sorted(draw(st.lists(st.sampled_from(sorted(DECLARATIONS)), unique=True, min_size=2, max_size=4)))
    policy = policy_set(_expressible(draw(documents(names))))
    asked = []
    for _ in range(20):
        attributes: dict[str, Value] = {}
        for name in names:
            if draw(st.integers(0, 9)):
                attributes[name] = draw(st.sampled_from(_values(name)))
        minute = draw(st.sampled_from(MINUTES))
        moment = datetime(2026, 1, 1, minute // 60, minute % 60, tzinfo=UTC)
        asked.append((Request(action=draw(st.sampled_from(TRIED_ACTIONS)), attributes=attributes), moment))
    return policy, asked


def _values(name: str) -> list[Value]:
    if name == "subject.roles":
        return list(_LISTS)
    wanted = _TYPES[name]
    return [value for value in VALUES[name] if type(value) is wanted and value not in _BEYOND_CEDAR]  # type: ignore[misc]


def _expressible(document: Document) -> Document:
    """Return the policy without display texts, and with lengths that no value of the domain exceeds."""
    rules = {
        rule_id: msgspec.structs.replace(rule, then=msgspec.structs.replace(rule.then, display=None))
        if isinstance(rule.then, Require)
        else rule
        for rule_id, rule in document.rules.items()
    }
    attributes = {
        name: msgspec.structs.replace(declared, max_length=9)
        if isinstance(declared, TextAttribute)
        else msgspec.structs.replace(declared, min_items=0)
        if name == "subject.roles"
        else declared
        for name, declared in document.attributes.items()
    }
    return msgspec.structs.replace(document, rules=rules, attributes=attributes)


@given(questions())
@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_cedar_decides_the_same(question: tuple[PolicySet, list[tuple[Request, datetime]]]) -> None:
    policy, asked = question
    for request, now in asked:
        plan = policy.plan_for(request.action)
        theirs: Outcome = "deny" if plan is None else cedar_outcome(to_cedar(policy, plan), request, now)
        assert theirs == evaluate(policy, request, now).outcome, request
