"""Small changes to a policy that its cases ought to notice: a threshold by one, another level, a longer age, no rule.

What no case notices is not wrong, it is untested: somebody could change it the same way and nothing would fail.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec

from keyrung_policies.cases import Case, run_cases
from keyrung_policies.evaluate import DEFAULT_DENY, evaluate
from keyrung_policies.model import (
    MAX_AGE_SECONDS,
    All,
    Any,
    Condition,
    Document,
    Not,
    Ordered,
    Request,
    Require,
    Rule,
)
from keyrung_policies.operators import find_test_problem
from keyrung_policies.policy_set import PolicySet, policy_set
from keyrung_policies.words import condition_words, duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A rule changed in one way; None takes it away. A moved threshold says something else for the value `turned`."""

    rule_id: str
    change: str
    rule: Rule | None
    turned: dict[str, int] = field(default_factory=dict)


def surviving_mutants(policy: PolicySet, cases: tuple[Case, ...]) -> tuple[int, tuple[Mutant, ...]]:
    """Return how many changes were tried, and those after which every case still passes.

    A change is tried where it shows: where the request of a case, or the same with the value that a moved threshold
    turns, gets another decision. What shows nowhere is no gap of the cases; a rule that decides none is, and `coverage`
    tells it. All cases must pass on the policy itself.
    """
    tried = 0
    survivors: list[Mutant] = []
    for rule_id, near in _cases_by_rule(policy, cases).items():
        # Only rules for the actions of these cases can change their outcome; the rest would only cost time.
        rule_ids = {one for case in near for one in _rule_ids(policy, case)}
        rules = {one: policy.document.rules[one] for one in sorted(rule_ids)}
        small = policy_set(msgspec.structs.replace(policy.document, rules=rules))
        for mutant in _mutants(rule_id, policy.document):
            changed = _changed(small, mutant)
            if not any(_shows(small, changed, mutant, case) for case in near):
                continue
            tried += 1
            if _all_pass(changed, tuple(near)):
                survivors.append(mutant)
    return tried, tuple(survivors)


def _changed(policy: PolicySet, mutant: Mutant) -> PolicySet | None:
    """Return the policy with the change; None when no rule is left, so that everything is denied."""
    rules = {rule_id: rule for rule_id, rule in policy.document.rules.items() if rule_id != mutant.rule_id}
    if mutant.rule is not None:
        rules[mutant.rule_id] = mutant.rule
    return policy_set(msgspec.structs.replace(policy.document, rules=rules)) if rules else None


def _shows(policy: PolicySet, changed: PolicySet | None, mutant: Mutant, case: Case) -> bool:
    attributes = {**case.request.attributes, **mutant.turned}
    request = Request(action=case.request.action, attributes=attributes)
    before = evaluate(policy, request, case.now)
    after = DEFAULT_DENY if changed is None else evaluate(changed, request, case.now)
    return (before.outcome, before.requirement) != (after.outcome, after.requirement)


def _all_pass(changed: PolicySet | None, cases: tuple[Case, ...]) -> bool:
    if changed is None:
        return all(case.expect.outcome == "deny" for case in cases)
    return all(result.passed for result in run_cases(changed, cases))


def _cases_by_rule(policy: PolicySet, cases: tuple[Case, ...]) -> dict[str, list[Case]]:
    by_rule: dict[str, list[Case]] = {}
    for case in cases:
        for rule_id in _rule_ids(policy, case):
            by_rule.setdefault(rule_id, []).append(case)
    return dict(sorted(by_rule.items()))


def _rule_ids(policy: PolicySet, case: Case) -> list[str]:
    plan = policy.plan_for(case.request.action)
    return [] if plan is None else [rule.id for rule in (*plan.denying, *plan.requiring, *plan.allowing)]


def _mutants(rule_id: str, document: Document) -> Iterator[Mutant]:
    rule = document.rules[rule_id]
    yield Mutant(rule_id=rule_id, change="without this rule", rule=None)
    if rule.when is not None:
        for before, after, when in _moved(rule.when, lambda whole: whole):
            if find_test_problem(after, document.attributes) is None:
                change = f"{condition_words(before)} -> {after.bound}"
                changed = msgspec.structs.replace(rule, when=when)
                yield Mutant(rule_id=rule_id, change=change, rule=changed, turned=_turned(before, after))
    if isinstance(rule.then, Require):
        for change, then in _weaker_and_stronger(rule.then, document):
            yield Mutant(rule_id=rule_id, change=change, rule=msgspec.structs.replace(rule, then=then))


def _moved(
    condition: Condition, whole: Callable[[Condition], Condition]
) -> Iterator[tuple[Ordered, Ordered, Condition]]:
    """Give each threshold moved by one: before, after, and the whole condition with it."""
    match condition:
        case Ordered(bound=bound):
            for moved in (bound - 1, bound + 1):
                after = msgspec.structs.replace(condition, bound=moved)
                yield condition, after, whole(after)
        case Not(part=part):
            yield from _moved(part, lambda inner: whole(Not(part=inner)))
        case All(parts=parts) | Any(parts=parts):
            for index, part in enumerate(parts):
                yield from _moved(part, _within(condition, index, whole))


def _within(outer: All | Any, index: int, whole: Callable[[Condition], Condition]) -> Callable[[Condition], Condition]:
    """Return a function that puts a condition in the place of one part of the outer one."""
    head, tail = outer.parts[:index], outer.parts[index + 1 :]
    return lambda inner: whole(msgspec.structs.replace(outer, parts=(*head, inner, *tail)))


def _turned(before: Ordered, after: Ordered) -> dict[str, int]:
    """Return the one value for which a threshold says something else after it was moved by one."""
    inclusive = before.ordering in ("gte", "lt")
    return {before.attribute: min(before.bound, after.bound) if inclusive else max(before.bound, after.bound)}


def _weaker_and_stronger(require: Require, document: Document) -> Iterator[tuple[str, Require]]:
    for level in document.levels:
        if level != require.level:
            yield f"level {require.level} -> {level}", msgspec.structs.replace(require, level=level)
    longer = min(require.max_age_seconds * 2, MAX_AGE_SECONDS)
    if longer > require.max_age_seconds:
        change = f"max_age {duration(require.max_age_seconds)} -> {duration(longer)}"
        yield change, msgspec.structs.replace(require, max_age_seconds=longer)
