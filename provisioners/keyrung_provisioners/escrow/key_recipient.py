"""A key in a store as recipient: its share opens for whoever that store lets decrypt with it."""

from dataclasses import dataclass, field
from typing import Self, cast

from keyrung_provisioners.api import Capability, KeyManager, Sealing
from keyrung_provisioners.errors import InvalidSettingError, KeyRefusedError, ShareRefusedError
from keyrung_provisioners.uri import KeyUri


@dataclass(frozen=True, slots=True)
class KeyRecipient:
    """The key ``uri``; without its store it is a name only, which is enough to read an envelope."""

    uri: KeyUri
    manager: KeyManager | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str, manager: KeyManager | None) -> Self:
        """Return the recipient that ``text`` names, in the one canonical spelling of its URI."""
        uri = KeyUri.parse(text)
        if str(uri) != text:
            raise InvalidSettingError("a recipient's key URI is not in canonical form", fix=f"write {uri}", uri=text)
        return cls(uri, manager)

    @property
    def recipient(self) -> str:
        """What shares are sealed to."""
        return str(self)

    def seal(self, plaintext: bytes, *, context: bytes) -> bytes:
        """Return ``plaintext`` sealed by the key; ``context`` is its associated data."""
        return self._sealing().seal(self.uri, plaintext, context=context).encode("utf-8")

    def open(self, sealed: bytes, *, context: bytes) -> bytes:
        """Return what the key sealed under ``context``; raise `ShareRefusedError` for anything else."""
        try:
            return self._sealing().open(self.uri, sealed.decode("ascii"), context=context)
        except (KeyRefusedError, UnicodeDecodeError) as error:
            raise ShareRefusedError(
                f"a sealed share was not opened by {self.uri}", fix="it was altered or is somebody else's"
            ) from error

    def _sealing(self) -> Sealing:
        if self.manager is None or Capability.SEALING not in self.manager.capabilities:
            raise InvalidSettingError(
                f"the store of {self.uri} is not at hand", fix="say how to reach it", uri=str(self.uri)
            )
        return cast(Sealing, self.manager)

    def __str__(self) -> str:
        return str(self.uri)
