"""age recipients (X25519): for custodians who own an age key already. The `age` program opens such a share too."""

from dataclasses import dataclass, field
from typing import Self

import pyrage

from keyrung_provisioners.errors import InvalidSettingError, ShareRefusedError


@dataclass(frozen=True, slots=True)
class AgeRecipient:
    """The public half of an age key."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the recipient that ``text`` names; its Bech32 checksum finds typing errors."""
        try:
            return cls(str(pyrage.x25519.Recipient.from_str(text)))
        except pyrage.RecipientError as error:
            raise InvalidSettingError("an age recipient is mistyped", fix="copy it whole", recipient=text) from error

    def seal(self, plaintext: bytes, *, context: bytes) -> bytes:
        """Return ``plaintext`` for this recipient only; age has no place for ``context``, the plaintext repeats it."""
        sealed: bytes = pyrage.encrypt(plaintext, [pyrage.x25519.Recipient.from_str(self.text)])
        return sealed

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class AgeIdentity:
    """An age private key."""

    identity: pyrage.x25519.Identity = field(repr=False)

    @classmethod
    def from_file(cls, data: bytes) -> Self:
        """Return the one key of a file as `age-keygen` writes it; comments and empty lines count for nothing."""
        lines = [line.strip() for line in data.decode("ascii", errors="replace").splitlines()]
        keys = [line for line in lines if line and not line.startswith("#")]
        if len(keys) != 1:
            raise InvalidSettingError("the age key file holds no single key", fix="give a file with one key")
        try:
            return cls(pyrage.x25519.Identity.from_str(keys[0]))
        except pyrage.IdentityError as error:
            raise InvalidSettingError("the age key file is malformed", fix="check the file") from error

    @property
    def recipient(self) -> str:
        """What shares are sealed to."""
        return str(self.identity.to_public())

    def open(self, sealed: bytes, *, context: bytes) -> bytes:
        """Return what was sealed to this key; raise `ShareRefusedError` for anything else."""
        try:
            plaintext: bytes = pyrage.decrypt(sealed, [self.identity])
        except pyrage.DecryptError as error:
            raise ShareRefusedError(
                "a sealed share was not opened by this age key", fix="it was altered or is somebody else's"
            ) from error
        return plaintext
