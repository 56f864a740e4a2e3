"""An escrow to test with: custodians whose keys are at hand, a provisioner over a real token."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from support.softhsm import SoftHsmToken

from keyrung_infra.escrow_folder import EscrowFolder
from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_provisioners.api import Importing, KeyManager, Purpose, Sealing, Signing, Wrapping
from keyrung_provisioners.escrow.ceremony import Plan
from keyrung_provisioners.escrow.custodian import CustodianKey
from keyrung_provisioners.escrow.envelope import Envelope, decode
from keyrung_provisioners.escrow.keeper import Keeper, envelope_name
from keyrung_provisioners.escrow.recipients import parse_recipient
from keyrung_provisioners.escrow.share import OpenShare, open_share
from keyrung_provisioners.inventory import Claim, KeyRow
from keyrung_provisioners.provision import Provisioner
from keyrung_provisioners.registry import open_manager
from keyrung_provisioners.uri import KeyUri

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class TokenManager(KeyManager, Signing, Sealing, Wrapping, Importing):
    """What the PKCS#11 back end offers, as one type."""


def open_token(token: SoftHsmToken) -> TokenManager:
    """Return the back end over ``token``."""
    return cast(TokenManager, open_manager("pkcs11", token.settings(), root=Path("/")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Custodians:
    """Some custodians, and the quorum they make."""

    keys: tuple[CustodianKey, ...]
    threshold: int

    @property
    def plan(self) -> Plan:
        """The plan that names them all."""
        return Plan(threshold=self.threshold, recipients=tuple(parse_recipient(key.recipient) for key in self.keys))

    def open(self, envelope: Envelope, indexes: Sequence[int]) -> list[OpenShare]:
        """Return the shares of the custodians with these numbers, opened."""
        return [open_share(envelope, self.keys[index - 1]) for index in indexes]


def custodians(threshold: int = 2, count: int = 3) -> Custodians:
    """Return new custodians."""
    return Custodians(keys=tuple(CustodianKey.generate(secrets.token_bytes) for _ in range(count)), threshold=threshold)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """An inventory, a folder of envelopes and a token."""

    folder: Path
    token: SoftHsmToken
    custodians: Custodians
    manager: TokenManager = field(repr=False)
    algorithm: str = "P-256"

    @property
    def uri(self) -> KeyUri:
        """The key that the tests provision."""
        return KeyUri("pkcs11", self.token.label, "kek")

    @property
    def claim(self) -> Claim:
        """Its declaration."""
        return Claim(
            owner="urn:test",
            generation=1,
            uri=self.uri,
            algorithm=self.algorithm,
            purpose=Purpose.AUDIT_SIGNING if self.algorithm == "P-256" else Purpose.KEK,
            escrowed=True,
        )

    @property
    def inventory(self) -> SqliteInventory:
        """The inventory."""
        return SqliteInventory(self.folder / "inventory.db")

    @property
    def envelopes(self) -> EscrowFolder:
        """The folder of envelopes."""
        return EscrowFolder(folder=self.folder / "escrow")

    def provisioner(self, reached: Callable[[str], None] = lambda _point: None) -> Provisioner:
        """Return a provisioner that escrows."""
        keeper = Keeper(
            store=self.envelopes, plan=self.custodians.plan, token_bytes=secrets.token_bytes, now=lambda: NOW
        )
        return Provisioner(
            inventory=self.inventory,
            now=lambda: datetime.now(UTC),
            token_bytes=secrets.token_bytes,
            escrow=keeper,
            reached=reached,
        )

    def provision(self) -> KeyRow:
        """Provision and escrow the key."""
        return self.provisioner().provision(self.claim, self.manager)

    def envelope(self, row: KeyRow) -> Envelope:
        """Return the envelope of ``row`` as it is stored."""
        return decode(self.envelopes.read(envelope_name(row)) or b"")

    def with_custodians(self, other: Custodians) -> "Site":
        """Return the same site with another plan."""
        return replace(self, custodians=other)
