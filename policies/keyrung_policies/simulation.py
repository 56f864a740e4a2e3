"""What another policy would have said to requests that were recorded: how many step-ups more or fewer.

A record keeps of a request what the declarations let it keep. Where the policy needs an attribute that the record lacks
or has as a hash only, the request is undecided; nothing is guessed.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from keyrung_policies.evaluate import evaluate
from keyrung_policies.model import (
    Attribute,
    BooleanAttribute,
    Decision,
    EnumAttribute,
    IntegerAttribute,
    IpAttribute,
    Outcome,
    Request,
    SetAttribute,
    TextAttribute,
    Value,
)
from keyrung_policies.policy_set import PolicySet

# How a record shows a value that may not be seen.
_HASHED = re.compile(r"sha-256:[0-9a-f]{64}\Z")
NO_GROUP = "not in the log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A request as a record shows it, and the answer it got; ``reason`` is the code of a refusal."""

    moment: datetime
    action: str
    attributes: Mapping[str, Value]
    outcome: Outcome
    reason: str | None
    rule_ids: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts of requests; ``before`` and ``after`` are the decided ones that were, or would be, asked to step up."""

    requests: int = 0
    undecided: int = 0
    before: int = 0
    after: int = 0
    denied_before: int = 0
    denied_after: int = 0

    @property
    def change(self) -> int:
        """How many step-ups more (or fewer, below zero) the decided requests would see."""
        return self.after - self.before


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """A recorded time under another policy; ``lacking`` counts the attributes that left requests undecided."""

    total: Tally = field(default_factory=Tally)
    by_day: dict[date, Tally] = field(default_factory=dict)
    by_rule: dict[str, Tally] = field(default_factory=dict)
    by_group: dict[str, Tally] = field(default_factory=dict)
    lacking: Counter[str] = field(default_factory=Counter)


def simulate(recorded: Iterable[Recorded], policy: PolicySet, *, group_by: str | None = None) -> Simulation:
    """Return what the policy would have said to every recorded request.

    Args:
        recorded: The requests, in any order.
        policy: The policy to try.
        group_by: The attribute whose values are the groups, or None for no groups.
    """
    found = Simulation()
    for one in recorded:
        tallies = [found.total, found.by_day.setdefault(one.moment.date(), Tally())]
        if group_by is not None:
            group = one.attributes.get(group_by)
            tallies.append(found.by_group.setdefault(NO_GROUP if group is None else str(group), Tally()))
        lacking = lacking_attributes(one, policy)
        decision = None if lacking else _decide(one, policy)
        if decision is not None and decision.reasons[0].startswith("attribute-missing: "):
            # All that rules look at is there, so it is the text to approve that shows something the record lacks.
            lacking, decision = {decision.reasons[0].split()[1]: ()}, None
        found.lacking.update(lacking.keys())
        for tally in tallies:
            _count(tally, one, decision)
        _count_rules(found.by_rule, one, decision, lacking)
    return found


def lacking_attributes(one: Recorded, policy: PolicySet) -> dict[str, tuple[str, ...]]:
    """Return the attributes that the record cannot tell, each with the rules that need it; empty if all is known."""
    if one.reason == "attribute-mismatch":
        # A value outside its declaration is in no record, so it is not known which one it was.
        return {"a value outside its declaration": ()}
    plan = policy.plan_for(one.action)
    needed = () if plan is None else plan.needed
    return {
        name: rule_ids for name, rule_ids in needed if name not in one.attributes or _is_hashed(one.attributes[name])
    }


def _decide(one: Recorded, policy: PolicySet) -> Decision:
    """Return the decision; of an attribute that no rule looks at it is enough to know that it was there."""
    declared = policy.document.attributes
    attributes = {
        name: _any_value(declared[name]) if _is_hashed(value) else value
        for name, value in one.attributes.items()
        if name in declared
    }
    return evaluate(policy, Request(action=one.action, attributes=attributes), one.moment)


def _is_hashed(value: Value) -> bool:
    return isinstance(value, str) and _HASHED.match(value) is not None


def _any_value(attribute: Attribute) -> Value:
    match attribute:
        case TextAttribute():
            return ""
        case IntegerAttribute(min=least):
            return least
        case BooleanAttribute():
            return False
        case EnumAttribute(values=(first, *_)):
            return first
        case IpAttribute():
            return "192.0.2.1"
        case SetAttribute(values=values, min_items=fewest):
            return (values[0] if values else "",) * fewest
        case _:
            raise AssertionError(attribute)


def _count(tally: Tally, one: Recorded, decision: Decision | None) -> None:
    tally.requests += 1
    if decision is None:
        tally.undecided += 1
        return
    tally.before += one.outcome == "step_up"
    tally.after += decision.outcome == "step_up"
    tally.denied_before += one.outcome == "deny"
    tally.denied_after += decision.outcome == "deny"


def _count_rules(
    by_rule: dict[str, Tally], one: Recorded, decision: Decision | None, lacking: Mapping[str, tuple[str, ...]]
) -> None:
    for rule_id in {rule_id for rule_ids in lacking.values() for rule_id in rule_ids}:
        tally = by_rule.setdefault(rule_id, Tally())
        tally.requests += 1
        tally.undecided += 1
    if decision is None:
        return
    for rule_id in {*one.rule_ids, *decision.rule_ids}:
        tally = by_rule.setdefault(rule_id, Tally())
        tally.requests += 1
        was, is_now = rule_id in one.rule_ids, rule_id in decision.rule_ids
        tally.before += was and one.outcome == "step_up"
        tally.after += is_now and decision.outcome == "step_up"
        tally.denied_before += was and one.outcome == "deny"
        tally.denied_after += is_now and decision.outcome == "deny"
