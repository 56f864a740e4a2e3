"""What the cases beside a policy leave out: rules that decide none of them, thresholds with a side untried."""

from collections.abc import Mapping
from dataclasses import dataclass

from keyrung_policies.cases import Case, CaseResult
from keyrung_policies.model import Attribute, Ordered
from keyrung_policies.operators import condition_tests
from keyrung_policies.policy_set import PolicySet
from keyrung_policies.values import value_fits


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """A value right beside a threshold of a rule, on one of its two sides."""

    rule_id: str
    attribute: str
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How many rules and boundary values there are, and those that no case reaches."""

    rules_count: int
    untried_rule_ids: tuple[str, ...]
    boundaries_count: int
    untried_boundaries: tuple[Boundary, ...]


def coverage(policy: PolicySet, results: tuple[CaseResult, ...]) -> Coverage:
    """Return what the cases that gave these results reach: a rule by deciding, a boundary value by having it."""
    rules = policy.document.rules
    decided = {rule_id for result in results for rule_id in result.decision.rule_ids}
    boundaries = _boundaries(policy)
    tried = {boundary for result in results for boundary in _tried(policy, result.case)}
    return Coverage(
        rules_count=len(rules),
        untried_rule_ids=tuple(rule_id for rule_id in sorted(rules) if rule_id not in decided),
        boundaries_count=len(boundaries),
        untried_boundaries=tuple(boundary for boundary in boundaries if boundary not in tried),
    )


def _boundaries(policy: PolicySet) -> list[Boundary]:
    attributes = policy.document.attributes
    found = {
        Boundary(rule_id=rule_id, attribute=test.attribute, value=value)
        for rule_id, rule in policy.document.rules.items()
        for test in condition_tests(rule.when)
        if isinstance(test, Ordered)
        for value in _sides(test, attributes)
    }
    return sorted(found, key=lambda boundary: (boundary.rule_id, boundary.attribute, boundary.value))


def _sides(test: Ordered, attributes: Mapping[str, Attribute]) -> list[int]:
    """Return the last value on one side and the first on the other, as far as the attribute can have them."""
    lower = test.bound - 1 if test.ordering in ("gte", "lt") else test.bound
    return [value for value in (lower, lower + 1) if value_fits(attributes[test.attribute], value)]


def _tried(policy: PolicySet, case: Case) -> list[Boundary]:
    plan = policy.plan_for(case.request.action)
    rules = () if plan is None else (*plan.denying, *plan.requiring, *plan.allowing)
    return [
        Boundary(rule_id=rule.id, attribute=name, value=value)
        for rule in rules
        for name, value in case.request.attributes.items()
        if type(value) is int
    ]
