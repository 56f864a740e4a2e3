"""The order of decisions spelled out: everybody who may come, and whom a decision lets through."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import chain, combinations

from support.policy_domain import MAX_AGES_SECONDS

from keyrung_policies.model import BINDINGS, Decision
from keyrung_policies.policy_set import PolicySet

_FACTOR_SETS = [
    frozenset(some)
    for some in chain.from_iterable(
        combinations(["otp", "webauthn-uv", "token-signature-origin-bound"], n) for n in (1, 2, 3)
    )
] + [
    # Attested signatures are origin-bound signatures too.
    frozenset({"token-signature-attested", "token-signature-origin-bound"}),
    frozenset({"token-signature-attested", "token-signature-origin-bound", "otp"}),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What somebody comes with: fresh factors or the acr of an assertion, and how it was used before."""

    proof: frozenset[str] | str
    age_seconds: int
    changed: str | None
    uses_before: int
    since_first_use_seconds: int


_USES = [(0, 0), (1, 30), (1, 60), (1, 90), (2, 30), (3, 30)]


@cache
def attempts(issued_acrs: frozenset[str]) -> list[Attempt]:
    """Return every attempt that can make a difference while these acrs are issued."""
    proofs: list[frozenset[str] | str] = [*_FACTOR_SETS, *sorted(issued_acrs)]
    return [
        Attempt(proof=proof, age_seconds=age, changed=changed, uses_before=uses, since_first_use_seconds=since)
        for proof in proofs
        for age in MAX_AGES_SECONDS
        for changed in (None, *BINDINGS)
        for uses, since in _USES
    ]


def lets_through(decision: Decision, attempt: Attempt) -> bool:
    """Return whether a decision lets somebody through who comes with this."""
    asked = decision.requirement
    if asked is None:
        return decision.outcome == "allow"
    if isinstance(attempt.proof, frozenset):
        proven = any(attempt.proof.issuperset(combination) for combination in asked.any_of)
    else:
        proven = attempt.proof in asked.acr_values
    if not proven or attempt.age_seconds > asked.max_age_seconds or attempt.changed in asked.bind:
        return False
    if attempt.uses_before == 0 or (not asked.single_use and asked.batch is None):
        return True
    return (
        asked.batch is not None
        and attempt.uses_before < asked.batch.count
        and attempt.since_first_use_seconds <= asked.batch.within_seconds
    )


def gains(before: Decision, after: Decision, issued_acrs: frozenset[str]) -> bool:
    """Return whether ``after`` lets somebody through whom ``before`` stops."""
    return any(lets_through(after, one) and not lets_through(before, one) for one in attempts(issued_acrs))


def acrs(policy: PolicySet) -> frozenset[str]:
    return frozenset(level.acr for level in policy.document.levels.values())
