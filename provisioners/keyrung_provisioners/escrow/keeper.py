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
        stored = stored_envelope(self.store, row)
        if stored is not None:
            self._refuse_others(stored)
            return stored.set_id
        target = Target(
            uri=row.claim.uri,
            generation=row.claim.generation,
            purpose=row.claim.purpose,
            fingerprint=row.fingerprint,
        )
        sealed = seal(target, manager, self.plan, token_bytes=self.token_bytes, now=self.now())
        self.store.write(envelope_name(row), envelopes.encode(sealed))
        return sealed.set_id

    def remove(self, row: KeyRow) -> None:
        """Remove the row's envelope; copies of it elsewhere cannot be reached from here."""
        self.store.remove(envelope_name(row))

    def _refuse_others(self, found: Envelope) -> None:
        recipients = [share.recipient for share in found.shares]
        if found.threshold != self.plan.threshold or recipients != [str(each) for each in self.plan.recipients]:
            raise EnvelopeRefusedError(
                f"{found.key.uri} was sealed to other custodians by an earlier run",
                fix="name the same custodians in the same order, with the same threshold",
                uri=str(found.key.uri),
            )


def stored_envelope(store: EnvelopeStore, row: KeyRow) -> Envelope | None:
    """Return the row's envelope; None when there is none.

    Raises:
        EnvelopeRefusedError: If what is stored is no envelope, or one of another key.
    """
    data = store.read(envelope_name(row))
    if data is None:
        return None
    found = envelopes.decode(data)
    if (found.key.uri, found.key.generation, found.key.fingerprint) != (
        row.claim.uri,
        row.claim.generation,
        row.fingerprint,
    ):
        raise EnvelopeRefusedError(
            f"the envelope stored for {row.claim.uri} is for another key", fix="move it away", uri=str(row.claim.uri)
        )
    return found


def envelope_name(row: KeyRow) -> str:
    """Return the name of the row's envelope."""
    return f"{row.claim.uri.name}.{row.claim_id.hex()}"
