"""A custodian's key: an X25519 pair to which a share is sealed by HPKE (RFC 9180), and the file that holds it.

Recipient text: ``hpke-x25519:`` and the base64url of the 32 public bytes followed by the first 4 bytes of their
labelled SHA-256, so that a mistyped recipient is noticed before a share is sealed to nobody.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from msgspec import Meta, Struct

from keyrung_provisioners.encoding import base64url
from keyrung_provisioners.errors import InvalidSettingError, ShareRefusedError
from keyrung_provisioners.escrow import strict_json
from keyrung_provisioners.escrow.strict_json import StrictFormError

PREFIX = "hpke-x25519:"
_FORMAT = "custodian-key/v1"
_KEY_BYTES = 32
_CHECK_BYTES = 4
_CHECK_LABEL = b"keyrung custodian recipient v1"
_SALT_BYTES = 16
_NONCE_BYTES = 12
_SCRYPT_N = 2**17  # with r = 8: 128 MiB and about half a second for each guess (RFC 7914)
_SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)

_Text = Annotated[str, Meta(min_length=1, max_length=256)]


class _KeyFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    keyrung: Literal["custodian-key/v1"]
    recipient: _Text
    protection: Literal["none", "scrypt-aes-256-gcm"]
    private_key: _Text
    salt: str = ""
    nonce: str = ""


@dataclass(frozen=True, slots=True)
class HpkeRecipient:
    """The public half of a custodian's key."""

    key: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the recipient that ``text`` names; raise `InvalidSettingError` for a mistyped one."""
        try:
            data = strict_json.unbase64url(text.removeprefix(PREFIX))
        except StrictFormError:
            data = b""
        key, check = data[:_KEY_BYTES], data[_KEY_BYTES:]
        if not text.startswith(PREFIX) or len(key) != _KEY_BYTES or check != _check(key):
            raise InvalidSettingError("a custodian's recipient text is mistyped", fix="copy it whole", recipient=text)
        return cls(key)

    def seal(self, plaintext: bytes, *, context: bytes) -> bytes:
        """Return ``plaintext`` for this custodian only; ``context`` goes into the key schedule as `info`."""
        return _SUITE.encrypt(plaintext, X25519PublicKey.from_public_bytes(self.key), info=context)

    def __str__(self) -> str:
        return PREFIX + base64url(self.key + _check(self.key))


@dataclass(frozen=True, slots=True)
class CustodianKey:
    """A custodian's private key; it never leaves the custodian's machine."""

    private: X25519PrivateKey = field(repr=False)

    @classmethod
    def generate(cls, token_bytes: Callable[[int], bytes]) -> Self:
        """Return a new key made of 32 random bytes (RFC 7748 section 5 clamps them)."""
        return cls(X25519PrivateKey.from_private_bytes(token_bytes(_KEY_BYTES)))

    @property
    def recipient(self) -> str:
        """What shares are sealed to."""
        return str(HpkeRecipient(self.private.public_key().public_bytes_raw()))

    def open(self, sealed: bytes, *, context: bytes) -> bytes:
        """Return what was sealed to this key under ``context``; raise `ShareRefusedError` for anything else."""
        try:
            return _SUITE.decrypt(sealed, self.private, info=context)
        except (InvalidTag, ValueError) as error:
            raise ShareRefusedError(
                "a sealed share was not opened by this custodian's key", fix="it was altered or is somebody else's"
            ) from error

    def to_file(self, *, passphrase: str | None, token_bytes: Callable[[int], bytes]) -> bytes:
        """Return the key file, encrypted when a passphrase is given (scrypt, AES-256-GCM)."""
        document = {"keyrung": _FORMAT, "recipient": self.recipient}
        raw = self.private.private_bytes_raw()
        if passphrase is None:
            return strict_json.write({**document, "protection": "none", "private_key": base64url(raw)})
        salt, nonce = token_bytes(_SALT_BYTES), token_bytes(_NONCE_BYTES)
        cipher = AESGCM(_derive(passphrase, salt))
        return strict_json.write(
            {
                **document,
                "protection": "scrypt-aes-256-gcm",
                "salt": base64url(salt),
                "nonce": base64url(nonce),
                "private_key": base64url(cipher.encrypt(nonce, raw, self.recipient.encode("ascii"))),
            }
        )

    @classmethod
    def from_file(cls, data: bytes, *, passphrase: Callable[[], str]) -> Self:
        """Return the key of a key file; ``passphrase`` is asked only for an encrypted one.

        Raises:
            InvalidSettingError: If the file is malformed or the passphrase is wrong.
        """
        try:
            file = strict_json.read(data, _KeyFile)
            raw = strict_json.unbase64url(file.private_key)
            if file.protection != "none":
                raw = _decrypt(file, raw, passphrase())
            key = cls(X25519PrivateKey.from_private_bytes(raw))
        except (StrictFormError, ValueError) as error:
            raise InvalidSettingError(
                f"the custodian's key file cannot be used, {error}", fix="check the file"
            ) from error
        if not hmac.compare_digest(key.recipient, file.recipient):
            raise InvalidSettingError("the custodian's key file does not fit its recipient", fix="check the file")
        return key


def _decrypt(file: _KeyFile, ciphertext: bytes, passphrase: str) -> bytes:
    nonce = strict_json.unbase64url(file.nonce)
    try:
        cipher = AESGCM(_derive(passphrase, strict_json.unbase64url(file.salt)))
        return cipher.decrypt(nonce, ciphertext, file.recipient.encode("utf-8"))
    except InvalidTag as error:
        raise InvalidSettingError("the passphrase does not open the custodian's key file", fix="try again") from error


def _derive(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=_KEY_BYTES, n=_SCRYPT_N, r=8, p=1).derive(passphrase.encode("utf-8"))


def _check(key: bytes) -> bytes:
    return hashlib.sha256(_CHECK_LABEL + key).digest()[:_CHECK_BYTES]
