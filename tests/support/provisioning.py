"""A provisioner over a real store and a real inventory, in this process and in one that is killed."""

import json
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from pkcs11 import Attribute, ObjectClass
from support.openbao import OpenBaoServer
from support.raw_keys import generate_raw, raw_session
from support.softhsm import SoftHsmToken
from support.stores import SigningManager

from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_infra.local.client import RefusedError
from keyrung_provisioners.api import Purpose
from keyrung_provisioners.inventory import Claim, KeyRow
from keyrung_provisioners.provision import Provisioner
from keyrung_provisioners.registry import open_manager
from keyrung_provisioners.uri import KeyUri

# Provisions one key once a line comes in, and kills itself at the named point.
_CHILD = """
import json, os, secrets, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_provisioners.api import Purpose
from keyrung_provisioners.inventory import Claim
from keyrung_provisioners.provision import Provisioner
from keyrung_provisioners.registry import open_manager
from keyrung_provisioners.uri import KeyUri

order = json.loads(sys.argv[1])
uri = KeyUri.parse(order["uri"])
claim = Claim(owner=order["owner"], generation=1, uri=uri, algorithm="P-256", purpose=Purpose(order["purpose"]))

def reached(point):
    if point == order["die_at"]:
        os.kill(os.getpid(), signal.SIGKILL)

provisioner = Provisioner(
    inventory=SqliteInventory(Path(order["inventory"])), now=lambda: datetime.now(UTC),
    token_bytes=secrets.token_bytes, reached=reached,
)
manager = open_manager(uri.scheme, order["settings"], root=Path("/"))
sys.stdin.readline()
print(provisioner.provision(claim, manager).fingerprint)
"""
_SECONDS = 60


class CrashError(Exception):
    """Stands for a crash at a named point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """One declared key, and all that is needed to make it.

    Attributes:
        make_foreign: Makes a key under the URI, without any of our code.
        count: Returns how many keys stand under the URI.
    """

    uri: KeyUri
    settings: Mapping[str, str]
    inventory_path: Path
    make_foreign: Callable[[], None] = field(repr=False)
    count: Callable[[], int] = field(repr=False)

    @property
    def claim(self) -> Claim:
        """The declaration."""
        purpose = Purpose.POLICY_SIGNING
        return Claim(owner="urn:test", generation=1, uri=self.uri, algorithm="P-256", purpose=purpose)

    @property
    def inventory(self) -> SqliteInventory:
        """The inventory."""
        return SqliteInventory(self.inventory_path)

    def manager(self) -> SigningManager:
        """Return a new manager of the store."""
        return cast(SigningManager, open_manager(self.uri.scheme, self.settings, root=Path("/")))

    def provisioner(self, *, crash_at: str | None = None) -> Provisioner:
        """Return a provisioner that raises `CrashError` at the named point."""

        def reached(point: str) -> None:
            if point == crash_at:
                raise CrashError(point)

        return Provisioner(
            inventory=self.inventory,
            now=lambda: datetime.now(UTC),
            token_bytes=secrets.token_bytes,
            reached=reached,
        )

    def provision(self, *, crash_at: str | None = None) -> KeyRow:
        """Provision the key, as a process that begins anew would."""
        return self.provisioner(crash_at=crash_at).provision(self.claim, self.manager())

    def start_child(self, *, die_at: str | None = None) -> "subprocess.Popen[str]":
        """Start a process that provisions the key once it gets a line."""
        order = {
            "uri": str(self.uri),
            "owner": self.claim.owner,
            "purpose": self.claim.purpose,
            "inventory": str(self.inventory_path),
            "settings": dict(self.settings),
            "die_at": die_at,
        }
        command = [sys.executable, "-c", _CHILD, json.dumps(order)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def killed_at(self, point: str) -> None:
        """Provision in a process that kills itself at ``point``."""
        child = self.start_child(die_at=point)
        child.communicate("go\n", timeout=_SECONDS)
        assert child.returncode == -signal.SIGKILL

    def events(self) -> list[str]:
        """Return what the inventory recorded."""
        return [event.event for _, event in self.inventory.events()]


def token_workshop(token: SoftHsmToken, folder: Path) -> Workshop:
    """Return a workshop over ``token``."""
    uri = KeyUri("pkcs11", token.label, "policy-signing-one")

    def make_foreign() -> None:
        with raw_session(token) as session:
            generate_raw(session, uri.name, {})

    def count() -> int:
        with raw_session(token) as session:
            kinds = (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY)
            found = [
                len(list(session.get_objects({Attribute.LABEL: uri.name, Attribute.CLASS: kind}))) for kind in kinds
            ]
        assert found[0] == found[1]
        return found[0]

    return Workshop(
        uri=uri,
        settings=token.settings(),
        inventory_path=folder / "inventory.db",
        make_foreign=make_foreign,
        count=count,
    )


def vault_workshop(server: OpenBaoServer, folder: Path) -> Workshop:
    """Return a workshop over ``server``, as its deployer."""
    uri = KeyUri("transit", "keyrung", server.key_name("policy-signing"))
    client = server.client("deployer")

    def make_foreign() -> None:
        client.call("POST", f"keyrung/keys/{uri.name}", {"type": "ecdsa-p256"})

    def count() -> int:
        try:
            keys: list[str] = client.call("LIST", "keyrung/keys")["data"]["keys"]
        except RefusedError:  # the answer of a mount without keys
            return 0
        return keys.count(uri.name)

    return Workshop(
        uri=uri,
        settings=server.settings("deployer"),
        inventory_path=folder / "inventory.db",
        make_foreign=make_foreign,
        count=count,
    )
