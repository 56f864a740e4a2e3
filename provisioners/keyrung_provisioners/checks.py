"""What stands in a store against what is declared and recorded; a difference is an error that names it."""

from dataclasses import replace

from keyrung_provisioners.api import KeyDescription, KeyManager, KeySpec
from keyrung_provisioners.errors import KeyAlteredError, KeyConflictError, KeyMissingError, KeyRefusedError
from keyrung_provisioners.inventory import Inventory, KeyRow
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import KeyUri


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
        raise altered(row, found)
    weak = manager.deviations(spec_of(row), found)
    if weak:
        raise KeyAlteredError(
            f"{uri} (thumbprint {recorded}, found {found.fingerprint}) no longer holds in {', '.join(weak)}",
            fix="treat the key as exposed and raise `generation`",
            uri=str(uri),
            attributes=",".join(weak),
        )
    return found


def refuse_weak(spec: KeySpec, found: KeyDescription, manager: KeyManager) -> None:
    """Refuse a key that falls short of its declaration, naming the attributes."""
    weak = manager.deviations(spec, found)
    if weak and spec.source is not None:
        raise KeyRefusedError(
            f"{spec.uri} (thumbprint {found.fingerprint}) is not {spec.source} as declared, in {', '.join(weak)}",
            fix="have that name stand for the declared key, and the key be of the declared algorithm",
            uri=str(spec.uri),
            attributes=",".join(weak),
        )
    if weak:
        raise KeyRefusedError(
            f"{spec.uri} is weaker than declared in {', '.join(weak)}",
            fix="remove the key and check the store's defaults",
            uri=str(spec.uri),
            attributes=",".join(weak),
        )


def spec_of(row: KeyRow) -> KeySpec:
    """Return the declaration of a recorded key, with the custody that it has by now."""
    claim = row.claim
    return KeySpec(
        uri=claim.uri,
        algorithm=claim.algorithm,
        purpose=claim.purpose,
        claim_id=row.claim_id,
        custody=row.custody,
        source=claim.source,
    )


def in_its_store(found: KeyDescription, manager: KeyManager) -> KeyDescription:
    """Return ``found`` together with what identifies its store, so that it can become evidence."""
    return replace(found, store=manager.describe_vault(found.uri.vault_uri).attributes)


def describe_or_none(manager: KeyManager, uri: KeyUri) -> KeyDescription | None:
    """Return what stands under ``uri``, or None when the store answers that nothing does."""
    try:
        return manager.describe(uri)
    except KeyMissingError:
        return None


def refuse_foreign(row: KeyRow, manager: KeyManager) -> None:
    """Refuse to go on with a key that stands under the row's name and is another one."""
    found = describe_or_none(manager, row.claim.uri)
    if found is None:
        return
    if row.fingerprint is None:
        if found.claim_id not in {None, row.claim_id}:
            raise foreign(row.claim.uri)
    elif found.fingerprint != row.fingerprint:
        raise altered(row, found)


def refuse_known(found: KeyDescription, inventory: Inventory) -> None:
    """Refuse to take over a key that the inventory has under another name, or that was ever compromised.

    A name is all that some stores tell keys apart by, and one key may have several (aliases of KMS, a restored copy).

    Raises:
        KeyConflictError: If it lives under another name: it would have two owners, and perhaps two purposes.
        KeyRefusedError: If it was compromised, under whatever name: that cannot be left (SP 800-57 part 1, section 7).
    """
    for row in inventory.rows():
        if row.fingerprint == found.fingerprint and row.state is not KeyState.DESTROYED and row.claim.uri != found.uri:
            raise KeyConflictError(
                f"{found.uri} is the key that belongs to {row.claim.owner} as {row.claim.uri}",
                fix="take over another key; one key has one owner and one purpose",
                uri=str(found.uri),
            )
    for _, event in inventory.events():
        if event.event == "key.compromised" and event.fingerprint == found.fingerprint:
            raise KeyRefusedError(
                f"{found.uri} was marked compromised as {event.uri}, and such a key does not come back",
                fix="make a new key",
                uri=str(found.uri),
            )


def refuse_destroyed(row: KeyRow) -> None:
    """Refuse a generation that is over."""
    claim = row.claim
    if row.state is KeyState.DESTROYED:
        raise KeyRefusedError(
            f"generation {claim.generation} of {claim.uri} was destroyed and cannot come back",
            fix=f"raise `generation` to {claim.generation + 1}",
            uri=str(claim.uri),
        )


def foreign(uri: KeyUri) -> KeyConflictError:
    """Return the error about a key that is not ours."""
    return KeyConflictError(
        f"a key that this stack did not make stands under {uri}",
        fix="choose another name, or take it over with `pulumi import`",
        uri=str(uri),
    )


def altered(row: KeyRow, found: KeyDescription) -> KeyAlteredError:
    """Return the error about another key in the place of the recorded one."""
    recorded = row.fingerprint or "nothing"
    return KeyAlteredError(
        f"{row.claim.uri} is recorded with thumbprint {recorded}, and the store holds another key, {found.fingerprint}",
        fix="find out who replaced it; nothing will use the new key",
        uri=str(row.claim.uri),
        recorded=recorded,
        found=found.fingerprint,
    )
