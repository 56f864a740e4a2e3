"""The provider's own configuration: where the inventory is and how the stores are reached.

Nothing is opened until an operation needs it, so that a preview runs without any store and without any secret.
"""

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_bytes

from keyrung_infra.errors import InfraError
from keyrung_infra.inventory.open import is_there, open_inventory
from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_infra.provider.model import Property
from keyrung_provisioners.api import KeyManager
from keyrung_provisioners.inventory import Inventory
from keyrung_provisioners.provision import Escrow, Provisioner
from keyrung_provisioners.registry import open_manager

_REFERENCE = "A literal, file:PATH or env:NAME; relative paths start at the project's folder."

CONFIGURATION: Mapping[str, Property] = {
    "inventory": Property(
        type="string",
        description="The key inventory: a path relative to the project (SQLite), or dynamodb:table=T;region=R.",
    ),
    "pkcs11Module": Property(type="string", description=f"Path of the PKCS#11 module. {_REFERENCE}"),
    "pkcs11Pin": Property(type="string", description="User PIN of the token, as file:PATH or env:NAME."),
    "transitAddress": Property(type="string", description=f"https address of OpenBao or Vault. {_REFERENCE}"),
    "transitToken": Property(type="string", description="Token of the deployer role, as file:PATH or env:NAME."),
    "transitRoleId": Property(type="string", description=f"AppRole to log in as, instead of a token. {_REFERENCE}"),
    "transitSecretId": Property(type="string", description="Secret id of that role, as file:PATH or env:NAME."),
    "transitSoftDelete": Property(
        type="string", description="true: destroyed Transit keys stay restorable by an administrator of the server."
    ),
    "transitCaFile": Property(type="string", description="PEM file of the authority behind the server's certificate."),
    "softwareFolder": Property(type="string", description=f"Folder of keys in files, for development. {_REFERENCE}"),
    "softwarePassphrase": Property(type="string", description="Passphrase of these keys, as file:PATH or env:NAME."),
    "awskmsEndpoint": Property(
        type="string", description=f"Private https endpoint of AWS KMS; left out, AWS's own. {_REFERENCE}"
    ),
    "awskmsKeyPolicy": Property(
        type="string", description=f"Key policy (JSON) of new KMS keys; left out, KMS's default. {_REFERENCE}"
    ),
}
SECRET_REFERENCES = ("pkcs11Pin", "transitToken", "transitSecretId", "softwarePassphrase")


def utc_now() -> datetime:
    """Return the time of this machine."""
    return datetime.now(UTC)


class Backends:
    """The stores and the inventory of one provider instance.

    Attributes:
        root: The folder that relative paths start from.
        now: Gives the time (aware UTC).
    """

    def __init__(self, root: Path, *, reached: Callable[[str], None], now: Callable[[], datetime] = utc_now) -> None:
        """Work under ``root``; ``reached`` is told of each step of a key's life."""
        self.root = root
        self.now = now
        self._reached = reached
        self._settings: Mapping[str, str] = {}
        self._managers: dict[str, KeyManager] = {}
        self._inventory: Inventory | None = None
        self._opening = threading.Lock()

    def configure(self, settings: Mapping[str, str]) -> None:
        """Take the provider's configuration."""
        self._settings = settings
        self._inventory = None

    def manager(self, scheme: str) -> KeyManager:
        """Return the back end of ``scheme``.

        There is one per provider, however many operations ask at once: a second one would try a wrong PIN again.
        """
        with self._opening:
            if scheme not in self._managers:
                self._managers[scheme] = open_manager(scheme, self._settings, root=self.root)
            return self._managers[scheme]

    def inventory(self) -> Inventory:
        """Return the inventory, which stays open as long as this provider."""
        place = self._place()
        with self._opening:
            if self._inventory is None:
                opened = open_inventory(place, root=self.root)
                if isinstance(opened, SqliteInventory):
                    opened.hold_open()
                self._inventory = opened
            return self._inventory

    def standing_inventory(self) -> Inventory:
        """Return the inventory for a preview, which makes nothing: one that is not there is an error."""
        if not is_there(self._place(), root=self.root):
            raise InfraError("there is no inventory yet", fix="let `pulumi up` make it")
        return self.inventory()

    def _place(self) -> str:
        place = self._settings.get("inventory")
        if not place:
            raise InfraError("the inventory has no place", fix="set keyrung:inventory in the stack's configuration")
        return place

    def provisioner(self, escrow: Escrow | None = None) -> Provisioner:
        """Return the steps of a key's life over the inventory; ``escrow`` keeps the escrow of an escrowed key."""
        return Provisioner(
            inventory=self.inventory(),
            now=self.now,
            token_bytes=token_bytes,
            escrow=escrow,
            copy_store=lambda uri: self.manager(uri.scheme),
            reached=self._reached,
        )
