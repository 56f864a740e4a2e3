"""Why a decision is what it is: every rule for the action, whether it applies, and because of what."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from keyrung_policies.evaluate import evaluate
from keyrung_policies.model import All, Condition, Decision, Deny, Effect, Request, Require
from keyrung_policies.operators import compile_condition, needed_attributes
from keyrung_policies.policy_set import PolicySet
from keyrung_policies.words import condition_words, value_words

# What a rule did: it applied, it did not, or it was not looked at, because the request lacks what rules need.
State: TypeAlias = Literal["applies", "does-not-apply", "not-judged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleView:
    """One rule for the action. `because` says which of its conditions decided, with the request's values."""

    rule_id: str
    effect: str
    state: State
    because: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A decision and what every rule for its action made of the request, in the order of the rules' ids."""

    decision: Decision
    rules: tuple[RuleView, ...]


def explain(policy: PolicySet, request: Request, now: datetime) -> Explanation:
    """Return the decision together with its reasons, rule by rule.

    Raises:
        EvaluationError: `now` has no time zone.
    """
    decision = evaluate(policy, request, now)
    plan = policy.plan_for(request.action)
    if plan is None:
        return Explanation(decision=decision, rules=())
    mismatched = any(reason.startswith("attribute-mismatch") for reason in decision.reasons)
    judged = not mismatched and all(name in request.attributes for name, _ in plan.needed)
    rule_ids = sorted(rule.id for rule in (*plan.denying, *plan.requiring, *plan.allowing))
    return Explanation(
        decision=decision, rules=tuple(_view(policy, rule_id, request, now, judged=judged) for rule_id in rule_ids)
    )


def _view(policy: PolicySet, rule_id: str, request: Request, now: datetime, *, judged: bool) -> RuleView:
    rule = policy.document.rules[rule_id]
    effect = effect_words(rule.then)
    if rule.when is None:
        return RuleView(rule_id=rule_id, effect=effect, state="applies" if judged else "not-judged", because=())
    parts = rule.when.parts if isinstance(rule.when, All) else (rule.when,)
    if not judged:
        because = tuple(condition_words(part) for part in parts)
        return RuleView(rule_id=rule_id, effect=effect, state="not-judged", because=because)
    failing = [part for part in parts if not compile_condition(part)(request.attributes, now)]
    return RuleView(
        rule_id=rule_id,
        effect=effect,
        state="does-not-apply" if failing else "applies",
        because=tuple(_finding(part, request, now, holds=not failing) for part in failing or parts),
    )


def effect_words(effect: Effect) -> str:
    """Return what a rule does, as in `requires phr`."""
    if isinstance(effect, Require):
        return f"requires {effect.level}"
    return "denies" if isinstance(effect, Deny) else "allows"


def _finding(part: Condition, request: Request, now: datetime, *, holds: bool) -> str:
    names = sorted(needed_attributes(part))
    values = [f"{name} = {value_words(request.attributes[name])}" for name in names]
    facts = ", ".join(values) or f"it is {now:%Y-%m-%d %H:%M %Z}"
    return f"{condition_words(part)} ({facts})" if holds else f"not so: {condition_words(part)} ({facts})"
