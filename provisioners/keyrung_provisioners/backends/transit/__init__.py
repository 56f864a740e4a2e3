"""Keys in the Transit engine of OpenBao; Vault has the same API.

URI: ``transit:mount=MOUNT;name=NAME``, and ``;version=N`` for a later generation. Settings: ``transitAddress`` (https
URL), ``transitCaFile`` (the authority that signed the server's certificate), and either ``transitToken`` (a reference)
or ``transitRoleId`` with ``transitSecretId`` (a reference), to log in by AppRole; ``transitSoftDelete`` (optional).

A key is exportable only if it is declared portable. Later generations of a key are versions of it; a sealing
key can be renewed in place instead.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from keyrung_provisioners import encoding
from keyrung_provisioners.algorithms import ALGORITHMS, Algorithm, algorithm, offered_algorithm
from keyrung_provisioners.api import (
    AttributeValue,
    Capability,
    Custody,
    ImportOffer,
    KeyDescription,
    KeySpec,
    VaultDescription,
)
from keyrung_provisioners.backends.transit import mounts, transfer, versions
from keyrung_provisioners.backends.transit.login import Login, declared_login
from keyrung_provisioners.backends.transit.server import FailedError, ForbiddenError, Server
from keyrung_provisioners.errors import (
    BackendUnavailableError,
    InvalidSettingError,
    KeyConflictError,
    KeyRefusedError,
)
from keyrung_provisioners.sources import resolve
from keyrung_provisioners.uri import KeyUri, VaultUri

T = TypeVar("T")

_TIMEOUT_SECONDS = 10.0  # a local call takes milliseconds; a hung server must not hang the deployment
# Texts sealed in one call. OpenBao refuses JSON with over 1,000 strings, and a text takes four of them.
_BATCH_ITEMS = 200
_BY_TRANSIT_TYPE = {row.transit: row for row in ALGORITHMS.values()}
# RSASSA-PSS with a salt as long as the hash (RFC 7518 section 3.5).
_SIGN_PARAMETERS = {"RSA": {"signature_algorithm": "pss", "salt_length": "hash"}}
# The protective settings of a key, as Transit reports them, and what each must be.
_REQUIRED: dict[str, AttributeValue] = {
    "exportable": False,
    "allow_plaintext_backup": False,
    "imported_key": False,
    "derived": False,
    "auto_rotate_period": 0,
}
_BY_CUSTODY: dict[Custody, dict[str, AttributeValue]] = {
    Custody.PORTABLE: {"exportable": True},
    Custody.RESTORED: {"imported_key": True},
}


class TransitKeyManager:
    """Keys in the Transit mounts of one server."""

    scheme: ClassVar[str] = "transit"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.SIGNING,
            Capability.SEALING,
            Capability.ROTATING,
            Capability.EXPORTING,
            Capability.RECEIVING,
        }
    )
    algorithms: ClassVar[frozenset[str]] = frozenset({"P-256", "P-384", "Ed25519", "RSA-3072", "AES-256"})

    def __init__(
        self,
        *,
        address: Callable[[], str],
        login: Login,
        ca_file: Path,
        soft_delete: bool = False,
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> None:
        """Reach the server at ``address``; it and ``login`` are asked for when the first call needs them.

        With ``soft_delete`` a destroyed key stays on the server, unusable, and an administrator can restore it.
        """
        self._soft_delete = soft_delete
        self._server = Server(address=address, login=login, ca_file=ca_file, timeout_seconds=timeout_seconds)
        self._algorithms: dict[KeyUri, Algorithm] = {}

    @classmethod
    def from_settings(cls, settings: Mapping[str, str], *, root: Path) -> Self:
        """Build from the settings named above; nothing is contacted yet."""
        for name in ("transitAddress", "transitCaFile"):
            if not settings.get(name):
                raise InvalidSettingError(f"{name} is not set", fix=f"set keyrung:{name} in the stack's configuration")
        return cls(
            address=partial(resolve, settings["transitAddress"], root=root),
            login=declared_login(settings, root=root),
            ca_file=root / settings["transitCaFile"],
            soft_delete=_switch(settings.get("transitSoftDelete", "false")),
        )

    def ensure_vault(self, vault: VaultUri, *, owner: str) -> VaultDescription:
        """Mount a Transit engine under the vault's name, unless one is there."""
        return mounts.ensure(self._server, vault, owner=owner)

    def describe_vault(self, vault: VaultUri) -> VaultDescription:
        """Return the mount's accessor and engine version."""
        return mounts.describe(self._server, vault)

    def remove_vault(self, vault: VaultUri) -> None:
        """Unmount the engine, which must hold no key any more; already gone counts as done."""
        mounts.remove(self._server, vault)

    def create(self, spec: KeySpec) -> KeyDescription:
        """Generate the version of the key; see `KeyManager.create`.

        Transit answers a second creation with success, so what stands there is looked at first; the claim makes sure
        that no other creator of ours comes between.
        """
        row = offered_algorithm(spec.algorithm, scheme=self.scheme, offered=self.algorithms)
        versions.make(self._server, spec, row)
        return self.describe(spec.uri)

    def describe(self, uri: KeyUri) -> KeyDescription:
        """Read the key's settings and its public half or check value."""

        def understand(data: Mapping[str, Any]) -> KeyDescription:
            row = _row(str(data["type"]), uri)
            version = versions.living(data, uri)
            pem = None if row.symmetric else encoding.public_pem_from_transit(str(version["public_key"]))
            return KeyDescription(
                uri=uri,
                algorithm=row.name,
                fingerprint=versions.check_value(self._server, uri) if pem is None else encoding.thumbprint(pem),
                public_key_pem=pem,
                claim_id=None,
                attributes={
                    "type": data["type"],
                    "version": uri.version,
                    **{name: data.get(name, value) for name, value in _REQUIRED.items()},
                },
            )

        return versions.usable(self._server, uri, understand)

    def names(self, vault: VaultUri) -> list[str]:
        """Return the names of the mount's keys, whatever their versions."""
        mounts.describe(self._server, vault)
        return mounts.names(self._server, vault)

    def required(self, spec: KeySpec) -> Mapping[str, AttributeValue]:
        """Return the Transit settings of a key, as its custody has them."""
        required = {**_REQUIRED, "type": algorithm(spec.algorithm).transit, **_BY_CUSTODY.get(spec.custody, {})}
        if spec.custody is Custody.COPIED:  # one that came in is imported, one that went out is exportable for ever
            return {name: value for name, value in required.items() if name not in {"imported_key", "exportable"}}
        return required

    def deviations(self, spec: KeySpec, found: KeyDescription) -> list[str]:
        """Return the Transit settings that are not as a key's must be."""
        wrong = [name for name, value in self.required(spec).items() if found.attributes.get(name) != value]
        if algorithm(spec.algorithm).symmetric and found.attributes.get("auto_rotate_period") == versions.RENEWED:
            wrong.remove("auto_rotate_period")
        if found.attributes.get("imported_key") and found.attributes.get("exportable") and not wrong:
            wrong.append("exportable")  # a copy that came in leaves no more
        return wrong

    def destroy(self, uri: KeyUri) -> None:
        """Delete the version, and the key with its last one; gone already is done. See `versions.destroy`."""
        versions.destroy(self._server, uri, soft=self._soft_delete)

    def sign(self, uri: KeyUri, data: bytes) -> bytes:
        """Sign in the engine; JWS marshalling answers the JOSE form."""
        known = self._algorithms.get(uri)
        if known is not None:
            signature = self._signed(uri, data, known)
            if len(signature) == known.signature_bytes:
                return signature
        # Not asked yet, or a key of another algorithm was made anew under the name.
        row = self._algorithms[uri] = self._algorithm(uri)
        return self._signed(uri, data, row)

    def _algorithm(self, uri: KeyUri) -> Algorithm:
        return versions.usable(self._server, uri, lambda data: _row(str(data["type"]), uri))

    def _signed(self, uri: KeyUri, data: bytes, row: Algorithm) -> bytes:
        return self._use(
            "sign",
            uri,
            lambda client: client.secrets.transit.sign_data(
                name=uri.name,
                hash_input=_b64(data),
                key_version=uri.version,
                hash_algorithm=row.transit_hash,
                marshaling_algorithm="jws",
                mount_point=uri.vault,
                **_SIGN_PARAMETERS.get(row.kty, {}),
            ),
            lambda answer: encoding.from_base64url(answer["signature"].rpartition(":")[2]),
        )

    def seal(self, uri: KeyUri, plaintext: bytes, *, context: bytes) -> str:
        """Encrypt with AES-256-GCM under the newest material; ``context`` is the associated data."""
        return self.seal_many(uri, [(plaintext, context)])[0]

    def seal_many(self, uri: KeyUri, items: Sequence[tuple[bytes, bytes]]) -> Sequence[str]:
        """Seal in batches, each in one call."""
        sealed: list[str] = []
        for start in range(0, len(items), _BATCH_ITEMS):
            sealed += self._seal_batch(uri, items[start : start + _BATCH_ITEMS])
        return sealed

    def _seal_batch(self, uri: KeyUri, items: Sequence[tuple[bytes, bytes]]) -> list[str]:
        def understand(answer: Mapping[str, Any]) -> list[str]:
            if any("error" in result for result in answer["batch_results"]):  # a batch is answered, not refused
                raise KeyRefusedError(
                    f"the vault refused to seal with {uri}", fix="check what the key is for", uri=str(uri)
                )
            return [str(result["ciphertext"]) for _item, result in zip(items, answer["batch_results"], strict=True)]

        batch = [{"plaintext": _b64(plaintext), "associated_data": _b64(context)} for plaintext, context in items]
        return self._use(
            "seal with",
            uri,
            lambda client: client.secrets.transit.encrypt_data(name=uri.name, batch_input=batch, mount_point=uri.vault),
            understand,
        )

    def open(self, uri: KeyUri, sealed: str, *, context: bytes) -> bytes:
        """Decrypt what `seal` made under the same context."""
        return self._use(
            "open a sealed text with",
            uri,
            lambda client: client.secrets.transit.decrypt_data(
                name=uri.name, ciphertext=sealed, associated_data=_b64(context), mount_point=uri.vault
            ),
            lambda answer: base64.b64decode(answer["plaintext"], validate=True),
        )

    def rotate(self, uri: KeyUri) -> KeyDescription:
        """Renew a sealing key; its check value stays that of its first version. See `Rotating.rotate`."""
        versions.rotate(self._server, uri)
        return self.describe(uri)

    def export_hash(self, vault: VaultUri) -> str:
        """Return SHA-256; see `Exporting.export_hash`."""
        return "SHA-256"

    def export(self, uri: KeyUri, offer: ImportOffer) -> bytes:
        """Wrap the key to another store inside Transit, if it was made exportable; see `Exporting.export`."""
        self.describe(uri)
        return transfer.export(self._server, uri, offer)

    def offer(self, spec: KeySpec, *, hash_name: str) -> ImportOffer:
        """Return the mount's wrapping key; see `Receiving.offer`."""
        return transfer.offer(self._server, spec.uri, hash_name=hash_name)

    def receive(self, spec: KeySpec, offer: ImportOffer, wrapped: bytes) -> KeyDescription:
        """Import the key; see `Receiving.receive`."""
        row = offered_algorithm(spec.algorithm, scheme=self.scheme, offered=self.algorithms)
        transfer.receive(self._server, spec, row, offer, wrapped)
        return self.describe(spec.uri)

    def _use(
        self, operation: str, uri: KeyUri, request: Callable[[Any], Any], understand: Callable[[Mapping[str, Any]], T]
    ) -> T:
        """Return the answer; a refusal may mean that there is no such key, which is another error."""
        try:
            return self._server.ask(operation, request, understand, what=str(uri))
        except (KeyRefusedError, ForbiddenError, FailedError):
            with suppress(BackendUnavailableError):  # then the first answer says more
                versions.usable(self._server, uri, partial(versions.living, uri=uri))
            raise


def _row(transit_type: str, uri: KeyUri) -> Algorithm:
    row = _BY_TRANSIT_TYPE.get(transit_type)
    if row is None:
        raise KeyConflictError(
            f"{uri} is of the unsupported type {transit_type}", fix="choose another name", uri=str(uri)
        )
    return row


def _switch(text: str) -> bool:
    if text not in {"true", "false"}:
        raise InvalidSettingError("transitSoftDelete is neither true nor false", fix="write true or false")
    return text == "true"


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
