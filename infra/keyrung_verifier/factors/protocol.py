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
    """One answer's surroundings; `credentials` are those of the factor that stood when the challenge was made."""

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
        factor: How it was given.
        credential: What it was given with.
        amr: What was done (RFC 8176).
        writes: What must happen in the same commit that takes the answer.
    """

    factor: "Factor"
    credential: Credential
    amr: tuple[str, ...]
    writes: tuple[Write, ...] = ()


class Factor(Protocol):
    """One way to answer a challenge."""

    @property
    def name(self) -> str:
        """Return the name that answers and offers carry."""
        ...

    @property
    def credential_factor(self) -> str:
        """Return the factor of the credentials that it is answered with."""
        ...

    @property
    def guessable(self) -> bool:
        """Return whether trying long enough finds a right answer: then wrong ones in a row lock it."""
        ...

    def proves(self, credential: Credential) -> frozenset[str]:
        """Return the policy's factors that a right answer with this credential is good for."""
        ...

    def offers(
        self, challenge_id: str, challenge: Challenge, credentials: Sequence[Credential], origin: str
    ) -> Sequence[Offer]:
        """Return what the subject sees for the given credentials of this factor."""
        ...

    def check(self, answer: Struct, attempt: Attempt) -> Proof:
        """Return the proof.

        Raises:
            WrongAnswerError: The answer is wrong.
            UnavailableError: A key that is needed for the check is out of reach.
        """
        ...
