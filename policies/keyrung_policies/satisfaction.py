"""The retry side: whether a step-up that somebody has already made is good enough, and if not, what is missing.

Freshness only ever decays: nothing here renews a step-up, and one from the future counts as none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from keyrung_policies.errors import EvaluationError
from keyrung_policies.model import Binding, Requirement
from keyrung_policies.words import duration, listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A step-up that was made.

    `same` lists the parts of the request at hand it was made for; `used_count` counts requests it has paid for.
    """

    acr: str
    auth_time: datetime
    same: tuple[Binding, ...]
    used_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Satisfaction:
    """Whether a step-up will do.

    Each entry of `missing` is `code: sentence`, the code being level, age, binding or use. `good_until` is when it
    becomes too old, also where something else is missing.
    """

    missing: tuple[str, ...]
    good_until: datetime

    @property
    def satisfied(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing


def satisfaction(requirement: Requirement, held: Held, now: datetime, *, skew_seconds: int) -> Satisfaction:
    """Return whether a step-up meets a requirement now.

    Args:
        requirement: What the policy asks for.
        held: What was made.
        now: The present moment, with a time zone.
        skew_seconds: How far the clocks of those involved may differ.

    Raises:
        EvaluationError: A time has no time zone.
    """
    if now.tzinfo is None or held.auth_time.tzinfo is None:
        raise EvaluationError("a time given to satisfaction has no time zone; pass aware datetimes.")
    age_seconds = (now - held.auth_time).total_seconds()
    limit_seconds = requirement.max_age_seconds
    if requirement.batch is not None:
        limit_seconds = min(limit_seconds, requirement.batch.within_seconds)
    found = (
        _level_missing(requirement, held),
        _age_missing(age_seconds, limit_seconds, skew_seconds),
        _binding_missing(requirement, held),
        _use_missing(requirement, held),
    )
    return Satisfaction(
        missing=tuple(sentence for sentence in found if sentence is not None),
        good_until=held.auth_time + timedelta(seconds=limit_seconds),
    )


def level_met(acr: str, acr_values: Sequence[str]) -> bool:
    """Return whether an acr is one of those that are good enough; an unknown one never is (RFC 9470 section 5)."""
    return acr in acr_values


def age_met(age_seconds: float, limit_seconds: int, skew_seconds: int) -> bool:
    """Return whether a step-up is young enough; a limit of 0 leaves it the difference of the clocks and no more."""
    return -skew_seconds <= age_seconds <= limit_seconds + skew_seconds


def _level_missing(requirement: Requirement, held: Held) -> str | None:
    if level_met(held.acr, requirement.acr_values):
        return None
    return f"level: {held.acr or 'no acr'} is not {listed(requirement.acr_values, 'or')}"


def _age_missing(age_seconds: float, limit_seconds: int, skew_seconds: int) -> str | None:
    if age_met(age_seconds, limit_seconds, skew_seconds):
        return None
    if age_seconds < 0:
        return f"age: it was made {duration(round(-age_seconds))} in the future"
    return f"age: it is {duration(round(age_seconds))} old, and at most {duration(limit_seconds)} is accepted"


def _binding_missing(requirement: Requirement, held: Held) -> str | None:
    other = [part for part in requirement.bind if part not in held.same]
    return f"binding: it was made for another {listed(other, 'and')}" if other else None


def _use_missing(requirement: Requirement, held: Held) -> str | None:
    if requirement.single_use:
        return "use: it has paid for a request already" if held.used_count else None
    if requirement.batch is not None and held.used_count >= requirement.batch.count:
        return f"use: it has paid for {held.used_count} requests, and its batch has {requirement.batch.count}"
    return None
