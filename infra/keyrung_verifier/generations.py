"""The generations of a key at run time: the clock says which one is used, and it never goes back to an ended one.

A later generation is known here before it is used, so going over to it needs neither a restart nor a call to anybody.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from keyrung_verifier.errors import SigningFailedError, StrictFormError, UnavailableError
from keyrung_verifier.keys import ACCEPTED_STATES, published
from keyrung_verifier.protocols import Clock, Sealer, Signer

ACTIVE = "active"
_SEALED = re.compile(r"g([1-9][0-9]{0,8}):(.*)", re.ASCII | re.DOTALL)

Key = TypeVar("Key", Signer, Sealer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation(Generic[Key]):
    """One generation of a key; it may be out of reach unless its state is active."""

    key: Key = field(repr=False)
    use_not_before: datetime


class _Line(Generic[Key]):
    """Chooses by the clock; `renew` hands over what a later deployment says."""

    def __init__(self, generations: Sequence[Generation[Key]], *, clock: Clock) -> None:
        self._clock = clock
        self._newest_used = 0
        self._generations: Sequence[Generation[Key]] = ()
        self.renew(generations)

    def renew(self, generations: Sequence[Generation[Key]]) -> None:
        """Take the generations of the line, oldest first."""
        self._generations = tuple(generations)

    def current(self) -> Key:
        """Return the newest active generation whose time has come; before any has, the oldest active one.

        A clock that is set back does not bring an older one into use again, as long as the newer one is active.

        Raises:
            SigningFailedError: No generation is active, or their states cannot be read.
        """
        try:
            states = [(each, each.key.state) for each in self._generations]
        except Exception as error:  # whatever an inventory raises, the outcome is the same: no key
            raise SigningFailedError("the state of the key cannot be read; check the key inventory") from error
        active = [each for each, state in states if state == ACTIVE]
        if not active:
            said = ", ".join(f"{each.key.key_uri} is {state}" for each, state in states)
            raise SigningFailedError(f"no generation of the key is active ({said}); raise its generation and deploy")
        now = self._clock.now()
        ready = [
            each for each in active if each.use_not_before <= now or each.key.generation == self._newest_used
        ] or active[:1]
        chosen = ready[-1].key
        self._newest_used = chosen.generation
        return chosen


class SigningLine(_Line[Signer]):
    """The generations of a signing key."""

    def verifying(self) -> Mapping[str, Mapping[str, str]]:
        """Return the public keys that count now, by key id: those in use, published for later, and deactivated.

        Raises:
            UnavailableError: Their states cannot be read.
        """
        try:
            signers = [each.key for each in self._generations if each.key.state in ACCEPTED_STATES]
        except Exception as error:  # as above: no key counts
            raise UnavailableError("key_state") from error
        return {key.key_id: published(key.public_jwk, key_id=key.key_id, algorithm=key.algorithm) for key in signers}

    def active(self, key_id: str) -> Signer | None:
        """Return the active generation of that thumbprint."""
        signers = (each.key for each in self._generations if each.key.state == ACTIVE)
        return next((signer for signer in signers if signer.key_id == key_id), None)

    def public_jwk(self, key_id: str) -> Mapping[str, str] | None:
        """Return the public key of that thumbprint, whatever became of the private one."""
        return next((each.key.public_jwk for each in self._generations if each.key.key_id == key_id), None)


class SealingLine(_Line[Sealer]):
    """The generations of a sealing key, as a `Sealer`: what is sealed names the generation that opens it."""

    @property
    def key_uri(self) -> str:
        """Return the URI of the generation in use."""
        return self.current().key_uri

    @property
    def generation(self) -> int:
        """Return the generation in use."""
        return self.current().generation

    @property
    def state(self) -> str:
        """Return the state of the generation in use."""
        return self.current().state

    def seal_many(self, items: Sequence[tuple[bytes, bytes]]) -> Sequence[str]:
        """Return each (secret, context) sealed by the generation in use, behind its number."""
        sealer = self.current()
        return [f"g{sealer.generation}:{sealed}" for sealed in sealer.seal_many(items)]

    def open(self, sealed: str, *, context: bytes) -> bytes:
        """Return the secret; what carries no number was sealed by the oldest generation.

        Raises:
            StrictFormError: The generation is not there, or may not open any more.
        """
        named = _SEALED.fullmatch(sealed)
        generation, text = (int(named[1]), named[2]) if named else (self._generations[0].key.generation, sealed)
        for each in self._generations:
            if each.key.generation == generation and each.key.state in ACCEPTED_STATES:
                return each.key.open(text, context=context)
        raise StrictFormError("sealing_generation")
