"""Keys in files, for development only.

While a key is in use, this process holds it, and so does whoever reads the process's memory.

URI: ``software:folder=FOLDER;name=NAME``. Settings: ``softwareFolder`` (the folder that holds the vaults' folders) and
``softwarePassphrase`` (a reference). Keys are encrypted at rest, and nothing else protects them: the evidence of each
says ``hardware: false``.
"""

import hmac
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from secrets import token_bytes
from typing import ClassVar, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keyrung_provisioners import encoding
from keyrung_provisioners.algorithms import algorithm, offered_algorithm
from keyrung_provisioners.api import AttributeValue, Capability, Custody, KeyDescription, KeySpec, VaultDescription
from keyrung_provisioners.backends.software import files, private_keys
from keyrung_provisioners.errors import (
    InvalidSettingError,
    KeyAlteredError,
    KeyConflictError,
    KeyMissingError,
    KeyRefusedError,
)
from keyrung_provisioners.sources import resolve
from keyrung_provisioners.uri import KeyUri, VaultUri

_LOG = logging.getLogger(__name__)
_AES_KEY_BYTES = 32
_NONCE_BYTES = 12  # SP 800-38D section 8.2.2
# The text whose HMAC under a symmetric key serves as that key's check value.
_CHECK_TEXT = b"keyrung key check value v1"


class UnsafeSoftwareKeyManager:
    """Keys in the folders below one folder."""

    scheme: ClassVar[str] = "software"
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.SIGNING, Capability.SEALING})
    algorithms: ClassVar[frozenset[str]] = frozenset({"P-256", "P-384", "Ed25519", "RSA-3072", "AES-256"})

    def __init__(
        self,
        *,
        folder: Path,
        passphrase: Callable[[], str],
        random: Callable[[int], bytes] = token_bytes,
    ) -> None:
        """Keep keys below ``folder``; ``passphrase`` is asked for when the first call needs it."""
        self._folder = folder
        self._passphrase = passphrase
        self._random = random
        self._vaults: dict[tuple[str, tuple[int, int]], files.OpenVault] = {}
        self._opening = threading.Lock()
        _LOG.warning("keys under software: are held by this process and not by hardware; for development only")

    @classmethod
    def from_settings(cls, settings: Mapping[str, str], *, root: Path) -> Self:
        """Build from ``softwareFolder`` and ``softwarePassphrase``; nothing is opened yet."""
        for name in ("softwareFolder", "softwarePassphrase"):
            if not settings.get(name):
                raise InvalidSettingError(f"{name} is not set", fix=f"set keyrung:{name} in the stack's configuration")
        return cls(
            folder=root / resolve(settings["softwareFolder"], root=root),
            passphrase=partial(resolve, settings["softwarePassphrase"], root=root, secret=True),
        )

    def ensure_vault(self, vault: VaultUri, *, owner: str) -> VaultDescription:
        """Make the folder, unless it is there."""
        try:
            opened = self._open(vault)
        except KeyMissingError:
            folder = self._folder / vault.vault
            files.make_vault(folder, owner=owner, passphrase=self._passphrase(), token_bytes=self._random)
            opened = self._open(vault)
        return _described(vault, created=opened.owner == owner)

    def describe_vault(self, vault: VaultUri) -> VaultDescription:
        """Return that the folder is there and opens."""
        self._open(vault)
        return _described(vault, created=False)

    def remove_vault(self, vault: VaultUri) -> None:
        """Remove the folder, which must hold no key any more; already gone counts as done."""
        try:
            opened = self._open(vault)
        except KeyMissingError:
            return
        names = files.key_names(opened)
        if names:
            raise KeyRefusedError(f"{vault} still holds {len(names)} keys", fix="destroy them first", uri=str(vault))
        files.remove_vault(opened)

    def create(self, spec: KeySpec) -> KeyDescription:
        """Generate the key in this process and write it, encrypted, to its file."""
        row = offered_algorithm(spec.algorithm, scheme=self.scheme, offered=self.algorithms)
        if spec.custody is not Custody.SOLE:
            raise KeyRefusedError(
                f"{spec.uri} is declared escrowed, which keys in software cannot be",
                fix="keep it in a PKCS#11 token, or declare it without escrow",
                uri=str(spec.uri),
            )
        opened = self._open(spec.uri.vault_uri)
        header = {
            "uri": str(spec.uri),
            "algorithm": row.name,
            "purpose": spec.purpose.value,
            "claim_id": spec.claim_id.hex(),
        }
        secret = self._random(_AES_KEY_BYTES) if row.symmetric else private_keys.generate(row)
        if not files.write_key(opened, spec.uri.name, header, secret, self._random):
            fix = "choose another name, or take it over with `pulumi import`"
            raise KeyConflictError(f"{spec.uri} exists already", fix=fix, uri=str(spec.uri))
        return self.describe(spec.uri)

    def describe(self, uri: KeyUri) -> KeyDescription:
        """Open the key's file and derive the public half, or make the check value."""
        stored = self._read(uri)
        row = algorithm(stored.header["algorithm"])
        pem = None if row.symmetric else private_keys.public_pem(stored.secret, row)
        return KeyDescription(
            uri=uri,
            algorithm=row.name,
            fingerprint=_check_value(stored.secret) if pem is None else encoding.thumbprint(pem),
            public_key_pem=pem,
            claim_id=bytes.fromhex(stored.header["claim_id"]),
            attributes={"hardware": False, "mode": f"{stored.mode:04o}", "purpose": stored.header["purpose"]},
        )

    def names(self, vault: VaultUri) -> list[str]:
        """Return the names of the keys' files."""
        return files.key_names(self._open(vault))

    def required(self, spec: KeySpec) -> Mapping[str, AttributeValue]:
        """Return the mode of the key's file, and its purpose."""
        return {"mode": f"{files.FILE_MODE:04o}", "purpose": spec.purpose.value}

    def deviations(self, spec: KeySpec, found: KeyDescription) -> list[str]:
        """Return what is not as it must be: the file's mode, the purpose, the algorithm."""
        wrong = [name for name, value in self.required(spec).items() if found.attributes.get(name) != value]
        if found.algorithm != spec.algorithm:
            wrong.append("algorithm")
        return wrong

    def destroy(self, uri: KeyUri) -> None:
        """Remove the key's file."""
        files.remove_key(self._open(uri.vault_uri), uri.name)

    def sign(self, uri: KeyUri, data: bytes) -> bytes:
        """Sign in this process."""
        stored = self._read(uri)
        row = algorithm(stored.header["algorithm"])
        if row.symmetric:
            raise KeyRefusedError(f"{uri} is no signing key", fix="use a key made for signing", uri=str(uri))
        return private_keys.sign(stored.secret, row, data)

    def seal(self, uri: KeyUri, plaintext: bytes, *, context: bytes) -> str:
        """Encrypt with AES-256-GCM; ``context`` is the associated data."""
        cipher, nonce = self._sealing_cipher(uri), self._random(_NONCE_BYTES)
        return encoding.base64url(nonce + cipher.encrypt(nonce, plaintext, context))

    def seal_many(self, uri: KeyUri, items: Sequence[tuple[bytes, bytes]]) -> Sequence[str]:
        """Seal one by one; no call leaves this process."""
        return [self.seal(uri, plaintext, context=context) for plaintext, context in items]

    def open(self, uri: KeyUri, sealed: str, *, context: bytes) -> bytes:
        """Decrypt what `seal` made under the same context."""
        cipher = self._sealing_cipher(uri)
        try:
            data = encoding.from_base64url(sealed)
            return cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], context)
        except (InvalidTag, ValueError) as error:
            raise KeyRefusedError(
                f"the text is none that {uri} sealed under this context", fix="check where it came from", uri=str(uri)
            ) from error

    def _sealing_cipher(self, uri: KeyUri) -> AESGCM:
        stored = self._read(uri)
        if not algorithm(stored.header["algorithm"]).symmetric:
            raise KeyRefusedError(f"{uri} is no sealing key", fix="use a key made for sealing", uri=str(uri))
        return AESGCM(stored.secret)

    def _read(self, uri: KeyUri) -> files.StoredKey:
        try:
            stored = files.read_key(self._open(uri.vault_uri), uri.name)
        except KeyMissingError as error:
            raise KeyMissingError(f"there is no {uri}", fix="check the folder and the name", uri=str(uri)) from error
        if stored.header.get("uri") != str(uri):
            raise KeyAlteredError(
                f"the file of {uri} belongs to another key", fix="find out who moved it", uri=str(uri)
            )
        return stored

    def _open(self, vault: VaultUri) -> files.OpenVault:
        """Return the opened vault: scrypt is run once for each folder, and again for one that was made anew."""
        folder = self._folder / vault.vault
        with self._opening:
            place = (vault.vault, files.vault_version(folder))
            if place not in self._vaults:
                self._vaults[place] = files.open_vault(folder, passphrase=self._passphrase())
            return self._vaults[place]


def _described(vault: VaultUri, *, created: bool) -> VaultDescription:
    return VaultDescription(uri=vault, created=created, attributes={"hardware": False})


def _check_value(secret: bytes) -> str:
    return f"hmac-sha256:{encoding.base64url(hmac.digest(secret, _CHECK_TEXT, 'sha256'))}"
