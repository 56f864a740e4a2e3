"""The decision: a pure function of policy, request and time.

Deny beats step-up, step-up beats allow, and what no rule allows is denied. A rule that concerns the
action and needs an attribute the request lacks makes the answer a denial, whether or not other parts
of its condition would have decided alone: so the answer never depends on the order of anything, and
leaving an attribute out is never a way round a rule.
"""

from datetime import datetime
from typing import Literal

from keyrung_policies.display import render
from keyrung_policies.errors import DisplayError, EvaluationError
from keyrung_policies.model import BINDINGS, Batch, Decision, Request, Require, Requirement
from keyrung_policies.policy_set import Plan, PolicySet, RequirePlan, RulePlan
from keyrung_policies.values import describe

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
    faults = _attribute_faults(policy, plan, request)
    if faults:
        return Decision(outcome="deny", requirement=None, rule_ids=(), reasons=tuple(faults))
    attributes = request.attributes
    denying = [rule for rule in plan.denying if rule.holds(attributes, now)]
    if denying:
        return _decided("deny", denying)
    requiring = [rule for rule in plan.requiring if rule.holds(attributes, now)]
    if requiring:
        return _step_up(policy, request, requiring)
    allowing = [rule for rule in plan.allowing if rule.holds(attributes, now)]
    return _decided("allow", allowing) if allowing else DEFAULT_DENY


def _decided(outcome: Literal["allow", "deny"], rules: list[RulePlan]) -> Decision:
    return Decision(
        outcome=outcome,
        requirement=None,
        rule_ids=tuple([rule.id for rule in rules]),
        reasons=tuple([rule.reason for rule in rules]),
    )


def _attribute_faults(policy: PolicySet, plan: Plan, request: Request) -> list[str]:
    attributes, checks = request.attributes, policy.checks
    mismatched = [name for name, value in attributes.items() if name in checks and not checks[name](value)]
    missing = [(name, rule_ids) for name, rule_ids in plan.needed if name not in attributes]
    if not mismatched and not missing:
        return []
    declared = policy.document.attributes
    faults = [f"attribute-mismatch: {name} must be {describe(declared[name])}" for name in mismatched]
    faults += [f"attribute-missing: {name} is needed by {', '.join(rule_ids)}" for name, rule_ids in missing]
    return sorted(faults)


def _step_up(policy: PolicySet, request: Request, rules: list[RequirePlan]) -> Decision:
    demands = [rule.require for rule in rules]
    level = policy.order.join(tuple([demand.level for demand in demands]))
    view = policy.views[level]
    single_use = any([demand.single_use for demand in demands])
    bound = {binding for demand in demands for binding in demand.bind}
    rule_ids = tuple([rule.id for rule in rules])
    try:
        display = _display(policy, request, rules)
    except DisplayError as error:
        reason = f"attribute-missing: {error.attribute} is needed by the display text of {', '.join(rule_ids)}"
        return Decision(outcome="deny", requirement=None, rule_ids=(), reasons=(reason,))
    return Decision(
        outcome="step_up",
        requirement=Requirement(
            level=level,
            acr=view.acr_values[0],
            acr_values=view.acr_values,
            any_of=view.any_of,
            max_age_seconds=min([demand.max_age_seconds for demand in demands]),
            bind=tuple([binding for binding in BINDINGS if binding in bound]),
            display=display,
            single_use=single_use,
            batch=None if single_use else _smallest_batch(demands),
        ),
        rule_ids=rule_ids,
        reasons=tuple([rule.reason for rule in rules]),
    )


def _smallest_batch(demands: list[Require]) -> Batch | None:
    """Return the batch that no demand finds too large."""
    batches = [demand.batch for demand in demands if demand.batch is not None]
    if not batches:
        return None
    return Batch(
        count=min([batch.count for batch in batches]),
        within_seconds=min([batch.within_seconds for batch in batches]),
    )


def _display(policy: PolicySet, request: Request, rules: list[RequirePlan]) -> str | None:
    """Return the text of the strictest rule that has one; among equals the first rule id wins."""
    rank = policy.order.rank
    showing = [(-rank[rule.require.level], rule.id, rule.display) for rule in rules if rule.display is not None]
    if not showing:
        return None
    _, _, template = min(showing, key=lambda entry: entry[:2])
    return render(template, request.attributes)
