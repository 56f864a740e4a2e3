"""Keys in the Transit engine of OpenBao; Vault has the same API.

URI: ``transit:mount=MOUNT;name=NAME``. Settings: ``transitAddress`` (https URL), ``transitToken`` (a reference) and
``transitCaFile`` (the authority that signed the server's certificate). Keys are never exportable.
"""

import base64
import binascii
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import hvac
import requests
from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest, VaultDown, VaultError

from keyrung_provisioners import encoding
from keyrung_provisioners.algorithms import ALGORITHMS, algorithm
from keyrung_provisioners.api import AttributeValue, Capability, KeyDescription, KeySpec, VaultDescription
from keyrung_provisioners.errors import (
    BackendUnavailableError,
    InvalidSettingError,
    KeyConflictError,
    KeyMissingError,
    KeyRefusedError,
    ProvisionerError,
)
from keyrung_provisioners.sources import resolve
from keyrung_provisioners.uri import KeyUri, VaultUri

_TIMEOUT_SECONDS = 10  # a local call takes milliseconds; a hung server must not hang the deployment
# The text whose HMAC under a symmetric key serves as that key's check value.
_CHECK_TEXT = b"keyrung key check value v1"
_BY_TRANSIT_TYPE = {row.transit: row for row in ALGORITHMS.values()}
# The protective settings of a key, as Transit reports them, and what each must be.
_REQUIRED: dict[str, AttributeValue] = {
    "exportable": False,
    "allow_plaintext_backup": False,
    "imported_key": False,
    "derived": False,
}


class TransitKeyManager:
    """Keys in the Transit mounts of one server."""

    scheme: ClassVar[str] = "transit"
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.SIGNING, Capability.SEALING})

    def __init__(self, *, address: Callable[[], str], token: Callable[[], str], ca_file: Path) -> None:
        """Reach the server at ``address``; it and ``token`` are asked for when the first call needs them."""
        self._address = address
        self._token = token
        self._ca_file = ca_file
        self._clients = threading.local()  # an HTTP session must not be shared between threads

    @classmethod
    def from_settings(cls, settings: Mapping[str, str], *, root: Path) -> Self:
        """Build from ``transitAddress``, ``transitToken`` and ``transitCaFile``; nothing is contacted yet."""
        for name in ("transitAddress", "transitToken", "transitCaFile"):
            if not settings.get(name):
                raise InvalidSettingError(f"{name} is not set", fix=f"set keyrung:{name} in the stack's configuration")
        return cls(
            address=partial(resolve, settings["transitAddress"], root=root),
            token=partial(resolve, settings["transitToken"], root=root, secret=True),
            ca_file=root / settings["transitCaFile"],
        )

    def ensure_vault(self, vault: VaultUri, *, owner: str) -> VaultDescription:
        """Mount a Transit engine under the vault's name, unless one is there."""
        try:
            return self._vault(vault, owner=owner)
        except KeyMissingError:
            self._call(
                "mount",
                lambda client: client.sys.enable_secrets_engine(
                    backend_type="transit", path=vault.vault, description=_mark(owner)
                ),
            )
            return self._vault(vault, owner=owner)

    def describe_vault(self, vault: VaultUri) -> VaultDescription:
        """Return the mount's accessor and engine version."""
        return self._vault(vault, owner=None)

    def _vault(self, vault: VaultUri, *, owner: str | None) -> VaultDescription:
        try:
            answer = self._call(
                "mount", lambda client: client.adapter.get(url=f"/v1/sys/mounts/{vault.vault}"), missing=str(vault)
            )
        except InvalidRequest as error:  # the answer for a path where nothing is mounted
            raise _missing(str(vault)) from error
        data = answer["data"]
        if data["type"] != "transit":
            raise KeyConflictError(
                f"{vault} is mounted as {data['type']}, not as transit", fix="choose another mount", uri=str(vault)
            )
        return VaultDescription(
            uri=vault,
            created=owner is not None and data.get("description") == _mark(owner),
            attributes={"accessor": data["accessor"], "version": data.get("running_plugin_version", "")},
        )

    def remove_vault(self, vault: VaultUri) -> None:
        """Unmount the engine, which must hold no key any more."""
        try:
            keys = self._call(
                "list", lambda client: client.secrets.transit.list_keys(mount_point=vault.vault), missing=str(vault)
            )
        except KeyMissingError:
            keys = {"data": {"keys": []}}
        if keys["data"]["keys"]:
            raise KeyRefusedError(
                f"{vault} still holds {len(keys['data']['keys'])} keys", fix="destroy them first", uri=str(vault)
            )
        self._call("unmount", lambda client: client.sys.disable_secrets_engine(path=vault.vault))

    def create(self, spec: KeySpec) -> KeyDescription:
        """Generate the key in the engine; see `KeyManager.create`.

        Transit answers a second creation with success, so what stands there is looked at first; the claim makes sure
        that no other creator of ours comes between.
        """
        row = algorithm(spec.algorithm)
        try:
            self.describe(spec.uri)
        except KeyMissingError:
            self._call(
                "create",
                lambda client: client.secrets.transit.create_key(
                    name=spec.uri.name,
                    key_type=row.transit,
                    exportable=False,
                    allow_plaintext_backup=False,
                    mount_point=spec.uri.vault,
                ),
            )
            return self.describe(spec.uri)
        raise KeyConflictError(
            f"{spec.uri} exists already", fix="choose another name, or take it over with `pulumi import`"
        )

    def describe(self, uri: KeyUri) -> KeyDescription:
        """Read the key's settings and its public half or check value."""
        answer = self._call(
            "read",
            lambda client: client.secrets.transit.read_key(name=uri.name, mount_point=uri.vault),
            missing=str(uri),
        )
        data = answer["data"]
        row = _BY_TRANSIT_TYPE.get(data["type"])
        if row is None:
            raise KeyConflictError(f"{uri} is of the unsupported type {data['type']}", fix="choose another name")
        pem = None if row.symmetric else str(data["keys"]["1"]["public_key"])
        return KeyDescription(
            uri=uri,
            algorithm=row.name,
            fingerprint=self._check_value(uri) if pem is None else encoding.thumbprint(pem),
            public_key_pem=pem,
            claim_id=None,
            attributes={
                "type": data["type"],
                "latest_version": data["latest_version"],
                **{name: bool(data.get(name, False)) for name in _REQUIRED},
            },
        )

    def _check_value(self, uri: KeyUri) -> str:
        answer = self._call(
            "hmac",
            lambda client: client.secrets.transit.generate_hmac(
                name=uri.name, hash_input=_b64(_CHECK_TEXT), key_version=1, mount_point=uri.vault
            ),
        )
        value = base64.b64decode(answer["data"]["hmac"].rpartition(":")[2])
        return f"hmac-sha256:{encoding.base64url(value)}"

    def deviations(self, spec: KeySpec, found: KeyDescription) -> list[str]:
        """Return the Transit settings that are not as a key's must be."""
        wrong = [name for name, value in _REQUIRED.items() if found.attributes.get(name) is not value]
        if found.algorithm != spec.algorithm:
            wrong.append("type")
        return wrong

    def destroy(self, uri: KeyUri) -> None:
        """Allow deletion, then delete; a key that is gone already is done."""
        try:
            self._call(
                "configure",
                lambda client: client.secrets.transit.update_key_configuration(
                    name=uri.name, deletion_allowed=True, mount_point=uri.vault
                ),
                missing=str(uri),
            )
            self._call("delete", lambda client: client.secrets.transit.delete_key(name=uri.name, mount_point=uri.vault))
        except KeyMissingError:
            return

    def sign(self, uri: KeyUri, data: bytes) -> bytes:
        """Sign in the engine; JWS marshalling answers r||s."""
        answer = self._call(
            "sign",
            lambda client: client.secrets.transit.sign_data(
                name=uri.name,
                hash_input=_b64(data),
                key_version=1,
                hash_algorithm="sha2-256",
                marshaling_algorithm="jws",
                mount_point=uri.vault,
            ),
            missing=str(uri),
        )
        text = str(answer["data"]["signature"]).rpartition(":")[2]
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

    def seal(self, uri: KeyUri, plaintext: bytes, *, context: bytes) -> str:
        """Encrypt with AES-256-GCM; ``context`` is the associated data."""
        answer = self._call(
            "encrypt",
            lambda client: client.secrets.transit.encrypt_data(
                name=uri.name,
                plaintext=_b64(plaintext),
                associated_data=_b64(context),
                key_version=1,
                mount_point=uri.vault,
            ),
            missing=str(uri),
        )
        return str(answer["data"]["ciphertext"])

    def open(self, uri: KeyUri, sealed: str, *, context: bytes) -> bytes:
        """Decrypt what `seal` made under the same context."""
        try:
            answer = self._call(
                "decrypt",
                lambda client: client.secrets.transit.decrypt_data(
                    name=uri.name, ciphertext=sealed, associated_data=_b64(context), mount_point=uri.vault
                ),
                missing=str(uri),
            )
            return base64.b64decode(answer["data"]["plaintext"], validate=True)
        except (InvalidRequest, binascii.Error) as error:
            raise KeyRefusedError(
                f"a sealed text was not opened by {uri}", fix="it was altered or belongs elsewhere", uri=str(uri)
            ) from error

    def _call(self, operation: str, call: Callable[[Any], Any], *, missing: str | None = None) -> Any:
        """Return what ``call`` answers; every failure of the server becomes one of our errors.

        `InvalidRequest` (400) passes through for the callers that know what it means for them.
        """
        try:
            return call(self._connected())
        except InvalidPath as error:
            if missing is None:
                raise self._unavailable(operation, "has no such path") from error
            raise _missing(missing) from error
        except InvalidRequest:
            raise
        except Forbidden as error:
            raise BackendUnavailableError(
                f"the vault refused to {operation}: the token is invalid or lacks the permission",
                fix="renew it (locally: keyrung dev up)",
                operation=operation,
            ) from error
        except VaultDown as error:
            raise self._unavailable(operation, "is sealed") from error
        except (VaultError, requests.RequestException) as error:
            raise self._unavailable(operation, f"did not answer ({type(error).__name__})") from error

    def _unavailable(self, operation: str, why: str) -> ProvisionerError:
        return BackendUnavailableError(
            f"the vault at {self._address()} {why}",
            fix="start or unseal it and try again (locally: keyrung dev up)",
            operation=operation,
        )

    def _connected(self) -> Any:
        client: Any = getattr(self._clients, "client", None)
        if client is None:
            if not self._ca_file.is_file():
                raise InvalidSettingError(
                    "the vault's CA file is missing", fix="set keyrung:transitCaFile (locally: keyrung dev up)"
                )
            client = self._clients.client = hvac.Client(
                url=self._address(), token=self._token(), verify=str(self._ca_file), timeout=_TIMEOUT_SECONDS
            )
        return client


def _mark(owner: str) -> str:
    return f"made by keyrung for {owner}"


def _missing(uri: str) -> KeyMissingError:
    return KeyMissingError(f"the vault holds no {uri}", fix="check the vault", uri=uri)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
