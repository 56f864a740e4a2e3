"""From a declaration to a living key: claim, generate or adopt, read back, escrow, activate. And back: verify, retire.

Every step can be the last one before a crash; running `provision` again converges on the same single key.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol, cast

from keyrung_provisioners import portability
from keyrung_provisioners.api import ESCROW, Capability, Custody, KeyDescription, KeyManager, KeySpec, Purpose, Wrapping
from keyrung_provisioners.checks import (
    check_identity,
    describe_or_none,
    foreign,
    in_its_store,
    refuse_destroyed,
    refuse_foreign,
    refuse_known,
    refuse_weak,
    spec_of,
)
from keyrung_provisioners.errors import KeyConflictError, KeyRefusedError
from keyrung_provisioners.inventory import Claim, Inventory, KeyRow, Origin
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import KeyUri

CLAIM_ID_BYTES = 16


def _nothing(_point: str) -> None:
    """Do nothing at a named point."""


def command_owner(uri: KeyUri) -> str:
    """Return the owner of a key that a command made and no stack declares."""
    return f"keyrung escrow create {uri}"


class Escrow(Protocol):
    """Who keeps the escrow of keys that are declared escrowed."""

    def ensure(self, row: KeyRow, manager: KeyManager) -> str:
        """Return the id of this key's escrow, sealed and test-restored, now or by an earlier, interrupted run."""
        ...

    def remove(self, row: KeyRow) -> None:
        """Remove the escrow of a destroyed key; already gone counts as done."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioner:
    """The steps of a key's life over one inventory.

    Attributes:
        now: Gives the time (aware UTC).
        token_bytes: Gives random bytes.
        escrow: Keeps the escrow of keys declared escrowed; without it such a key stays in pre-activation.
        copy_store: Gives the back end of the store that a portable key is copied into.
        reached: Called between all steps with the name of what was done ("claimed", "generated", "copied", "locked",
            "activated", "destroyed") or is about to happen ("generate", "escrow", "copy", "lock", "activate",
            "postpone", "deactivate", "destroy"); raising there stops. The provider uses it to stop when its engine is
            gone.
    """

    inventory: Inventory
    now: Callable[[], datetime]
    token_bytes: Callable[[int], bytes]
    escrow: Escrow | None = None
    copy_store: Callable[[KeyUri], KeyManager] | None = None
    reached: Callable[[str], None] = _nothing

    def provision(
        self, claim: Claim, manager: KeyManager, *, holder: str | None = None, publish_seconds: int = 0
    ) -> KeyRow:
        """Return the active key of ``claim``, made now or by an earlier, interrupted run, or by the program it names.

        Args:
            claim: What is declared.
            manager: The back end of its vault.
            holder: Names the one who asks, if the key may later be retired by its last holder only.
            publish_seconds: From its activation to its first use.

        Raises:
            KeyConflictError: If something that is not ours stands under the name.
            KeyMissingError: If this generation was recorded before and its key is gone.
            KeyAlteredError: If the store now holds another key than the recorded one.
            KeyRefusedError: If the key made is weaker than declared, or this generation has been destroyed, or its
                stores cannot do what is declared.
        """
        if claim.copy_to is not None:
            portability.refuse_unable(claim, manager, self._copy_store(claim.copy_to))
        with self.inventory.exclusive(claim.owner, claim.generation):
            row, new = self._claim(claim, manager)
            self.reached("claimed")
            refuse_destroyed(row)
            if row.fingerprint is not None:
                check_identity(row, manager)
            elif claim.source is not None:
                row = self._read_back(row, manager)
            else:
                row = self._make(row, manager, new=new)
            if row.state is KeyState.PRE_ACTIVATION:
                if row.custody is Custody.ESCROWING:
                    row = self._escrow(row, manager)
                if row.custody is Custody.PORTABLE:
                    row = self._copy(row, manager)
                self.reached("activate")
                now = self.now()
                use_not_before = now + timedelta(seconds=publish_seconds)
                row = self.inventory.transition(row, KeyState.ACTIVE, now=now, use_not_before=use_not_before)
                self.reached("activated")
            if holder is not None:
                self.inventory.hold(row, holder)
            return row

    def _claim(self, claim: Claim, manager: KeyManager) -> tuple[KeyRow, bool]:
        """Return the row of ``claim`` and whether it is new; nothing may stand under the name before it is claimed.

        A claim that is followed by a refusal would make the key that stands there look like ours to the next run. A
        key that another program makes has to stand there, and is judged before it is claimed for the same reason.
        """
        claim_id = self.token_bytes(CLAIM_ID_BYTES)
        known = self.inventory.row(claim.owner, claim.generation)
        if claim.source is not None:
            self._judge_source(claim, known, manager, claim_id=claim_id)
        else:
            unclaimed = known is None and self.inventory.find(claim.uri) is None
            if unclaimed and describe_or_none(manager, claim.uri) is not None:
                raise foreign(claim.uri)
        return self.inventory.claim(claim, claim_id=claim_id, now=self.now())

    def _judge_source(self, claim: Claim, known: KeyRow | None, manager: KeyManager, *, claim_id: bytes) -> None:
        """Refuse the key of another program if it is not the recorded one, or was never fit for this claim."""
        if known is not None and known.fingerprint is not None:
            if known.state is not KeyState.DESTROYED:
                check_identity(known, manager)
            return
        found = manager.describe(claim.uri)
        spec = KeySpec(
            uri=claim.uri,
            algorithm=claim.algorithm,
            purpose=claim.purpose,
            claim_id=claim_id,
            source=claim.source,
        )
        refuse_weak(spec, found, manager)
        refuse_known(found, self.inventory)

    def _read_back(self, row: KeyRow, manager: KeyManager) -> KeyRow:
        """Return the row with the key that another program made."""
        found = manager.describe(row.claim.uri)
        refuse_weak(spec_of(row), found, manager)
        return self.inventory.record_created(row, in_its_store(found, manager), how="imported", now=self.now())

    def _make(self, row: KeyRow, manager: KeyManager, *, new: bool) -> KeyRow:
        """Return the row with its key made, or found if an earlier run made it; a new claim has just looked."""
        spec = spec_of(row)
        found = None if new else describe_or_none(manager, spec.uri)
        adopted = found is not None
        if found is None:
            self.reached("generate")
            found = manager.create(spec)
            self.reached("generated")
        elif found.claim_id not in {None, row.claim_id}:
            raise foreign(spec.uri)
        refuse_weak(spec, found, manager)
        how: Origin = "adopted" if adopted else "generated"
        return self.inventory.record_created(row, in_its_store(found, manager), how=how, now=self.now())

    def _escrow(self, row: KeyRow, manager: KeyManager) -> KeyRow:
        """Return the row with its escrow confirmed; only then does the key lose the ability to leave its store."""
        uri = row.claim.uri
        if self.escrow is None or Capability.WRAPPING not in manager.capabilities:
            raise KeyRefusedError(
                f"{uri} is declared escrowed and stays in pre-activation until its escrow is confirmed",
                fix="name its custodians with `keyrung escrow create`, and keep it in a PKCS#11 token",
                uri=str(uri),
            )
        self.reached("escrow")
        set_id = self.escrow.ensure(row, manager)
        found = self._lock(row, Custody.ESCROWED, manager)
        proven = replace(found, attributes={**found.attributes, "escrowed": True, "escrow_set": set_id})
        return self.inventory.record_custody(row, Custody.ESCROWED, proven, event="key.escrowed", now=self.now())

    def _copy(self, row: KeyRow, manager: KeyManager) -> KeyRow:
        """Return the row with its copy confirmed; only then does the key lose the ability to leave its store."""
        store = self._copy_store(row.claim.copy_to)
        self.reached("copy")
        portability.ensure_copy(row, manager, store, challenge=self.token_bytes(portability.CHALLENGE_BYTES))
        self.reached("copied")
        found = self._lock(row, Custody.COPIED, manager)
        proven = replace(found, attributes={**found.attributes, "copy": str(row.claim.copy_to)})
        return self.inventory.record_custody(row, Custody.COPIED, proven, event="key.copied", now=self.now())

    def _copy_store(self, uri: KeyUri | None) -> KeyManager:
        if self.copy_store is None or uri is None:
            raise KeyRefusedError(f"the store of the copy {uri} is not at hand", fix="say how it is reached")
        return self.copy_store(uri)

    def _lock(self, row: KeyRow, custody: Custody, manager: KeyManager) -> KeyDescription:
        """Return what is read back of the key once it cannot leave its store any more, where the store has such a lock.

        Transit has none: a key that was made exportable stays so, and its evidence says it.
        """
        self.reached("lock")
        locks = Capability.WRAPPING in manager.capabilities
        found = cast(Wrapping, manager).lock(row.claim.uri) if locks else manager.describe(row.claim.uri)
        self.reached("locked")
        refuse_weak(replace(spec_of(row), custody=custody), found, manager)
        return in_its_store(found, manager)

    def take_over(
        self, owner: str, uri: KeyUri, purpose: Purpose, manager: KeyManager, *, holder: str | None = None
    ) -> KeyRow:
        """Return the active row of an existing key that somebody else made, if it is as strong as one of ours.

        A key that was made by command, without a stack, is handed over as it is recorded.
        """
        found = manager.describe(uri)
        claim = self._handed_over(owner, uri, purpose) or Claim(
            owner=owner, generation=1, uri=uri, algorithm=found.algorithm, purpose=purpose
        )
        claim_id = found.claim_id or self.token_bytes(CLAIM_ID_BYTES)
        with self.inventory.exclusive(owner, claim.generation):
            if self.inventory.row(owner, claim.generation) is None:  # a key that is refused is not claimed either
                spec = KeySpec(uri=uri, algorithm=found.algorithm, purpose=purpose, claim_id=claim_id)
                refuse_weak(spec, found, manager)
                refuse_known(found, self.inventory)
            row, _ = self.inventory.claim(claim, claim_id=claim_id, now=self.now())
            refuse_destroyed(row)
            if row.fingerprint is None:
                refuse_weak(spec_of(row), found, manager)
                found = in_its_store(found, manager)
                row = self.inventory.record_created(row, found, how="imported", now=self.now())
            else:
                check_identity(row, manager)
            if row.state is KeyState.PRE_ACTIVATION:
                row = self.inventory.transition(row, KeyState.ACTIVE, now=self.now())
            if holder is not None:
                self.inventory.hold(row, holder)
            return row

    def _handed_over(self, owner: str, uri: KeyUri, purpose: Purpose) -> Claim | None:
        row = self.inventory.find(uri)
        if row is None or row.claim.owner != command_owner(uri):
            return None
        if row.claim.purpose is not purpose:
            raise KeyConflictError(
                f"{uri} was made for {row.claim.purpose}", fix="take it over for that purpose", uri=str(uri)
            )
        return self.inventory.hand_over(row, owner).claim

    def retire(self, owner: str, generation: int, manager: KeyManager, *, holder: str | None = None) -> None:
        """Destroy the key of one generation; already gone counts as done, and so does a key held by another.

        A key that another program made is released to it: its life here is over, and destroying it is left to that one.

        A forced replacement under one generation asks for the key again before it deletes: that gives the same key to
        a new holder, and what the old one asks to delete then is that very key.

        Raises:
            KeyAlteredError: If another key stands there now; it is not ours to destroy.
        """
        with self.inventory.exclusive(owner, generation):
            row = self.inventory.row(owner, generation)
            if row is None or row.state is KeyState.DESTROYED:
                return
            if holder is not None and self.inventory.holder(row) != holder:
                return
            if row.claim.source is not None:
                self.inventory.transition(row, KeyState.DESTROYED, now=self.now())
                return
            if row.custody in ESCROW and self.escrow is None:
                raise KeyRefusedError(
                    f"{row.claim.uri} is escrowed, and destroying it takes its escrow along",
                    fix="say where its envelope is kept",
                    uri=str(row.claim.uri),
                )
            refuse_foreign(row, manager)
            self.reached("destroy")
            if row.claim.copy_to is not None:
                portability.remove_copy(row, self._copy_store(row.claim.copy_to))
            manager.destroy(row.claim.uri)
            self.reached("destroyed")
            if self.escrow is not None and row.custody in ESCROW:
                self.escrow.remove(row)
            self.inventory.transition(row, KeyState.DESTROYED, now=self.now())
