"""A folder of keys at rest: each encrypted by AES-256-GCM under a key that scrypt makes of the passphrase.

The folder's file ``vault.json`` holds the salt and proves the passphrase. A key's file holds its description in the
clear, its URI included, which the encryption authenticates: an altered file does not open, a renamed one is refused.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from keyrung_provisioners import encoding
from keyrung_provisioners.errors import (
    BackendUnavailableError,
    KeyAlteredError,
    KeyMissingError,
)

TokenBytes = Callable[[int], bytes]
Header = Mapping[str, str]

VAULT_FORMAT = "software-vault/v1"
KEY_FORMAT = "software-key/v1"
_VAULT_FILE = "vault.json"
_KEY_SUFFIX = ".key"
_FOLDER_MODE = 0o700
FILE_MODE = 0o600
_KEY_BYTES = 32
_SALT_BYTES = 16
_NONCE_BYTES = 12  # SP 800-38D section 8.2.2: random, for far fewer than 2**32 files
# RFC 7914 section 2; about 0.1 s and 32 MiB. The format names them, so that no file can ask for less or for more.
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 2**15, 8, 1
_MAX_FILE_BYTES = 16384


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenVault:
    """A folder whose passphrase was right."""

    folder: Path
    owner: str
    cipher: AESGCM = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """A key's file, opened."""

    header: Header
    mode: int
    secret: bytes = field(repr=False)


def make_vault(folder: Path, *, owner: str, passphrase: str, token_bytes: TokenBytes) -> None:
    """Make the folder, unless it is there; a run that is interrupted leaves nothing that counts as one."""
    salt = token_bytes(_SALT_BYTES)
    header = {"keyrung": VAULT_FORMAT, "owner": owner, "salt": encoding.base64url(salt)}
    with _storing(str(folder)):
        folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    _write(folder / _VAULT_FILE, _sealed(_cipher(passphrase, salt), header, b"", token_bytes), token_bytes)


def open_vault(folder: Path, *, passphrase: str) -> OpenVault:
    """Return the folder's vault; raise `KeyMissingError` if it is none, and refuse a wrong passphrase."""
    header, sealed, _ = _read(folder / _VAULT_FILE, VAULT_FORMAT)
    try:
        cipher = _cipher(passphrase, encoding.from_base64url(header["salt"]))
        _opened(cipher, header, sealed)
        owner = header["owner"]
    except (InvalidTag, KeyError, ValueError) as error:
        raise BackendUnavailableError(
            f"the passphrase does not open the keys in {folder.name}, or {_VAULT_FILE} there was altered",
            fix="check keyrung:softwarePassphrase",
        ) from error
    return OpenVault(folder=folder, owner=owner, cipher=cipher)


def vault_version(folder: Path) -> tuple[int, int]:
    """Return what changes when the folder's ``vault.json`` is made anew; raise `KeyMissingError` if it is not there."""
    with _storing(folder.name):
        found = (folder / _VAULT_FILE).stat()
        return found.st_ino, found.st_mtime_ns


def key_names(vault: OpenVault) -> list[str]:
    """Return the names of the keys in the folder."""
    with _storing(vault.folder.name):
        return sorted(path.stem for path in vault.folder.glob(f"*{_KEY_SUFFIX}"))


def remove_vault(vault: OpenVault) -> None:
    """Remove the folder, which must hold nothing else any more."""
    with _storing(vault.folder.name):
        for draft in vault.folder.glob(".*"):  # of runs that crashed
            draft.unlink()
        (vault.folder / _VAULT_FILE).unlink(missing_ok=True)
        vault.folder.rmdir()


def write_key(vault: OpenVault, name: str, header: Header, secret: bytes, token_bytes: TokenBytes) -> bool:
    """Write a key's file and return whether it is new: one that is there is left as it is."""
    data = _sealed(vault.cipher, {"keyrung": KEY_FORMAT, **header}, secret, token_bytes)
    return _write(vault.folder / f"{name}{_KEY_SUFFIX}", data, token_bytes)


def read_key(vault: OpenVault, name: str) -> StoredKey:
    """Return the key called ``name``; raise `KeyMissingError` or, where its file was altered, `KeyAlteredError`."""
    header, sealed, mode = _read(vault.folder / f"{name}{_KEY_SUFFIX}", KEY_FORMAT)
    try:
        return StoredKey(header=header, mode=mode, secret=_opened(vault.cipher, header, sealed))
    except (InvalidTag, ValueError) as error:
        raise _altered(name) from error


def remove_key(vault: OpenVault, name: str) -> None:
    """Remove the key's file; already gone counts as done. Copies that the disk or a backup keeps are out of reach."""
    with _storing(name):
        (vault.folder / f"{name}{_KEY_SUFFIX}").unlink(missing_ok=True)
        _sync_folder(vault.folder)


def _cipher(passphrase: str, salt: bytes) -> AESGCM:
    kdf = Scrypt(salt=salt, length=_KEY_BYTES, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P)
    return AESGCM(kdf.derive(passphrase.encode("utf-8")))


def _authenticated(header: Header) -> bytes:
    return json.dumps(dict(header), sort_keys=True, separators=(",", ":")).encode("utf-8")


def _sealed(cipher: AESGCM, header: Header, secret: bytes, token_bytes: TokenBytes) -> bytes:
    nonce = token_bytes(_NONCE_BYTES)
    sealed = encoding.base64url(nonce + cipher.encrypt(nonce, secret, _authenticated(header)))
    return json.dumps({**header, "sealed": sealed}, indent=2).encode("utf-8") + b"\n"


def _opened(cipher: AESGCM, header: Header, sealed: str) -> bytes:
    data = encoding.from_base64url(sealed)
    return cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], _authenticated(header))


def _read(path: Path, form: str) -> tuple[Header, str, int]:
    with _storing(path.stem), path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode & 0o777
        data = file.read(_MAX_FILE_BYTES)
    try:
        members = json.loads(data)
        if not all(isinstance(value, str) for value in members.values()) or members["keyrung"] != form:
            raise ValueError("another format")
        sealed = members.pop("sealed")
    except (AttributeError, KeyError, ValueError) as error:
        raise _altered(path.stem) from error
    return members, sealed, mode


def _write(path: Path, data: bytes, token_bytes: TokenBytes) -> bool:
    """Put ``data`` under ``path`` whole or not at all, and never over something that is there."""
    draft = path.parent / f".{token_bytes(8).hex()}"
    with _storing(path.stem):
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(draft, path)  # unlike a rename, refuses to replace
            except FileExistsError:
                return False
        finally:
            draft.unlink()
        _sync_folder(path.parent)
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _storing(what: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise KeyMissingError(f"the folder holds no {what}", fix="check keyrung:softwareFolder") from error
    except OSError as error:
        raise BackendUnavailableError(
            f"{what} cannot be reached on disk ({type(error).__name__})", fix="check the folder and its permissions"
        ) from error


def _altered(name: str) -> KeyAlteredError:
    return KeyAlteredError(
        f"the file of {name} was altered, moved or is of another format",
        fix="bring it back from a backup, or raise `generation`",
    )
