"""The rules for an action in a form that leaves out what no decision depends on: names, order, reasons.

Two versions whose forms are equal decide alike, so no solver needs to be asked.
"""

from collections.abc import Hashable

from keyrung_policies.analysis.encoding import relevant_attributes, rules_of
from keyrung_policies.model import Require
from keyrung_policies.policy_set import PolicySet


def plan_key(policy: PolicySet, action: str) -> Hashable:
    """Return a value that is equal for two policies only if they decide alike on this action.

    Attributes that no rule for the action looks at are left out; what they change is found apart.
    """
    plan = policy.plan_for(action)
    if plan is None:
        return None
    document, rank = policy.document, policy.order.rank
    bodies = frozenset((document.rules[rule.id].when, _effect(policy, rule.id)) for rule in rules_of(plan))
    # Which text is shown depends on the order of rule ids, so here it counts.
    showing = sorted((-rank[one.require.level], one.id) for one in plan.requiring if one.display is not None)
    shown = tuple((document.rules[rule_id].when, _effect(policy, rule_id)) for _, rule_id in showing)
    declared = tuple((name, document.attributes.get(name)) for name in sorted(relevant_attributes(plan)))
    return bodies, shown, declared, level_key(policy)


def level_key(policy: PolicySet) -> Hashable:
    """Return the levels without their names."""
    views = policy.views
    return frozenset(
        (view.acr_values[0], frozenset(view.acr_values), frozenset(map(frozenset, view.any_of)))
        for view in views.values()
    )


def _effect(policy: PolicySet, rule_id: str) -> Hashable:
    then = policy.document.rules[rule_id].then
    if not isinstance(then, Require):
        return type(then).__name__
    acr = policy.document.levels[then.level].acr
    return acr, then.max_age_seconds, then.bind, then.single_use, then.batch, then.display
