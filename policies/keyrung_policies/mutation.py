"""Small changes to a policy that its cases ought to notice: a threshold by one, another level, a longer age, no rule.

What no case notices is not wrong, it is untested: somebody could change it the same way and nothing would fail.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec

from keyrung_policies.cases import Case, run_cases
from keyrung_policies.model import MAX_AGE_SECONDS, All, Any, Condition, Document, Not, Ordered, Require, Rule
from keyrung_policies.operators import find_test_problem
from keyrung_policies.policy_set import PolicySet, policy_set
from keyrung_policies.words import condition_words, duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A rule changed in one way; None takes the rule away."""

    rule_id: str
    change: str
    rule: Rule | None


def surviving_mutants(policy: PolicySet, cases: tuple[Case, ...]) -> tuple[int, tuple[Mutant, ...]]:
    """Return how many changes were tried, and those after which every case still passes.

    Rules whose action has no case are passed over: that they are untested needs no experiment. All cases must pass on
    the policy itself.
    """
    tried = 0
    survivors: list[Mutant] = []
    for rule_id, near in _cases_by_rule(policy, cases).items():
        # Only rules for the actions of these cases can change their outcome; the rest would only cost time.
        rule_ids = {one for case in near for one in _rule_ids(policy, case)}
        rules = {one: policy.document.rules[one] for one in sorted(rule_ids)}
        small = msgspec.structs.replace(policy.document, rules=rules)
        for mutant in _mutants(rule_id, policy.document):
            tried += 1
            if not _noticed(small, mutant, tuple(near)):
                survivors.append(mutant)
    return tried, tuple(survivors)


def _cases_by_rule(policy: PolicySet, cases: tuple[Case, ...]) -> dict[str, list[Case]]:
    by_rule: dict[str, list[Case]] = {}
    for case in cases:
        for rule_id in _rule_ids(policy, case):
            by_rule.setdefault(rule_id, []).append(case)
    return dict(sorted(by_rule.items()))


def _rule_ids(policy: PolicySet, case: Case) -> list[str]:
    plan = policy.plan_for(case.request.action)
    return [] if plan is None else [rule.id for rule in (*plan.denying, *plan.requiring, *plan.allowing)]


def _noticed(document: Document, mutant: Mutant, cases: tuple[Case, ...]) -> bool:
    rules = {rule_id: rule for rule_id, rule in document.rules.items() if rule_id != mutant.rule_id}
    if mutant.rule is not None:
        rules[mutant.rule_id] = mutant.rule
    if not rules:
        # Without any rule everything is denied.
        return any(case.expect.outcome != "deny" for case in cases)
    changed = policy_set(msgspec.structs.replace(document, rules=rules))
    return not all(result.passed for result in run_cases(changed, cases))


def _mutants(rule_id: str, document: Document) -> Iterator[Mutant]:
    rule = document.rules[rule_id]
    yield Mutant(rule_id=rule_id, change="without this rule", rule=None)
    if rule.when is not None:
        for before, after, when in _moved(rule.when, lambda whole: whole):
            if find_test_problem(after, document.attributes) is None:
                change = f"{condition_words(before)} -> {after.bound}"
                yield Mutant(rule_id=rule_id, change=change, rule=msgspec.structs.replace(rule, when=when))
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


def _weaker_and_stronger(require: Require, document: Document) -> Iterator[tuple[str, Require]]:
    for level in document.levels:
        if level != require.level:
            yield f"level {require.level} -> {level}", msgspec.structs.replace(require, level=level)
    longer = min(require.max_age_seconds * 2, MAX_AGE_SECONDS)
    if longer > require.max_age_seconds:
        change = f"max_age {duration(require.max_age_seconds)} -> {duration(longer)}"
        yield change, msgspec.structs.replace(require, max_age_seconds=longer)
