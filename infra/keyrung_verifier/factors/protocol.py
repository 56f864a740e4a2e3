"""What every factor provides: an offer that the subject sees, and a check of the answer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from keyrung_verifier.challenge import Challenge
from keyrung_verifier.models import Offer
from keyrung_verifier.protocols import Sealer
from keyrung_verifier.store.protocol import Credential, Write


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One answer's surroundings; `credentials` are the subject's living ones of this factor."""

    challenge_id: str = field(repr=False)
    challenge: Challenge
    credentials: Sequence[Credential]
    origin: str
    now: datetime
    sealer: Sealer


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A right answer.

    Attributes:
        factor: The name of the factor that gave it.
        amr: What was done (RFC 8176).
        writes: What must happen in the same commit that uses up the challenge.
    """

    factor: str
    credential_id: str
    amr: tuple[str, ...]
    writes: tuple[Write, ...] = ()


class Factor(Protocol):
    """One way to answer a challenge."""

    @property
    def name(self) -> str:
        """Return the name that policies and credentials use."""
        ...

    def offers(
        self, challenge_id: str, challenge: Challenge, credentials: Sequence[Credential], origin: str
    ) -> Sequence[Offer]:
        """Return what the subject sees for the given living credentials of this factor."""
        ...

    def check(self, answer: Struct, attempt: Attempt) -> Proof:
        """Return the proof.

        Raises:
            WrongAnswerError: The answer is wrong.
            UnavailableError: A key that is needed for the check is out of reach.
        """
        ...
