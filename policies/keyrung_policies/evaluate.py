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
from keyrung_policies.model import BINDINGS, Allow, Decision, Deny, Request, Require, Requirement
from keyrung_policies.operators import describe, value_fits
from keyrung_policies.policy_set import Plan, PolicySet, RulePlan

VERBS = {"allow": "allows", "deny": "denies"}
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
    matching = [rule for rule in plan.rules if rule.holds is None or rule.holds(attributes, now)]
    denying = [rule.id for rule in matching if isinstance(rule.effect, Deny)]
    if denying:
        return _decided("deny", denying)
    demanding = [(rule, rule.effect) for rule in matching if isinstance(rule.effect, Require)]
    if demanding:
        return _step_up(policy, request, demanding)
    allowing = [rule.id for rule in matching if isinstance(rule.effect, Allow)]
    return _decided("allow", allowing) if allowing else DEFAULT_DENY


def _decided(outcome: Literal["allow", "deny"], rule_ids: list[str]) -> Decision:
    word = VERBS[outcome]
    return Decision(
        outcome=outcome,
        requirement=None,
        rule_ids=tuple(rule_ids),
        reasons=tuple([f"rule-{word}: the rule {rule_id} {word} this request" for rule_id in rule_ids]),
    )


def _attribute_faults(policy: PolicySet, plan: Plan, request: Request) -> list[str]:
    declared = policy.document.attributes
    faults: list[str] = []
    for name, value in request.attributes.items():
        attribute = declared.get(name)
        if attribute is not None and not value_fits(attribute, value):
            faults.append(f"attribute-mismatch: {name} must be {describe(attribute)}")
    for name, rule_ids in plan.needed:
        if name not in request.attributes:
            faults.append(f"attribute-missing: {name} is needed by {', '.join(rule_ids)}")
    return sorted(faults)


def _step_up(policy: PolicySet, request: Request, demanding: list[tuple[RulePlan, Require]]) -> Decision:
    level = policy.order.join(tuple([effect.level for _, effect in demanding]))
    view = policy.views[level]
    bound = {binding for _, effect in demanding for binding in effect.bind}
    rule_ids = tuple([rule.id for rule, _ in demanding])
    try:
        display = _display(policy, request, demanding)
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
            max_age_seconds=min([effect.max_age_seconds for _, effect in demanding]),
            bind=tuple([binding for binding in BINDINGS if binding in bound]),
            display=display,
            single_use=any([effect.single_use for _, effect in demanding]),
        ),
        rule_ids=rule_ids,
        reasons=tuple([f"rule-requires: the rule {rule.id} requires {effect.level}" for rule, effect in demanding]),
    )


def _display(policy: PolicySet, request: Request, demanding: list[tuple[RulePlan, Require]]) -> str | None:
    """Return the text of the strictest rule that has one; among equals the first rule id wins."""
    showing = [(-policy.order.rank[effect.level], rule) for rule, effect in demanding if rule.display is not None]
    if not showing:
        return None
    _, strictest = min(showing, key=lambda pair: (pair[0], pair[1].id))
    return None if strictest.display is None else render(strictest.display, request.attributes)
