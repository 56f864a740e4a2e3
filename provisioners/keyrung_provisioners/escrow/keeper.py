"""Keeps one envelope for each escrowed key, under a name that follows from its claim.

An envelope is stored only after its test restore, so one that is found was confirmed: an interrupted run is finished
without a second escrow.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from keyrung_provisioners.api import KeyManager
from keyrung_provisioners.errors import EnvelopeRefusedError, KeyMissingError
from keyrung_provisioners.escrow import envelope as envelopes
from keyrung_provisioners.escrow.ceremony import Plan, Target, TokenBytes, seal
from keyrung_provisioners.escrow.envelope import Envelope
from keyrung_provisioners.inventory import KeyRow


class EnvelopeStore(Protocol):
    """Storage of envelopes by name; a write is durable, and whole or not at all."""

    def read(self, name: str) -> bytes | None:
        """Return what is stored under ``name``."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Store ``data`` under ``name``."""
        ...

    def remove(self, name: str) -> None:
        """Remove ``name``; already gone counts as done."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """The `Escrow` of a provisioner.

    Attributes:
        plan: To whom keys are sealed.
    """

    store: EnvelopeStore
    plan: Plan
    token_bytes: TokenBytes
    now: Callable[[], datetime]

    def ensure(self, row: KeyRow, manager: KeyManager) -> str:
        """Return the set id of the row's envelope; seal the key if there is none yet.

        Raises:
            EnvelopeRefusedError: If an envelope is there that is for another key or other custodians.
        """
        if row.fingerprint is None:
            raise KeyMissingError(f"{row.claim.uri} is not made yet", fix="generate it first", uri=str(row.claim.uri))
        target = Target(
            uri=row.claim.uri,
            generation=row.claim.generation,
            purpose=row.claim.purpose,
            fingerprint=row.fingerprint,
        )
        name = envelope_name(row)
        stored = self.store.read(name)
        if stored is not None:
            return self._confirmed(envelopes.decode(stored), target).set_id
        sealed = seal(target, manager, self.plan, token_bytes=self.token_bytes, now=self.now())
        self.store.write(name, envelopes.encode(sealed))
        return sealed.set_id

    def remove(self, row: KeyRow) -> None:
        """Remove the row's envelope; copies of it elsewhere cannot be reached from here."""
        self.store.remove(envelope_name(row))

    def _confirmed(self, found: Envelope, target: Target) -> Envelope:
        key = found.key
        if (key.uri, key.generation, key.fingerprint) != (target.uri, target.generation, target.fingerprint):
            raise EnvelopeRefusedError(
                f"the envelope stored for {target.uri} is for another key", fix="move it away", uri=str(target.uri)
            )
        recipients = [share.recipient for share in found.shares]
        if found.threshold != self.plan.threshold or recipients != [str(each) for each in self.plan.recipients]:
            raise EnvelopeRefusedError(
                f"{target.uri} was sealed to other custodians by an earlier run",
                fix="name the same custodians in the same order, with the same threshold",
                uri=str(target.uri),
            )
        return found


def envelope_name(row: KeyRow) -> str:
    """Return the name of the row's envelope."""
    return f"{row.claim.uri.name}.{row.claim_id.hex()}"
