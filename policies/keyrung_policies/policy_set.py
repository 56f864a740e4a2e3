"""A policy that is ready to be asked: the document, checked as a whole and indexed by action.

Rules are gathered per action name and per action prefix once, so a decision never looks at rules for
other actions. A document that contradicts itself does not become a `PolicySet`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache

from keyrung_policies.display import Template, parse_template, template_problem
from keyrung_policies.errors import PolicyModelError, Problem
from keyrung_policies.levels import LevelOrder, level_order, level_problems
from keyrung_policies.merging import LevelView, level_views, merged_requirement
from keyrung_policies.model import (
    ACTION_NAME_PATTERN,
    BINDINGS,
    MAX_ACTION_CHARS,
    Allow,
    Decision,
    Deny,
    Document,
    Outcome,
    Require,
    Requirement,
    Rule,
)
from keyrung_policies.operators import (
    Attributes,
    Predicate,
    compile_condition,
    condition_tests,
    find_test_problem,
    needed_attributes,
)
from keyrung_policies.values import Check, compile_check

_ACTION_NAME = re.compile(ACTION_NAME_PATTERN)


@dataclass(frozen=True, slots=True, kw_only=True)
class RulePlan:
    """A rule made ready: its condition as a function, the reason it gives, and the decision where it decides alone.

    There is no such decision ready where a text for people is filled from the request.
    """

    id: str
    holds: Predicate
    reason: str
    alone: Decision | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequirePlan(RulePlan):
    """A rule that demands a step-up, its display text parsed."""

    require: Require
    display: Template | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What rules require together: the decision, its requirement, and the text that is still to be filled."""

    decision: Decision
    requirement: Requirement
    display: Template | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that concerns one action: rules by effect and id, and each needed attribute with the rules that need it.

    `merged` keeps what several rules require together, by their ids, since the same ones match again and again.
    """

    denying: tuple[RulePlan, ...]
    requiring: tuple[RequirePlan, ...]
    allowing: tuple[RulePlan, ...]
    needed: tuple[tuple[str, tuple[str, ...]], ...]
    merged: dict[tuple[str, ...], Merged] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySet:
    """A checked policy; two are equal when their documents are."""

    document: Document
    exact: Mapping[str, Plan] = field(compare=False, repr=False)
    prefixes: Mapping[str, Plan] = field(compare=False, repr=False)
    order: LevelOrder = field(compare=False, repr=False)
    views: Mapping[str, LevelView] = field(compare=False, repr=False)
    checks: Mapping[str, Check] = field(compare=False, repr=False)

    def plan_for(self, action: str) -> Plan | None:
        """Return what concerns an action: by its exact name, else by its longest declared prefix."""
        plan = self.exact.get(action)
        if plan is not None:
            return plan
        # A star in a request is no name: it finds no plan of a pattern.
        if len(action) > MAX_ACTION_CHARS or _ACTION_NAME.match(action) is None:
            return None
        prefix, dot, _ = action.rpartition(".")
        while dot:
            plan = self.prefixes.get(f"{prefix}.*")
            if plan is not None:
                return plan
            prefix, dot, _ = prefix.rpartition(".")
        return self.prefixes.get("*")


def policy_set(document: Document) -> PolicySet:
    """Return the document as a policy that can be asked.

    Raises:
        PolicyModelError: The document contradicts itself.
    """
    for found in level_problems(document.levels):
        raise PolicyModelError(found.problem, where=f"level {found.level}")
    for rule_id, rule in document.rules.items():
        problem = rule_problem(rule, document)
        if problem is not None:
            raise PolicyModelError(problem, where=f"rule {rule_id}")
    order = level_order(document.levels)
    views = level_views(document, order)

    @cache  # many rules require the same
    def requirement_of(require: Require) -> Requirement:
        return merged_requirement([require], order=order, views=views)

    rule_plans = {rule_id: _rule_plan(rule_id, rule, requirement_of) for rule_id, rule in document.rules.items()}
    plans = _plans(document, rule_plans)
    return PolicySet(
        document=document,
        exact={pattern: plan for pattern, plan in plans.items() if not pattern.endswith("*")},
        prefixes={pattern: plan for pattern, plan in plans.items() if pattern.endswith("*")},
        order=order,
        views=views,
        checks={name: compile_check(attribute) for name, attribute in document.attributes.items()},
    )


def rule_problem(rule: Rule, document: Document) -> Problem | None:
    """Return why a rule does not fit the attributes and levels around it, or None."""
    for test in condition_tests(rule.when):
        problem = find_test_problem(test, document.attributes)
        if problem is not None:
            return problem
    if not isinstance(rule.then, Require):
        return None
    if rule.then.level not in document.levels:
        return unknown_level(rule.then.level)
    problem = require_problem(rule.then)
    if problem is not None or rule.then.display is None:
        return problem
    template = parse_template(rule.then.display)
    return template if isinstance(template, Problem) else template_problem(template, document.attributes)


def require_problem(require: Require) -> Problem | None:
    """Return why a requirement contradicts itself, or None."""
    if require.batch is not None and require.single_use:
        return Problem(
            id="batch-single-use", sentence="a step-up that pays once pays for no batch", fix="remove single_use"
        )
    # Zero seconds are no age a person could meet: they mean a step-up for this very request and no other.
    if require.max_age_seconds == 0 and (require.bind != BINDINGS or not require.single_use):
        return Problem(
            id="zero-age-reused",
            sentence="max_age 0s means this request only, but the step-up could pay for another one",
            fix="leave out bind, single_use and batch, or write a longer max_age",
        )
    return None


def unknown_level(name: str) -> Problem:
    """Return the problem of a level that nobody declared."""
    return Problem(
        id="unknown-level",
        sentence=f"the level {name} is not declared",
        fix="declare it under `levels` or correct the name",
    )


def _rule_plan(rule_id: str, rule: Rule, requirement_of: Callable[[Require], Requirement]) -> RulePlan:
    holds = _always if rule.when is None else compile_condition(rule.when)
    match rule.then:
        case Require(level=level, display=display):
            reason = f"rule-requires: the rule {rule_id} requires {level}"
            parsed = None if display is None else parse_template(display)
            requirement = requirement_of(rule.then)
            return RequirePlan(
                id=rule_id,
                holds=holds,
                reason=reason,
                alone=None if display is not None else _decision("step_up", rule_id, reason, requirement),
                require=rule.then,
                display=parsed if isinstance(parsed, Template) else None,
            )
        case Deny():
            reason = f"rule-denies: the rule {rule_id} denies this request"
            return RulePlan(id=rule_id, holds=holds, reason=reason, alone=_decision("deny", rule_id, reason))
        case Allow():
            reason = f"rule-allows: the rule {rule_id} allows this request"
            return RulePlan(id=rule_id, holds=holds, reason=reason, alone=_decision("allow", rule_id, reason))


def _decision(outcome: Outcome, rule_id: str, reason: str, requirement: Requirement | None = None) -> Decision:
    return Decision(outcome=outcome, requirement=requirement, rule_ids=(rule_id,), reasons=(reason,))


def _always(_attributes: Attributes, _now: datetime) -> bool:
    return True


def _plans(document: Document, rule_plans: Mapping[str, RulePlan]) -> dict[str, Plan]:
    by_pattern: dict[str, list[str]] = {}
    for rule_id, rule in document.rules.items():
        for pattern in rule.actions:
            by_pattern.setdefault(pattern, []).append(rule_id)
    plans: dict[str, Plan] = {}
    for pattern in by_pattern:
        rule_ids = {rule_id for covering in _covering(pattern) for rule_id in by_pattern.get(covering, ())}
        plans[pattern] = _plan(sorted(rule_ids), document, rule_plans)
    return plans


def _covering(pattern: str) -> list[str]:
    """Return the pattern itself and every wider pattern."""
    covering = [pattern]
    prefix, dot, _ = pattern.removesuffix(".*").rpartition(".")
    while dot:
        covering.append(f"{prefix}.*")
        prefix, dot, _ = prefix.rpartition(".")
    return [*covering, "*"]


def _plan(rule_ids: list[str], document: Document, rule_plans: Mapping[str, RulePlan]) -> Plan:
    needed: dict[str, list[str]] = {}
    for rule_id in rule_ids:
        for name in needed_attributes(document.rules[rule_id].when):
            needed.setdefault(name, []).append(rule_id)
    plans = [(document.rules[rule_id].then, rule_plans[rule_id]) for rule_id in rule_ids]
    return Plan(
        denying=tuple(plan for effect, plan in plans if isinstance(effect, Deny)),
        requiring=tuple(plan for _, plan in plans if isinstance(plan, RequirePlan)),
        allowing=tuple(plan for effect, plan in plans if isinstance(effect, Allow)),
        needed=tuple((name, tuple(users)) for name, users in sorted(needed.items())),
    )
