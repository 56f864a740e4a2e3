"""Policies in Cedar, as far as Cedar can say them: who passes, who passes after a step-up, who is denied.

Two questions stand for our three outcomes: may the action `pass` (as it is or after a step-up), and is it asked to
`step-up`. What is left out is what Cedar has no word for: levels, ages, bindings and the join of requirements, display
texts, lengths of texts and lists, and IPv6 addresses that stand for IPv4 ones.
"""

from __future__ import annotations

import json
from datetime import datetime

import cedarpy

from keyrung_policies import model
from keyrung_policies.model import Condition, Outcome, Request
from keyrung_policies.policy_set import Plan, PolicySet

_ORDERINGS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_MINUTE = 'context["minute of the day"]'


def to_cedar(policy: PolicySet, plan: Plan) -> str:
    """Return what a plan says as Cedar policies over the actions `pass` and `step-up`."""
    document = policy.document
    denying = [_condition(document.rules[rule.id].when) for rule in plan.denying]
    requiring = [_condition(document.rules[rule.id].when) for rule in plan.requiring]
    allowing = [_condition(document.rules[rule.id].when) for rule in plan.allowing]
    lines = [f"permit(principal, action, resource) when {{ {one} }};" for one in requiring]
    lines += [f'permit(principal, action == Action::"pass", resource) when {{ {one} }};' for one in allowing]
    lines += [f"forbid(principal, action, resource) when {{ {one} }};" for one in denying]
    # Cedar skips a policy whose condition fails on a missing attribute; here a missing one denies.
    lines += [
        f"forbid(principal, action, resource) unless {{ context has {json.dumps(name)} }};" for name, _ in plan.needed
    ]
    for name, declared in document.attributes.items():
        admitted = _admitted(f"context[{json.dumps(name)}]", declared)
        if admitted is not None:
            lines.append(
                f"forbid(principal, action, resource) when {{ context has {json.dumps(name)} && !({admitted}) }};"
            )
    return "\n".join(lines)


def cedar_outcome(policies: str, request: Request, now: datetime) -> Outcome:
    """Return our outcome from Cedar's answers to the two questions."""
    if not _allowed(policies, "pass", request, now):
        return "deny"
    return "step_up" if _allowed(policies, "step-up", request, now) else "allow"


def _allowed(policies: str, action: str, request: Request, now: datetime) -> bool:
    context = {
        "minute of the day": now.hour * 60 + now.minute,
        **{name: list(value) if isinstance(value, tuple) else value for name, value in request.attributes.items()},
    }
    asked = {"principal": 'User::"x"', "action": f'Action::"{action}"', "resource": 'Thing::"x"', "context": context}
    return bool(cedarpy.is_authorized(asked, policies, []).allowed)


def _admitted(value: str, declared: model.Attribute) -> str | None:
    match declared:
        case model.IntegerAttribute(min=least, max=most):
            return f"{value} >= {least} && {value} <= {most}"
        case model.EnumAttribute(values=values):
            return f"{_list(values)}.contains({value})"
        case model.SetAttribute(values=values) if values is not None:
            return f"{_list(values)}.containsAll({value})"
        case _:
            return None


def _condition(condition: Condition | None) -> str:
    match condition:
        case None:
            return "true"
        case model.All(parts=parts):
            return f"({' && '.join(map(_condition, parts))})"
        case model.Any(parts=parts):
            return f"({' || '.join(map(_condition, parts))})"
        case model.Not(part=part):
            return f"!({_condition(part)})"
        case model.TimeWindow(start_minute=start, end_minute=end):
            word = "&&" if start < end else "||"
            return f"({_MINUTE} >= {start} {word} {_MINUTE} < {end})"
        case _:
            return f"({_test(condition)})"


def _test(test: model.AttributeTest) -> str:
    value = f"context[{json.dumps(test.attribute)}]"
    match test:
        case model.Equals(value=wanted):
            return f"{value} == {json.dumps(wanted)}"
        case model.OneOf(values=values):
            return f"{_list(values)}.contains({value})"
        case model.Ordered(ordering=ordering, bound=bound):
            return f"{value} {_ORDERINGS[ordering]} {bound}"
        case model.Glob(pattern=pattern):
            return f"{value} like {json.dumps(pattern)}"
        case model.Has(value=wanted):
            return f"{value}.contains({json.dumps(wanted)})"
        case model.Cidr(networks=networks):
            return " || ".join(f"ip({value}).isInRange(ip({json.dumps(network)}))" for network in networks)


def _list(values: tuple[str | int, ...]) -> str:
    return f"[{', '.join(json.dumps(value) for value in values)}]"
