"""The decision: a pure function of policy, request and time.

Deny beats step-up, step-up beats allow, and what no rule allows is denied. A rule that concerns the
action and needs an attribute the request lacks makes the answer a denial, whether or not other parts
of its condition would have decided alone: so the answer never depends on the order of anything, and
leaving an attribute out is never a way round a rule.
"""

from datetime import datetime
from typing import Literal

from msgspec.structs import replace

from keyrung_policies.display import Template, render
from keyrung_policies.errors import DisplayError, EvaluationError
from keyrung_policies.merging import merged_requirement
from keyrung_policies.model import Decision, Request
from keyrung_policies.operators import Attributes
from keyrung_policies.policy_set import Merged, Plan, PolicySet, RequirePlan, RulePlan
from keyrung_policies.values import describe

# Combinations of rules whose merged requirement is kept for one action; far more than real traffic matches, and a bound
# on what odd requests can make it keep.
MAX_MERGED = 256
DEFAULT_DENY = Decision(
    outcome="deny",
    requirement=None,
    rule_ids=(),
    reasons=("default-deny: no rule allows this action for this request",),
)


def evaluate(policy: PolicySet, request: Request, now: datetime) -> Decision:
    """Return whether the request passes, passes after a step-up, or is refused.

    Args:
        policy: The checked policy.
        request: The action and its attributes; attributes nobody declared are ignored.
        now: The present moment, with a time zone; only time windows look at it.

    Raises:
        EvaluationError: `now` has no time zone.
    """
    if now.tzinfo is None:
        raise EvaluationError("the time given to evaluate has no time zone; pass an aware datetime.")
    plan = policy.plan_for(request.action)
    if plan is None:
        return DEFAULT_DENY
    if not _fits(policy, plan, request.attributes):
        return _faulty(policy, plan, request.attributes)
    attributes = request.attributes
    denying = [rule for rule in plan.denying if rule.holds(attributes, now)]
    if denying:
        return _decided("deny", denying)
    requiring = [rule for rule in plan.requiring if rule.holds(attributes, now)]
    if requiring:
        return _step_up(policy, plan, request, requiring)
    allowing = [rule for rule in plan.allowing if rule.holds(attributes, now)]
    return _decided("allow", allowing) if allowing else DEFAULT_DENY


def _fits(policy: PolicySet, plan: Plan, attributes: Attributes) -> bool:
    checks = policy.checks
    for name, value in attributes.items():
        check = checks.get(name)
        if check is not None and not check(value):
            return False
    for name, _ in plan.needed:  # noqa: SIM110 - a loop costs less than the generator that `all` would take
        if name not in attributes:
            return False
    return True


def _decided(outcome: Literal["allow", "deny"], rules: list[RulePlan]) -> Decision:
    if len(rules) == 1 and rules[0].alone is not None:
        return rules[0].alone
    return Decision(
        outcome=outcome,
        requirement=None,
        rule_ids=tuple([rule.id for rule in rules]),
        reasons=tuple([rule.reason for rule in rules]),
    )


def _faulty(policy: PolicySet, plan: Plan, attributes: Attributes) -> Decision:
    """Return the denial of a request that lacks attributes or has some of other values than declared."""
    declared, checks = policy.document.attributes, policy.checks
    faults = [
        f"attribute-mismatch: {name} must be {describe(declared[name])}"
        for name, value in attributes.items()
        if name in checks and not checks[name](value)
    ]
    faults += [
        f"attribute-missing: {name} is needed by {', '.join(rule_ids)}"
        for name, rule_ids in plan.needed
        if name not in attributes
    ]
    return Decision(outcome="deny", requirement=None, rule_ids=(), reasons=tuple(sorted(faults)))


def _step_up(policy: PolicySet, plan: Plan, request: Request, rules: list[RequirePlan]) -> Decision:
    if len(rules) == 1 and rules[0].alone is not None:
        return rules[0].alone
    rule_ids = tuple([rule.id for rule in rules])
    merged = plan.merged.get(rule_ids)
    if merged is None:
        merged = _merged(policy, rules, rule_ids)
        if len(plan.merged) < MAX_MERGED:
            plan.merged[rule_ids] = merged
    return merged.decision if merged.display is None else _shown(merged, merged.display, request)


def _merged(policy: PolicySet, rules: list[RequirePlan], rule_ids: tuple[str, ...]) -> Merged:
    requirement = merged_requirement([rule.require for rule in rules], order=policy.order, views=policy.views)
    reasons = tuple([rule.reason for rule in rules])
    # The text of the strictest rule that has one; among equals that of the first rule id.
    rank = policy.order.rank
    showing = sorted((-rank[rule.require.level], rule.id) for rule in rules if rule.display is not None)
    texts = {rule.id: rule.display for rule in rules}
    return Merged(
        decision=Decision(outcome="step_up", requirement=requirement, rule_ids=rule_ids, reasons=reasons),
        requirement=requirement,
        display=texts[showing[0][1]] if showing else None,
    )


def _shown(merged: Merged, template: Template, request: Request) -> Decision:
    """Return the decision with its text filled from the request, or a denial if the request lacks what it shows."""
    decision = merged.decision
    try:
        requirement = replace(merged.requirement, display=render(template, request.attributes))
    except DisplayError as error:
        reason = f"attribute-missing: {error.attribute} is needed by the display text of {', '.join(decision.rule_ids)}"
        return Decision(outcome="deny", requirement=None, rule_ids=(), reasons=(reason,))
    return replace(decision, requirement=requirement)
