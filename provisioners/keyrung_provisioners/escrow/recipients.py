"""To whom shares are sealed: from the text of a recipient to what seals, from a key file to what opens."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

from keyrung_provisioners.api import KeyManager
from keyrung_provisioners.errors import BackendMissingError, InvalidSettingError
from keyrung_provisioners.escrow import custodian, key_recipient
from keyrung_provisioners.uri import known_schemes

_AGE_PREFIX = "age1"
_AGE_FILE_MARK = b"AGE-SECRET-KEY-1"


Stores = Callable[[str], KeyManager | None]


class Recipient(Protocol):
    """Seals a share to one custodian; `str` gives its text."""

    def seal(self, plaintext: bytes, *, context: bytes) -> bytes:
        """Return ``plaintext`` sealed, under ``context`` where the scheme has a place for it."""
        ...


class Opener(Protocol):
    """Opens what was sealed to `recipient`."""

    @property
    def recipient(self) -> str:
        """The text of the recipient this opens for."""
        ...

    def open(self, sealed: bytes, *, context: bytes) -> bytes:
        """Return the plaintext; raise `ShareRefusedError` when it was not sealed to this one, or was altered."""
        ...


def parse_recipient(text: str, *, stores: Stores = lambda _scheme: None) -> Recipient:
    """Return the recipient that ``text`` names.

    Args:
        text: ``hpke-x25519:...`` (`keyrung custodian keygen`), ``age1...``, or the URI of a key that seals.
        stores: Gives the back end of such a key by its scheme; needed only to seal to it.
    """
    if text.startswith(custodian.PREFIX):
        return custodian.HpkeRecipient.parse(text)
    if text.startswith(_AGE_PREFIX):
        age: Recipient = _age().AgeRecipient.parse(text)
        return age
    scheme, separator, _ = text.partition(":")
    if separator and scheme in known_schemes():
        return key_recipient.KeyRecipient.parse(text, stores(scheme))
    raise InvalidSettingError(
        f"{text!r} is no recipient",
        fix="give what `keyrung custodian keygen` printed, an age recipient (age1...) or the URI of a key that seals",
        recipient=text,
    )


def read_opener(data: bytes, *, passphrase: Callable[[], str]) -> Opener:
    """Return what a key file opens for: a custodian's key file or an age key file."""
    if _AGE_FILE_MARK in data:
        age: Opener = _age().AgeIdentity.from_file(data)
        return age
    return custodian.CustodianKey.from_file(data, passphrase=passphrase)


def _age() -> Any:
    try:
        return import_module("keyrung_provisioners.escrow.age")
    except ImportError as error:
        raise BackendMissingError("the library behind age is not installed", fix="install keyrung[escrow]") from error
