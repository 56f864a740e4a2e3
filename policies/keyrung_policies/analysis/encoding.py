"""Policies as formulas: for one action, what evaluation says to every possible request, exactly as `evaluate` does.

One `Encoding` holds the unknowns of a request, shared by the sides that are asked about it: two versions of a policy,
or one policy with and without a rule. A `Side` is one policy's plan for the action over those unknowns.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from keyrung_policies.analysis.errors import AnalysisLimitError
from keyrung_policies.analysis.lists import ListSpace
from keyrung_policies.analysis.moments import Clock
from keyrung_policies.analysis.solver import Formula, Model, every, negate, some
from keyrung_policies.analysis.spaces import ClassSpace, Space
from keyrung_policies.model import (
    All,
    Any,
    Attribute,
    AttributeTest,
    Condition,
    EnumAttribute,
    Not,
    Request,
    Require,
    Rule,
    SetAttribute,
    TextAttribute,
    TimeWindow,
)
from keyrung_policies.operators import condition_tests
from keyrung_policies.policy_set import Plan, PolicySet, RulePlan

NO_PLAN = Plan(denying=(), requiring=(), allowing=(), needed=())


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """The unknowns of a request for one action."""

    action: str
    spaces: dict[str, Space]
    clock: Clock

    @cached_property
    def complete(self) -> Formula:
        """That the request lacks none of the attributes that matter."""
        return every([negate(space.missing) for space in self.spaces.values()])

    @cached_property
    def facts(self) -> list[Formula]:
        """What holds for every request."""
        return [*self.clock.facts, *(fact for space in self.spaces.values() for fact in space.facts)]

    def condition(self, condition: Condition | None) -> Formula:
        """Return that a condition holds, for attributes that are present and as declared."""
        if condition is None:
            return every([])
        known = self._conditions.get(condition)
        if known is None:
            known = self._conditions[condition] = self._translate(condition)
        return known

    def _translate(self, condition: Condition) -> Formula:
        match condition:
            case All(parts=parts):
                return every([self.condition(part) for part in parts])
            case Any(parts=parts):
                return some([self.condition(part) for part in parts])
            case Not(part=part):
                return negate(self.condition(part))
            case TimeWindow():
                return self.clock.holds(condition)
            case _:
                return self.spaces[condition.attribute].holds(condition)

    @cached_property
    def _conditions(self) -> dict[Condition, Formula]:
        return {}

    def request(self, model: Model) -> tuple[Request, datetime]:
        """Return the request of a model and its moment."""
        values = {name: space.value(model) for name, space in self.spaces.items()}
        attributes = {name: value for name, value in values.items() if value is not None}
        return Request(action=self.action, attributes=attributes), self.clock.moment(model)


def encode(action: str, policies: Sequence[PolicySet], beside: Iterable[Condition | None] = ()) -> Encoding:
    """Return the unknowns that matter to an action in any of these policies, or to the conditions ``beside`` them.

    Raises:
        AnalysisLimitError: An attribute is too entangled.
    """
    conditions = [*beside]
    names = {test.attribute for condition in conditions for test in condition_tests(condition)}
    for policy in policies:
        plan = policy.plan_for(action) or NO_PLAN
        conditions += [policy.document.rules[rule.id].when for rule in rules_of(plan)]
        names |= relevant_attributes(plan)
    tests: dict[str, dict[AttributeTest, None]] = {name: {} for name in sorted(names)}
    for condition in conditions:
        for test in condition_tests(condition):
            tests[test.attribute][test] = None
    spaces = {
        name: space_for(name, [policy.document.attributes.get(name) for policy in policies], made)
        for name, made in tests.items()
    }
    windows = dict.fromkeys(window for condition in conditions for window in _windows(condition))
    return Encoding(action=action, spaces=spaces, clock=Clock(windows=tuple(windows)))


def space_for(name: str, declared: Sequence[Attribute | None], tests: Iterable[AttributeTest] = ()) -> Space:
    """Return all values of an attribute, as each side declares it.

    Raises:
        AnalysisLimitError: The sides disagree about the type.
    """
    kinds = {type(attribute) for attribute in declared if attribute is not None}
    if len(kinds) > 1 and not kinds <= {TextAttribute, EnumAttribute}:
        raise AnalysisLimitError(f"{name} changed its type, which is more than can be compared; look at it by hand")
    if SetAttribute in kinds:
        lists = tuple(attribute if isinstance(attribute, SetAttribute) else None for attribute in declared)
        return ListSpace(name=name, declared=lists, tests=tuple(tests))
    return ClassSpace(name=name, declared=tuple(declared), tests=tuple(tests))


def rules_of(plan: Plan) -> tuple[RulePlan, ...]:
    """Return all rules of a plan."""
    return (*plan.denying, *plan.requiring, *plan.allowing)


def relevant_attributes(plan: Plan) -> set[str]:
    """Return the attributes on which the decision for an action can depend, whatever else a request carries."""
    shown = (name for rule in plan.requiring if rule.display is not None for name in rule.display.attributes())
    return {name for name, _ in plan.needed}.union(shown)


def _windows(condition: Condition | None) -> list[TimeWindow]:
    match condition:
        case TimeWindow():
            return [condition]
        case All(parts=parts) | Any(parts=parts):
            return [window for part in parts for window in _windows(part)]
        case Not(part=part):
            return _windows(part)
        case _:
            return []


@dataclass(frozen=True, kw_only=True)
class Side:
    """What one policy decides on the requests of an encoding; ``index`` is its place among the encoded policies.

    ``ignored`` is a rule that decides nothing here, though what it needs is still needed.
    """

    encoding: Encoding
    policy: PolicySet
    index: int
    ignored: str | None = None

    @cached_property
    def plan(self) -> Plan:
        """The rules that concern the action."""
        plan = self.policy.plan_for(self.encoding.action) or NO_PLAN
        if self.ignored is None:
            return plan
        return replace(
            plan,
            denying=tuple(rule for rule in plan.denying if rule.id != self.ignored),
            requiring=tuple(rule for rule in plan.requiring if rule.id != self.ignored),
            allowing=tuple(rule for rule in plan.allowing if rule.id != self.ignored),
        )

    def rule(self, rule_id: str) -> Rule:
        """Return a rule of the policy."""
        return self.policy.document.rules[rule_id]

    def matches(self, rule_id: str) -> Formula:
        """Return that the condition of a rule holds, for a well-formed request."""
        return self._matching[rule_id]

    @cached_property
    def _matching(self) -> dict[str, Formula]:
        return {rule.id: self.encoding.condition(self.rule(rule.id).when) for rule in rules_of(self.plan)}

    @cached_property
    def well_formed(self) -> Formula:
        """That every needed attribute is there and every attribute is as declared; all else is denied."""
        spaces = self.encoding.spaces
        # Without a plan the answer is a denial in any case, and nothing is needed.
        needed = [negate(spaces[name].missing) for name, _ in self.plan.needed]
        return every([*needed, *(space.accepted(self.index) for space in spaces.values())])

    @cached_property
    def denies(self) -> Formula:
        """That the outcome is a denial."""
        return negate(some([self.steps_up, self.allows]))

    @cached_property
    def steps_up(self) -> Formula:
        """That the outcome is a step-up."""
        return every([self._passes_denials, self._requires, negate(self._display_lacks)])

    @cached_property
    def allows(self) -> Formula:
        """That the request passes as it is."""
        allowing = some([self.matches(rule.id) for rule in self.plan.allowing])
        return every([self._passes_denials, negate(self._requires), allowing])

    @cached_property
    def _passes_denials(self) -> Formula:
        return every([self.well_formed, *(negate(self.matches(rule.id)) for rule in self.plan.denying)])

    @cached_property
    def _requires(self) -> Formula:
        return some([self.matches(rule.id) for rule in self.plan.requiring])

    @cached_property
    def _display_lacks(self) -> Formula:
        """That the text a person would approve shows an attribute the request lacks, which denies."""
        spaces = self.encoding.spaces
        lacking = []
        for rule_id, chosen in self.shown.items():
            display = next(rule.display for rule in self.plan.requiring if rule.id == rule_id)
            names = display.attributes() if display is not None else ()
            lacking.append(every([chosen, some([spaces[name].missing for name in sorted(names)])]))
        return some(lacking)

    @cached_property
    def shown(self) -> dict[str, Formula]:
        """For each rule with a display text, that its text is the one shown: the strictest, then the first by id."""
        rank = self.policy.order.rank
        showing = [rule for rule in self.plan.requiring if rule.display is not None]
        showing.sort(key=lambda rule: (-rank[rule.require.level], rule.id))
        chosen: dict[str, Formula] = {}
        before: list[Formula] = []
        for rule in showing:
            chosen[rule.id] = every([self.matches(rule.id), *before])
            before.append(negate(self.matches(rule.id)))
        return chosen

    def demands(self, wanted: Callable[[Require], bool]) -> Formula:
        """Return that a matching rule requires a step-up of this kind."""
        return some([self.matches(rule.id) for rule in self.plan.requiring if wanted(rule.require)])

    def demanded(self, field: Callable[[Require], int | None]) -> list[int]:
        """Return the values that the rules give to a field of their requirement, ascending."""
        found = {field(rule.require) for rule in self.plan.requiring}
        return sorted(value for value in found if value is not None)

    @cached_property
    def levels(self) -> dict[str, Formula]:
        """For each level that a request can be asked for, that it is the one: the join of all that match require."""
        order = self.policy.order
        possible = order.joins_of({rule.require.level for rule in self.plan.requiring})
        within = {
            level: negate(self.demands(lambda require, level=level: level not in order.at_or_above[require.level]))  # type: ignore[misc]
            for level in possible
        }
        return {
            level: every(
                [
                    within[level],
                    *(
                        negate(within[other])
                        for other in possible
                        if other != level and level in order.at_or_above[other]
                    ),
                ]
            )
            for level in sorted(possible)
        }
