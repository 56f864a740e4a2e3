"""From a declaration to a living key: claim, generate or adopt, read back, escrow, activate. And back: verify, retire.

Every step can be the last one before a crash; running `provision` again converges on the same single key.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol, cast

from keyrung_provisioners.api import Capability, Custody, KeyDescription, KeyManager, KeySpec, Purpose, Wrapping
from keyrung_provisioners.errors import KeyAlteredError, KeyConflictError, KeyMissingError, KeyRefusedError
from keyrung_provisioners.inventory import Claim, Inventory, KeyRow
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import KeyUri

CLAIM_ID_BYTES = 16


def _nothing(_point: str) -> None:
    """Do nothing at a named point."""


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
        reached: Called between all steps with the name of what was done ("claimed", "generated", "locked", "activated",
            "destroyed") or is about to happen ("generate", "escrow", "lock", "activate", "postpone", "deactivate",
            "destroy"); raising there stops. The provider uses it to stop when its engine is gone.
    """

    inventory: Inventory
    now: Callable[[], datetime]
    token_bytes: Callable[[int], bytes]
    escrow: Escrow | None = None
    reached: Callable[[str], None] = _nothing

    def provision(
        self, claim: Claim, manager: KeyManager, *, holder: str | None = None, publish_seconds: int = 0
    ) -> KeyRow:
        """Return the active key of ``claim``, made now or by an earlier, interrupted run.

        Args:
            claim: What is declared.
            manager: The back end of its vault.
            holder: Names the one who asks, if the key may later be retired by its last holder only.
            publish_seconds: From its activation to its first use.

        Raises:
            KeyConflictError: If something that is not ours stands under the name.
            KeyMissingError: If this generation was recorded before and its key is gone.
            KeyAlteredError: If the store now holds another key than the recorded one.
            KeyRefusedError: If the key made is weaker than declared, or this generation has been destroyed.
        """
        with self.inventory.exclusive(claim.owner, claim.generation):
            row = self._claim(claim, manager)
            self.reached("claimed")
            _refuse_destroyed(row)
            if row.fingerprint is None:
                row = self._make(row, manager)
            else:
                check_identity(row, manager)
            if row.state is KeyState.PRE_ACTIVATION:
                if row.custody is Custody.ESCROWING:
                    row = self._escrow(row, manager)
                self.reached("activate")
                now = self.now()
                use_not_before = now + timedelta(seconds=publish_seconds)
                row = self.inventory.transition(row, KeyState.ACTIVE, now=now, use_not_before=use_not_before)
                self.reached("activated")
            if holder is not None:
                self.inventory.hold(row, holder)
            return row

    def _claim(self, claim: Claim, manager: KeyManager) -> KeyRow:
        """Return the row of ``claim``; nothing may stand under the name before it is claimed.

        A claim that is followed by a refusal would make the key that stands there look like ours to the next run.
        """
        unclaimed = self.inventory.row(claim.owner, claim.generation) is None and self.inventory.find(claim.uri) is None
        if unclaimed and describe_or_none(manager, claim.uri) is not None:
            raise _foreign(claim.uri)
        row, _ = self.inventory.claim(claim, claim_id=self.token_bytes(CLAIM_ID_BYTES), now=self.now())
        return row

    def _make(self, row: KeyRow, manager: KeyManager) -> KeyRow:
        spec = _spec(row)
        found = describe_or_none(manager, spec.uri)
        adopted = found is not None
        if found is None:
            self.reached("generate")
            found = manager.create(spec)
            self.reached("generated")
        elif found.claim_id not in {None, row.claim_id}:
            raise _foreign(spec.uri)
        _refuse_weak(spec, found, manager)
        return self.inventory.record_created(row, found, adopted=adopted, now=self.now())

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
        self.reached("lock")
        found = cast(Wrapping, manager).lock(uri)
        self.reached("locked")
        _refuse_weak(replace(_spec(row), custody=Custody.ESCROWED), found, manager)
        proven = replace(found, attributes={**found.attributes, "escrowed": True, "escrow_set": set_id})
        return self.inventory.record_custody(row, Custody.ESCROWED, proven, event="key.escrowed", now=self.now())

    def take_over(
        self, owner: str, uri: KeyUri, purpose: Purpose, manager: KeyManager, *, holder: str | None = None
    ) -> KeyRow:
        """Return the active row of an existing key that somebody else made, if it is as strong as one of ours."""
        found = manager.describe(uri)
        claim = Claim(owner=owner, generation=1, uri=uri, algorithm=found.algorithm, purpose=purpose)
        claim_id = found.claim_id or self.token_bytes(CLAIM_ID_BYTES)
        with self.inventory.exclusive(owner, claim.generation):
            if self.inventory.row(owner, claim.generation) is None:  # a key that is refused is not claimed either
                spec = KeySpec(uri=uri, algorithm=found.algorithm, purpose=purpose, claim_id=claim_id)
                _refuse_weak(spec, found, manager)
            row, _ = self.inventory.claim(claim, claim_id=claim_id, now=self.now())
            _refuse_destroyed(row)
            if row.fingerprint is None:
                _refuse_weak(_spec(row), found, manager)
                row = self.inventory.record_created(row, found, adopted=True, now=self.now())
            else:
                check_identity(row, manager)
            if row.state is KeyState.PRE_ACTIVATION:
                row = self.inventory.transition(row, KeyState.ACTIVE, now=self.now())
            if holder is not None:
                self.inventory.hold(row, holder)
            return row

    def retire(self, owner: str, generation: int, manager: KeyManager, *, holder: str | None = None) -> None:
        """Destroy the key of one generation; already gone counts as done, and so does a key held by another.

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
            if row.custody is not Custody.SOLE and self.escrow is None:
                raise KeyRefusedError(
                    f"{row.claim.uri} is escrowed, and destroying it takes its escrow along",
                    fix="say where its envelope is kept",
                    uri=str(row.claim.uri),
                )
            _refuse_foreign(row, manager)
            self.reached("destroy")
            manager.destroy(row.claim.uri)
            self.reached("destroyed")
            if self.escrow is not None and row.custody is not Custody.SOLE:
                self.escrow.remove(row)
            self.inventory.transition(row, KeyState.DESTROYED, now=self.now())


def check_identity(row: KeyRow, manager: KeyManager) -> KeyDescription:
    """Return what the store holds, if it is exactly the recorded key.

    Raises:
        KeyMissingError: If it is gone; never made again under this generation.
        KeyAlteredError: If another key stands there, naming both fingerprints, or an attribute got weaker.
    """
    uri, recorded = row.claim.uri, row.fingerprint or "nothing"
    try:
        found = manager.describe(uri)
    except KeyMissingError as error:
        raise KeyMissingError(
            f"{uri} is recorded with thumbprint {recorded}, and the store has no such key (found thumbprint: none)",
            fix=f"recover the key, or raise `generation` to {row.claim.generation + 1}",
            uri=str(uri),
            recorded=recorded,
            found="none",
        ) from error
    if found.fingerprint != row.fingerprint:
        raise _altered(row, found)
    weak = manager.deviations(_spec(row), found)
    if weak:
        raise KeyAlteredError(
            f"{uri} (thumbprint {recorded}, found {found.fingerprint}) no longer holds in {', '.join(weak)}",
            fix="treat the key as exposed and raise `generation`",
            uri=str(uri),
            attributes=",".join(weak),
        )
    return found


def _refuse_weak(spec: KeySpec, found: KeyDescription, manager: KeyManager) -> None:
    weak = manager.deviations(spec, found)
    if weak:
        raise KeyRefusedError(
            f"{spec.uri} is weaker than declared in {', '.join(weak)}",
            fix="remove the key and check the store's defaults",
            uri=str(spec.uri),
            attributes=",".join(weak),
        )


def _spec(row: KeyRow) -> KeySpec:
    claim = row.claim
    return KeySpec(
        uri=claim.uri,
        algorithm=claim.algorithm,
        purpose=claim.purpose,
        claim_id=row.claim_id,
        custody=row.custody,
    )


def describe_or_none(manager: KeyManager, uri: KeyUri) -> KeyDescription | None:
    """Return what stands under ``uri``, or None when the store answers that nothing does."""
    try:
        return manager.describe(uri)
    except KeyMissingError:
        return None


def _refuse_foreign(row: KeyRow, manager: KeyManager) -> None:
    """Refuse to go on with a key that stands under the row's name and is another one."""
    found = describe_or_none(manager, row.claim.uri)
    if found is None:
        return
    if row.fingerprint is None:
        if found.claim_id not in {None, row.claim_id}:
            raise _foreign(row.claim.uri)
    elif found.fingerprint != row.fingerprint:
        raise _altered(row, found)


def _refuse_destroyed(row: KeyRow) -> None:
    claim = row.claim
    if row.state is KeyState.DESTROYED:
        raise KeyRefusedError(
            f"generation {claim.generation} of {claim.uri} was destroyed and cannot come back",
            fix=f"raise `generation` to {claim.generation + 1}",
            uri=str(claim.uri),
        )


def _foreign(uri: KeyUri) -> KeyConflictError:
    return KeyConflictError(
        f"a key that this stack did not make stands under {uri}",
        fix="choose another name, or take it over with `pulumi import`",
        uri=str(uri),
    )


def _altered(row: KeyRow, found: KeyDescription) -> KeyAlteredError:
    recorded = row.fingerprint or "nothing"
    return KeyAlteredError(
        f"{row.claim.uri} is recorded with thumbprint {recorded}, and the store holds another key, {found.fingerprint}",
        fix="find out who replaced it; nothing will use the new key",
        uri=str(row.claim.uri),
        recorded=recorded,
        found=found.fingerprint,
    )
