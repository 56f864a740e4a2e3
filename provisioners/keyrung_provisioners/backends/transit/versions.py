"""Generations of a key as versions of one Transit key: made one by one, destroyed from the oldest up.

Transit makes a version by rotating, has no compare-and-set for that, and deletes versions from the low end only. So a
version is made only when its predecessor is the latest, and what came of it is read; and a version is destroyed only
when none below it is left, the last one together with the key.
"""

import base64
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from keyrung_provisioners import encoding
from keyrung_provisioners.algorithms import Algorithm
from keyrung_provisioners.api import Custody, KeySpec
from keyrung_provisioners.backends.transit.server import Server
from keyrung_provisioners.errors import KeyAlteredError, KeyConflictError, KeyMissingError, KeyRefusedError
from keyrung_provisioners.uri import KeyUri

T = TypeVar("T")

_CHECK_TEXT = b"keyrung key check value v1"
# Transit keeps nothing of ours beside a key, but it keeps a period after which it would rotate by itself. Two of them,
# many years long, are marks of ours; every other key of ours has none.
_YEAR_SECONDS = 365 * 24 * 3600
# A key whose first generation here is a later one is rotated up to it: not there yet, or earlier versions not deleted.
_UNFINISHED = 40 * _YEAR_SECONDS
RENEWED = 50 * _YEAR_SECONDS  # a sealing key whose versions are renewals of one generation


def usable(server: Server, uri: KeyUri, understand: Callable[[Mapping[str, Any]], T]) -> T:
    """Return what ``understand`` makes of what Transit says of the whole key.

    Raises:
        KeyMissingError: If there is none, or it is soft-deleted.
    """

    def understand_usable(data: Mapping[str, Any]) -> T:
        whole = _whole(data)
        if whole.get("soft_deleted"):
            raise KeyMissingError(
                f"{uri} was soft-deleted", fix="an administrator can restore it (soft-delete-restore)", uri=str(uri)
            )
        return understand(whole)

    return server.ask("read", lambda client: client.adapter.get(url=_path(uri)), understand_usable, what=str(uri))


def living(data: Mapping[str, Any], uri: KeyUri) -> Any:
    """Return what Transit says of the version that ``uri`` names.

    Raises:
        KeyMissingError: If there is none, or it can neither sign nor verify any more.
        KeyAlteredError: If somebody else retired it for one of the two.
    """
    version = data["keys"].get(str(uri.version))
    if version is not None:
        return version
    retired = uri.version < data["min_decryption_version"]
    if retired and uri.version >= max(data["min_available_version"], data["min_encryption_version"]):
        raise KeyAlteredError(
            f"{uri} was rotated and this version is retired",
            fix="make the version available again (min_decryption_version), or raise `generation`",
            uri=str(uri),
        )
    raise KeyMissingError(f"the vault holds no {uri}", fix="check the vault", uri=str(uri))


def check_value(server: Server, uri: KeyUri) -> str:
    """Return the HMAC of a fixed text under the version of a symmetric key, which says nothing about the key."""
    body = {"input": base64.b64encode(_CHECK_TEXT).decode("ascii"), "key_version": uri.version}
    mac = server.ask(
        "hmac",
        lambda client: client.adapter.post(url=f"/v1/{uri.vault}/hmac/{uri.name}", json=body),
        lambda data: base64.b64decode(data["hmac"].rpartition(":")[2], validate=True),
        what=str(uri),
    )
    return f"hmac-sha256:{encoding.base64url(mac)}"


def make(server: Server, spec: KeySpec, row: Algorithm) -> None:
    """Generate the version that ``spec`` names, and no other; what a crash left unfinished is finished."""
    uri = spec.uri
    try:
        found = refuse_taken(server, uri, row)
    except KeyMissingError:
        _create(server, spec, row)
        found = _read(server, uri)
    while found["latest_version"] < uri.version:
        found = _rotate(server, uri, found["latest_version"] + 1)
    if found["auto_rotate_period"] == _UNFINISHED:
        _drop_older(server, uri, uri.version)
        _configure(server, uri, auto_rotate_period="0")


def destroy(server: Server, uri: KeyUri, *, soft: bool) -> None:
    """Delete the version that ``uri`` names; with the last one the key, and with it all renewals of a sealing key.

    ``soft`` has the key soft-deleted: nothing can use it, and an administrator can restore it. A version that goes
    before others is gone for good either way.
    """
    try:
        found = _read(server, uri)
    except KeyMissingError:
        return
    lowest, latest = _lowest(found), int(found["latest_version"])
    if found["auto_rotate_period"] not in {_UNFINISHED, RENEWED}:
        if not lowest <= uri.version <= latest:
            return
        if lowest < uri.version:
            raise KeyRefusedError(
                f"Transit deletes versions from the oldest up, and version {lowest} stands before {uri}",
                fix=f"destroy version {lowest} first",
                uri=str(uri),
                lowest=str(lowest),
            )
        if uri.version < latest:
            _drop_older(server, uri, uri.version + 1)
            return
    if not soft:
        delete(server, uri)
    elif not found.get("soft_deleted"):
        server.send("soft-delete", lambda client: client.adapter.delete(url=f"{_path(uri)}/soft-delete"), what=str(uri))


def delete(server: Server, uri: KeyUri) -> None:
    """Delete the key with all its versions."""
    _configure(server, uri, deletion_allowed=True)
    server.send("delete", lambda client: client.adapter.delete(url=_path(uri)), what=str(uri))


def rotate(server: Server, uri: KeyUri) -> None:
    """Renew the material of a sealing key that has no other generation, by exactly one version."""
    found = usable(server, uri, dict)
    living(found, uri)
    latest = int(found["latest_version"])
    renewed = found["auto_rotate_period"] == RENEWED
    if not found["supports_encryption"] or not (renewed or _lowest(found) == uri.version == latest):
        raise KeyRefusedError(
            f"the next version of {uri} is its next generation", fix="raise `generation`", uri=str(uri)
        )
    if not renewed:
        _configure(server, uri, auto_rotate_period=f"{RENEWED}s")
    _rotate(server, uri, latest + 1)


def _create(server: Server, spec: KeySpec, row: Algorithm) -> None:
    post(
        server,
        "create",
        spec.uri,
        "",
        type=row.transit,
        exportable=spec.custody is Custody.PORTABLE,
        allow_plaintext_backup=False,
        auto_rotate_period="0" if spec.uri.version == 1 else f"{_UNFINISHED}s",
    )


def refuse_taken(server: Server, uri: KeyUri, row: Algorithm) -> Mapping[str, Any]:
    """Return the key whose next version ``uri`` names; raise `KeyMissingError` when there is none yet.

    Raises:
        KeyConflictError: If the version is there, does not come next, or would be of another type.
    """
    found = _read(server, uri)
    latest = int(found["latest_version"])
    begun = found["auto_rotate_period"] == _UNFINISHED and latest <= uri.version
    if found["auto_rotate_period"] == RENEWED:
        raise KeyConflictError(
            f"{uri} cannot follow: that key is renewed in place",
            fix="rotate it again, or declare a key under another name",
            uri=str(uri),
        )
    if latest >= uri.version and not begun:
        raise KeyConflictError(
            f"{uri} exists already", fix="choose another name, or take it over with `pulumi import`", uri=str(uri)
        )
    if found["type"] != row.transit:
        raise KeyConflictError(f"{uri} would be of the type {found['type']}", fix="choose another name", uri=str(uri))
    if latest + 1 < uri.version and not begun:
        raise KeyConflictError(
            f"{uri} cannot follow version {latest}: Transit numbers versions without a gap",
            fix=f"raise `generation` to {latest + 1}",
            uri=str(uri),
            latest=str(latest),
        )
    return found


def _rotate(server: Server, uri: KeyUri, expected: int) -> Mapping[str, Any]:
    """Make the next version, and return the key once its latest version is seen to be ``expected``."""
    post(server, "rotate", uri, "/rotate")
    found = _read(server, uri)
    if found["latest_version"] != expected:
        raise KeyConflictError(
            f"somebody else rotated {uri} at the same time: its latest version is {found['latest_version']}",
            fix="find out who; no version beyond the expected one is used",
            uri=str(uri),
            expected=str(expected),
        )
    return found


def _drop_older(server: Server, uri: KeyUri, first_kept: int) -> None:
    """Delete the material of all versions before ``first_kept``; from the first call on nothing can use them."""
    _configure(server, uri, min_decryption_version=first_kept, min_encryption_version=first_kept)
    post(server, "trim", uri, "/trim", min_available_version=first_kept)


def _lowest(found: Mapping[str, Any]) -> int:
    """Return the oldest version whose material the server still has."""
    return max(1, int(found["min_available_version"]))


def _configure(server: Server, uri: KeyUri, **settings: object) -> None:
    post(server, "configure", uri, "/config", **settings)


def post(server: Server, operation: str, uri: KeyUri, suffix: str, **body: object) -> None:
    """Make a request about the key; hvac's own methods check versions by older rules than the server's."""
    server.send(operation, lambda client: client.adapter.post(url=f"{_path(uri)}{suffix}", json=body), what=str(uri))


def _path(uri: KeyUri) -> str:
    return f"/v1/{uri.vault}/keys/{uri.name}"


def _read(server: Server, uri: KeyUri) -> Mapping[str, Any]:
    return server.ask("read", lambda client: client.adapter.get(url=_path(uri)), _whole, what=str(uri))


def _whole(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the data, seen to have what everything here relies on."""
    numbers = ("latest_version", "min_available_version", "min_decryption_version", "min_encryption_version")
    uses = ("supports_signing", "supports_encryption")
    if not isinstance(data["type"], str) or not isinstance(data["keys"], Mapping):
        raise TypeError("no key of Transit")
    return {
        **data,
        **{name: int(data[name]) for name in (*numbers, "auto_rotate_period")},
        **{name: bool(data[name]) for name in uses},
    }
