"""The inventory against what the stores hold: keys that are missing, altered, or in a store and in no inventory."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from keyrung_provisioners.api import Custody, KeyManager
from keyrung_provisioners.checks import check_identity
from keyrung_provisioners.errors import (
    BackendUnavailableError,
    InvalidSettingError,
    KeyMissingError,
    ProvisionerError,
)
from keyrung_provisioners.inventory import Inventory, KeyEvent, KeyRow
from keyrung_provisioners.portability import check_copy
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import KeyUri, VaultUri

Kind = Literal["missing", "altered", "foreign", "unchecked"]
Managers = Callable[[str], KeyManager]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One key, or vault, in which inventory and store differ.

    Attributes:
        kind: ``unchecked`` where the store could not be asked.
        uri: The key's URI; for a name that no URI of ours can have, the vault's with the name behind it.
        text: What was found, one sentence.
        row: What the inventory has; None for a foreign key and for a vault.
    """

    kind: Kind
    uri: str
    text: str
    row: KeyRow | None = None


def vaults_of(rows: Sequence[KeyRow]) -> list[VaultUri]:
    """Return the vaults in which an inventory has living keys, or copies of them."""
    return sorted({uri.vault_uri for row in _living(rows) for uri in _places(row)}, key=str)


def drift(rows: Sequence[KeyRow], managers: Managers, *, checked: Callable[[str], None]) -> list[Finding]:
    """Return every difference, by vault; ``checked`` is told each key and vault that is about to be looked at."""
    findings = []
    for vault in vaults_of(rows):
        checked(str(vault))
        placed = [(row, uri) for row in _living(rows) for uri in _places(row) if uri.vault_uri == vault]
        known = {uri.name for _, uri in placed}
        try:
            manager = managers(vault.scheme)
            findings += _foreign(vault, manager.names(vault), known)
        except KeyMissingError as error:  # the vault itself is gone, and every key with it
            findings.append(Finding(kind="missing", uri=str(vault), text=str(error)))
        except ProvisionerError as error:
            findings.append(Finding(kind="unchecked", uri=str(vault), text=str(error)))
            continue
        for row, uri in placed:
            checked(str(uri))
            findings += _own(row, uri, manager)
    return findings


def raise_events(inventory: Inventory, findings: Sequence[Finding], *, now: datetime) -> int:
    """Append an event for each finding about a key, once a day while it lasts; return how many are new."""
    return sum(inventory.note(_event(finding, now)) for finding in findings if finding.kind != "unchecked")


def _living(rows: Sequence[KeyRow]) -> list[KeyRow]:
    return [row for row in rows if row.state is not KeyState.DESTROYED]


def _places(row: KeyRow) -> list[KeyUri]:
    """Return where the key and its copy, if it has one, stand."""
    return [uri for uri in (row.claim.uri, row.claim.copy_to) if uri is not None]


def _own(row: KeyRow, uri: KeyUri, manager: KeyManager) -> list[Finding]:
    """Return how the key of ``row``, or its copy, differs under ``uri``; one that is not made yet cannot."""
    copied = uri != row.claim.uri
    if row.fingerprint is None or (copied and row.custody is not Custody.COPIED):
        return []
    try:
        check_copy(row, manager) if copied else check_identity(row, manager)
    except KeyMissingError as error:
        return [Finding(kind="missing", uri=str(uri), text=str(error), row=row)]
    except ProvisionerError as error:
        kind: Kind = "unchecked" if isinstance(error, BackendUnavailableError) else "altered"
        return [Finding(kind=kind, uri=str(uri), text=str(error), row=row)]
    return []


def _foreign(vault: VaultUri, names: Sequence[str], known: set[str]) -> list[Finding]:
    text = "it stands in the vault and in no inventory; nothing here uses it"
    return [Finding(kind="foreign", uri=_name(vault, name), text=text) for name in names if name not in known]


def _name(vault: VaultUri, name: str) -> str:
    try:
        return str(vault.key(name))
    except InvalidSettingError:
        return f"{vault} {name!r}"


def _event(finding: Finding, now: datetime) -> KeyEvent:
    row = finding.row
    generation = 0 if row is None else row.claim.generation
    what = f"key.{finding.kind}:{generation}:{finding.uri}:{finding.text}:{now.astimezone(UTC).date()}"
    return KeyEvent(
        event_id=hashlib.sha256(what.encode()).hexdigest()[:32],
        event=f"key.{finding.kind}",
        at=now,
        uri=finding.uri,
        generation=generation,
        state=None if row is None else row.state,
        purpose=None if row is None else row.claim.purpose,
        fingerprint=None if row is None else row.fingerprint,
    )
