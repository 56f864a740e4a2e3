"""Who could not satisfy a policy with what they hold, and which routes no rule covers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from keyrung_policies.model import Require
from keyrung_policies.policy_set import PolicySet


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """A level that a request may be asked for, the rules and actions that ask, and the people who can't reach it."""

    level: str
    rule_ids: tuple[str, ...]
    actions: tuple[str, ...]
    any_of: tuple[tuple[str, ...], ...]
    subjects: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """What a policy means for the people and the routes there are."""

    subjects_count: int
    shortfalls: tuple[Shortfall, ...]
    uncovered_routes: tuple[tuple[str, str], ...]


def impact(policy: PolicySet, held: Mapping[str, frozenset[str]], routes: Mapping[str, str]) -> Impact:
    """Return who could not satisfy the policy, and which routes it denies for want of a rule.

    Args:
        policy: The policy to judge.
        held: For each person the factors they can prove now.
        routes: For each route of the guarded application the action it asks for.
    """
    shortfalls = [_shortfall(policy, level, held) for level in sorted(_asked(policy))]
    return Impact(
        subjects_count=len(held),
        shortfalls=tuple(one for one in shortfalls if one.subjects),
        uncovered_routes=tuple(sorted(item for item in routes.items() if policy.plan_for(item[1]) is None)),
    )


def _shortfall(policy: PolicySet, level: str, held: Mapping[str, frozenset[str]]) -> Shortfall:
    view = policy.views[level]
    requiring = {
        rule_id: (rule, rule.then.level)
        for rule_id, rule in policy.document.rules.items()
        if isinstance(rule.then, Require)
    }
    asking = {rule_id: rule for rule_id, (rule, own) in requiring.items() if own == level} or {
        # No rule names the level: it is what rules for lower ones amount to together.
        rule_id: rule
        for rule_id, (rule, own) in requiring.items()
        if level in policy.order.at_or_above[own]
    }
    return Shortfall(
        level=level,
        rule_ids=tuple(sorted(asking)),
        actions=tuple(sorted({action for rule in asking.values() for action in rule.actions})),
        any_of=view.any_of,
        subjects=tuple(sorted(who for who, factors in held.items() if not _reaches(factors, view.any_of))),
    )


def _reaches(factors: frozenset[str], any_of: Iterable[tuple[str, ...]]) -> bool:
    return any(factors.issuperset(combination) for combination in any_of)


def _asked(policy: PolicySet) -> set[str]:
    """Return the levels that rules for one action may ask for, alone or together."""
    return {
        level
        for plan in (*policy.exact.values(), *policy.prefixes.values())
        for level in policy.order.joins_of({rule.require.level for rule in plan.requiring})
    }
