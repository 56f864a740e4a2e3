"""Vaults as mounts of the Transit engine: found, made, and removed once they hold no key."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from keyrung_provisioners.api import VaultDescription
from keyrung_provisioners.backends.transit.server import Server
from keyrung_provisioners.errors import KeyConflictError, KeyMissingError, KeyRefusedError
from keyrung_provisioners.uri import VaultUri


def ensure(server: Server, vault: VaultUri, *, owner: str) -> VaultDescription:
    """Mount a Transit engine under the vault's name, unless one is there."""
    try:
        return describe(server, vault, owner=owner)
    except KeyMissingError:
        pass
    with suppress(KeyRefusedError):  # somebody else mounted it just now
        server.send(
            "mount",
            lambda client: client.sys.enable_secrets_engine(
                backend_type="transit", path=vault.vault, description=_mark(owner)
            ),
            what=str(vault),
        )
    return describe(server, vault, owner=owner)


def describe(server: Server, vault: VaultUri, *, owner: str | None = None) -> VaultDescription:
    """Return the mount's accessor and engine version, and whether it was made for ``owner``."""

    def understand(data: Mapping[str, Any]) -> VaultDescription:
        if data["type"] != "transit":
            raise KeyConflictError(
                f"{vault} is mounted as {data['type']}, not as transit", fix="choose another mount", uri=str(vault)
            )
        return VaultDescription(
            uri=vault,
            created=owner is not None and data.get("description") == _mark(owner),
            attributes={"accessor": data["accessor"], "version": data.get("running_plugin_version", "")},
        )

    try:
        return server.ask(
            "read",
            lambda client: client.adapter.get(url=f"/v1/sys/mounts/{vault.vault}"),
            understand,
            what=str(vault),
        )
    except KeyRefusedError as error:  # the answer for a path where nothing is mounted
        raise KeyMissingError(f"the vault holds no {vault}", fix="check the vault", uri=str(vault)) from error


def remove(server: Server, vault: VaultUri) -> None:
    """Unmount the engine, which must hold no key any more; already gone counts as done."""
    try:
        describe(server, vault)
    except KeyMissingError:
        return
    keys = names(server, vault)
    if keys:
        raise KeyRefusedError(f"{vault} still holds {len(keys)} keys", fix="destroy them first", uri=str(vault))
    server.send("unmount", lambda client: client.sys.disable_secrets_engine(path=vault.vault), what=str(vault))


def names(server: Server, vault: VaultUri) -> list[str]:
    """Return the names of the mount's keys, sorted."""
    try:
        return server.ask(
            "list",
            lambda client: client.secrets.transit.list_keys(mount_point=vault.vault),
            # A name with a slash is a folder, in which the engine keeps its own wrapping key after an import.
            lambda data: sorted(str(name) for name in data["keys"] if "/" not in str(name)),
            what=str(vault),
        )
    except KeyMissingError:  # the answer of an engine without keys
        return []


def _mark(owner: str) -> str:
    return f"made by keyrung for {owner}"
