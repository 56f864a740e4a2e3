"""The inventory: who claimed which key, before it was made, and what became of it.

A row is claimed by (resource URN, generation) before anything is generated. PKCS#11 has no create-if-absent, so this
claim is what makes two creators one. Each change of state appends its event in the same transaction; whoever writes
the audit log reads the events from here, in order.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from keyrung_provisioners.api import AttributeValue, Custody, KeyDescription, Purpose
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import KeyUri

CustodyEvent = Literal["key.escrowed", "key.restored", "key.copied"]
Origin = Literal["generated", "adopted", "imported"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What is asked for: one generation of one declared key; neither an escrow nor a copy can be added to a key later.

    Attributes:
        escrowed: Whether its escrow must be confirmed before it is used.
        copy_to: Where the same key stands, too, before it is used.
        source: The store's own name of the key (an ARN of KMS) if another program makes and destroys it; here it is
            read back, recorded and given states, and in the end released to that program.
    """

    owner: str
    generation: int
    uri: KeyUri
    algorithm: str
    purpose: Purpose
    escrowed: bool = False
    copy_to: KeyUri | None = None
    source: str | None = None

    @property
    def custody(self) -> Custody:
        """The custody that its key is made under."""
        if self.copy_to is not None:
            return Custody.PORTABLE
        return Custody.ESCROWING if self.escrowed else Custody.SOLE


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """A claimed key; fingerprint, public key and evidence are None until the store has answered for it.

    Attributes:
        state_since: When it came into its state.
        use_not_before: When it may be used for the first time, which is where its cryptoperiod begins; None until it
            is activated. A later generation is activated, so that it is published, before it is used.
        cryptoperiod_days: For how long it may be used; None for what `cryptoperiod` says of its purpose.
    """

    claim: Claim
    claim_id: bytes
    claimed_at: datetime
    state: KeyState
    state_since: datetime
    use_not_before: datetime | None = None
    fingerprint: str | None = None
    public_key_pem: str | None = None
    evidence: Mapping[str, AttributeValue] | None = None
    custody: Custody = Custody.SOLE
    cryptoperiod_days: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEvent:
    """One step in the life of a key, or what was seen of it, as the audit log takes it.

    State and purpose are None for a key that stands in a store and in no inventory; its generation is 0.
    """

    event_id: str
    event: str
    at: datetime
    uri: str
    generation: int
    state: KeyState | None
    purpose: Purpose | None
    fingerprint: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """Evidence of one key (see `evidence.statement`) and, once the audit key has signed it, the flattened JWS of it."""

    position: int
    statement: bytes
    signed: bytes | None


class Inventory(Protocol):
    """Storage of rows and events; every method is durable when it returns."""

    def exclusive(self, owner: str, generation: int) -> AbstractContextManager[None]:
        """Hold this (owner, generation) against every other process; released when the holder dies."""
        ...

    def claim(self, claim: Claim, *, claim_id: bytes, now: datetime) -> tuple[KeyRow, bool]:
        """Return the row of this claim and whether it is new.

        Raises `KeyConflictError` when the URI belongs to another owner, or the row was claimed for something else.
        """
        ...

    def record_created(self, row: KeyRow, found: KeyDescription, *, how: Origin, now: datetime) -> KeyRow:
        """Store what was read back from the store, and the statement about it (see `evidence.statement`)."""
        ...

    def record_custody(
        self, row: KeyRow, custody: Custody, found: KeyDescription, *, event: CustodyEvent, now: datetime
    ) -> KeyRow:
        """Store that the key was escrowed (anew), restored or copied, with what was read back, and append the event.

        What was read back from a store that is named becomes a statement, too.
        """
        ...

    def transition(
        self, row: KeyRow, state: KeyState, *, now: datetime, use_not_before: datetime | None = None
    ) -> KeyRow:
        """Move the key to ``state``; one that becomes active for the first time is used from ``use_not_before`` (now).

        Raises `KeyRefusedError` when that is not allowed, or when a key would become active before its escrow or
        its copy.
        """
        ...

    def postpone(self, row: KeyRow, use_not_before: datetime) -> KeyRow:
        """Have the first use of an active key wait until ``use_not_before``."""
        ...

    def statements(self, row: KeyRow) -> Sequence[Statement]:
        """Return the statements about the key, oldest first."""
        ...

    def unsigned_statements(self) -> Sequence[Statement]:
        """Return the statements that wait for the audit key's signature, oldest first."""
        ...

    def record_signature(self, position: int, signed: bytes) -> None:
        """Keep the JWS of a statement, unless there is one already."""
        ...

    def set_cryptoperiod(self, row: KeyRow, days: int | None) -> KeyRow:
        """Have the key be used for at most ``days``; None for what its purpose allows."""
        ...

    def note(self, event: KeyEvent) -> bool:
        """Append what was seen of a key, unless an event of that id is there already; return whether it was new."""
        ...

    def hand_over(self, row: KeyRow, owner: str) -> KeyRow:
        """Give the key, with all that is recorded of it, to another owner and return its row.

        Raises `KeyConflictError` when that owner has a key of this generation already.
        """
        ...

    def hold(self, row: KeyRow, holder: str) -> None:
        """Make ``holder`` the one who may retire the key."""
        ...

    def holder(self, row: KeyRow) -> str | None:
        """Return who may retire the key; None if nobody ever said."""
        ...

    def find(self, uri: KeyUri) -> KeyRow | None:
        """Return the living row whose key, or whose key's copy, stands under ``uri``."""
        ...

    def row(self, owner: str, generation: int) -> KeyRow | None:
        """Return the row of one generation of one declared key, living or destroyed."""
        ...

    def line(self, owner: str) -> Sequence[KeyRow]:
        """Return the row of every generation of one declared key, oldest generation first, the destroyed ones too."""
        ...

    def rows(self) -> Sequence[KeyRow]:
        """Return every row, oldest claim first."""
        ...

    def events(self, *, after: int = 0) -> Sequence[tuple[int, KeyEvent]]:
        """Return events with their positions, in order, beginning behind position ``after``."""
        ...
