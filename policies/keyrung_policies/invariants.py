"""What a policy promises for every possible request: the promise as data, and whether one decision keeps it.

An invariant speaks about requests that carry every attribute their action needs, with values as declared; all
others are denied by evaluation itself. It is no part of the policy and never reaches a bundle: a proof needs it,
a decision does not.
"""

from dataclasses import dataclass
from datetime import datetime

from keyrung_policies.errors import Place
from keyrung_policies.levels import LevelOrder
from keyrung_policies.model import Binding, Condition, Decision, Outcome, Request, Requirement
from keyrung_policies.operators import compile_condition, needed_attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """The least a step-up must be; None, no binding and False ask for nothing."""

    level: str
    max_age_seconds: int | None
    bind: tuple[Binding, ...]
    single_use: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Invariant:
    """Every request for one of these actions for which `when` holds has one of `outcomes`.

    Where the outcome is a step-up, it is at least `floor`. `actions` are names and prefixes as in rules.
    """

    place: Place
    name: str
    actions: tuple[str, ...]
    when: Condition | None
    outcomes: tuple[Outcome, ...]
    floor: Floor | None


def speaks_of(invariant: Invariant, request: Request, now: datetime) -> bool:
    """Return whether a request is one that the invariant is about."""
    if not any(_covers(pattern, request.action) for pattern in invariant.actions):
        return False
    if invariant.when is None:
        return True
    present = needed_attributes(invariant.when) <= request.attributes.keys()
    return present and compile_condition(invariant.when)(request.attributes, now)


def _covers(pattern: str, action: str) -> bool:
    return pattern in ("*", action) or (pattern.endswith(".*") and action.startswith(pattern.removesuffix("*")))


def violation(invariant: Invariant, decision: Decision, order: LevelOrder) -> str | None:
    """Return in words how a decision on a request that the invariant speaks about breaks it, or None."""
    if decision.outcome not in invariant.outcomes:
        return f"the outcome is {decision.outcome}, not {' or '.join(invariant.outcomes)}"
    if invariant.floor is None or decision.requirement is None:
        return None
    return _shortfall(invariant.floor, decision.requirement, order)


def _shortfall(floor: Floor, requirement: Requirement, order: LevelOrder) -> str | None:
    if requirement.level not in order.at_or_above[floor.level]:
        return f"the level is {requirement.level}, which is not {floor.level} or above"
    if floor.max_age_seconds is not None and requirement.max_age_seconds > floor.max_age_seconds:
        return f"max_age is {requirement.max_age_seconds} seconds, above {floor.max_age_seconds}"
    unbound = [part for part in floor.bind if part not in requirement.bind]
    if unbound:
        return f"the step-up is not bound to {' and '.join(unbound)}"
    if floor.single_use and not requirement.single_use:
        return "the step-up pays for more than one request"
    return None
