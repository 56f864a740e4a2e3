"""A portable key: made in a token, copied into Transit, provisioned over a real inventory."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from support.openbao import OpenBaoServer
from support.softhsm import SoftHsmToken
from support.stores import ReceivingManager, TokenManager, token_manager, vault_manager

from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_provisioners.api import Purpose
from keyrung_provisioners.inventory import Claim, KeyRow
from keyrung_provisioners.provision import Provisioner
from keyrung_provisioners.uri import KeyUri


def _nothing(_point: str) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One declared key with its copy."""

    token: SoftHsmToken
    settings: dict[str, str]
    inventory: SqliteInventory
    copy: KeyUri
    source: TokenManager = field(repr=False)
    target: ReceivingManager = field(repr=False)

    @property
    def claim(self) -> Claim:
        """The declaration."""
        return Claim(
            owner="urn:portable",
            generation=1,
            uri=KeyUri("pkcs11", self.token.label, "policy-signing-portable"),
            algorithm="P-256",
            purpose=Purpose.POLICY_SIGNING,
            copy_to=self.copy,
        )

    def provisioner(self, reached: Callable[[str], None] = _nothing) -> Provisioner:
        """Return the steps over both stores."""
        return Provisioner(
            inventory=self.inventory,
            now=lambda: datetime.now(UTC),
            token_bytes=secrets.token_bytes,
            copy_store=lambda _uri: self.target,
            reached=reached,
        )

    def provision(self, reached: Callable[[str], None] = _nothing) -> KeyRow:
        """Make the key and its copy, or finish that."""
        return self.provisioner(reached).provision(self.claim, self.source)

    def retire(self, reached: Callable[[str], None] = _nothing) -> None:
        """Destroy both, or finish that."""
        self.provisioner(reached).retire(self.claim.owner, 1, self.source)

    def events(self) -> list[str]:
        """Return what the inventory recorded."""
        return [event.event for _, event in self.inventory.events()]


def move(token: SoftHsmToken, server: OpenBaoServer, folder: Path) -> Move:
    """Return a new move from ``token`` into ``server``, as its deployer."""
    settings = server.settings("deployer")
    return Move(
        token=token,
        settings=settings,
        inventory=SqliteInventory(folder / "inventory.db"),
        copy=KeyUri("transit", "keyrung", server.key_name("policy-signing")),
        source=token_manager(token),
        target=vault_manager(settings),
    )
