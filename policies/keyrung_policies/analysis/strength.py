"""What stronger means: the order in which two decisions on one request are compared.

A decision is a set of ways to get through: allow lets everything through, a step-up lets through who can prove enough,
a denial nothing. The second of two decisions is weaker where it lets through what the first did not, stronger where it
stops what the first let through, and it can be both at once.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from keyrung_policies.model import Batch, Decision, Outcome, Requirement

# A factor on the left proves all that those on the right prove.
_IMPLIES: dict[str, tuple[str, ...]] = {
    "webauthn-uv-attested": ("webauthn-uv",),
    "token-signature-attested": ("token-signature-origin-bound", "urn:keyrung:possession"),
    "token-signature-origin-bound": ("urn:keyrung:possession",),
}
_RANK: dict[Outcome, int] = {"allow": 0, "step_up": 1, "deny": 2}


class Verdict(StrEnum):
    """How the second of two policies compares to the first; what is not decided counts as weaker."""

    EQUAL = "equal"
    STRONGER = "stronger"
    WEAKER = "weaker"
    BOTH = "both"
    UNDECIDED = "not decided"

    @property
    def may_be_weaker(self) -> bool:
        """Whether a gate against weakening must stop here."""
        return self not in (Verdict.EQUAL, Verdict.STRONGER)


def verdict_of(*, weaker: bool, stronger: bool) -> Verdict:
    """Return the verdict for what was found."""
    if weaker:
        return Verdict.BOTH if stronger else Verdict.WEAKER
    return Verdict.STRONGER if stronger else Verdict.EQUAL


def worst_of(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict on a whole from those on its parts."""
    found = set(verdicts)
    if Verdict.UNDECIDED in found:
        return Verdict.UNDECIDED
    return verdict_of(
        weaker=bool(found & {Verdict.WEAKER, Verdict.BOTH}), stronger=bool(found & {Verdict.STRONGER, Verdict.BOTH})
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """In which respects the second decision is weaker and in which stronger, by their stable names."""

    weaker: tuple[str, ...]
    stronger: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        """The verdict on this one request."""
        return verdict_of(weaker=bool(self.weaker), stronger=bool(self.stronger))


class Proofs(Protocol):
    """What satisfies a level: the acr values of held assertions, and combinations of factors."""

    @property
    def acr_values(self) -> tuple[str, ...]:
        """The accepted acr values."""
        ...

    @property
    def any_of(self) -> tuple[tuple[str, ...], ...]:
        """The accepted combinations of factors."""
        ...


def accepts_only(head: Proofs, base: Proofs, base_acrs: frozenset[str]) -> bool:
    """Return whether everything that satisfies ``head`` satisfies ``base`` too.

    Names of levels don't matter. An acr value counts only where the base policy issues it: an assertion with another
    one does not exist yet.
    """
    if not (base_acrs & frozenset(head.acr_values)) <= frozenset(base.acr_values):
        return False
    accepted = [frozenset(combination) for combination in base.any_of]
    return all(any(one <= _proven_by(combination) for one in accepted) for combination in head.any_of)


def _proven_by(combination: tuple[str, ...]) -> frozenset[str]:
    return frozenset(combination).union(*(_IMPLIES.get(factor, ()) for factor in combination))


def compare(base: Decision, head: Decision, *, base_acrs: frozenset[str], head_acrs: frozenset[str]) -> Comparison:
    """Return how ``head`` compares to ``base``; the acrs are all that the levels of each policy declare."""
    if base.outcome != head.outcome:
        change = (outcome_change(base.outcome, head.outcome),)
        weaker = _RANK[head.outcome] < _RANK[base.outcome]
        return Comparison(weaker=change if weaker else (), stronger=() if weaker else change)
    if base.requirement is None or head.requirement is None:
        return Comparison(weaker=(), stronger=())
    return Comparison(
        weaker=_gained(base.requirement, head.requirement, base_acrs),
        stronger=_gained(head.requirement, base.requirement, head_acrs),
    )


def outcome_change(base: Outcome, head: Outcome) -> str:
    """Return the name of a change of outcome, as in `deny-to-allow`."""
    return f"{base}-to-{head}".replace("_", "-")


def _gained(base: Requirement, head: Requirement, base_acrs: frozenset[str]) -> tuple[str, ...]:
    """Return the respects in which ``head`` lets through what ``base`` does not."""
    gained = {
        "level": not accepts_only(head, base, base_acrs),
        "max-age": head.max_age_seconds > base.max_age_seconds,
        "bind": not set(base.bind) <= set(head.bind),
        "single-use": base.single_use and not head.single_use,
        "batch": not base.single_use and not head.single_use and _pays_more(base.batch, head.batch),
    }
    return tuple(name for name, holds in gained.items() if holds)


def _pays_more(base: Batch | None, head: Batch | None) -> bool:
    """Return whether a step-up pays for more requests than before; without a batch it pays for any number."""
    if base is None:
        return False
    return head is None or head.count > base.count or head.within_seconds > base.within_seconds
