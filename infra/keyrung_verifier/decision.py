"""From an AuthZEN request to a decision of the policy, and from a decision to what would meet it.

Pure: takes the bundle in force and the time, touches nothing else.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import cast

from keyrung_policies.evaluate import evaluate
from keyrung_policies.model import Decision, Request, Requirement, Value
from keyrung_policies.policy_set import PolicySet
from keyrung_verifier.challenge import Alternative
from keyrung_verifier.models import EvaluationRequest

# The member of `context` that names the session and is no attribute.
SESSION_MEMBER = "session"


def attributes_of(policy: PolicySet, asked: EvaluationRequest) -> dict[str, Value]:
    """Return the declared attributes of a request under the names that rules use.

    Undeclared ones are dropped. Declared ones of a wrong type are kept as they are, because the policy denies them.
    """
    groups: tuple[tuple[str, Mapping[str, object]], ...] = (
        ("subject", asked.subject.properties),
        ("action", asked.action.properties),
        ("resource", asked.resource.properties),
        ("context", {name: value for name, value in asked.context.items() if name != SESSION_MEMBER}),
    )
    declared = policy.document.attributes
    found = {f"{group}.{name}": value for group, members in groups for name, value in members.items()}
    return {name: _value(value) for name, value in found.items() if name in declared}


def _value(member: object) -> Value:
    # The language's lists are immutable; what else is of a wrong type stays for the policy to deny.
    return cast(Value, tuple(member) if isinstance(member, list) else member)


def decide(policy: PolicySet, asked: EvaluationRequest, now: datetime) -> Decision:
    """Return what the policy says to a request."""
    return evaluate(policy, Request(action=asked.action.name, attributes=attributes_of(policy, asked)), now)


def alternatives(policy: PolicySet, requirement: Requirement) -> tuple[Alternative, ...]:
    """Return what meets the requirement, lowest level first: each set of factors, with the acr of its level."""
    levels = policy.document.levels
    return tuple(
        Alternative(acr=levels[name].acr, factors=combination)
        for name in policy.order.at_or_above[requirement.level]  # only levels good enough for the requirement
        for combination in levels[name].any_of
    )
