"""One algorithm under trial: the scratch keys of its checks, and what a check says when it fails."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn, Protocol, cast

from keyrung_provisioners.algorithms import Algorithm
from keyrung_provisioners.api import (
    Custody,
    Exporting,
    Importing,
    KeyDescription,
    KeyManager,
    KeySpec,
    Purpose,
    Receiving,
    Rotating,
    Sealing,
    Signing,
    WrappedKey,
    Wrapping,
)
from keyrung_provisioners.errors import ProvisionerError
from keyrung_provisioners.provision import CLAIM_ID_BYTES
from keyrung_provisioners.uri import KeyUri, VaultUri

_WRAPPING_KEY_BYTES = 32


class AnyManager(KeyManager, Signing, Sealing, Wrapping, Importing, Exporting, Receiving, Rotating, Protocol):
    """A back end as a check sees it: `Check.needs` says which of the abilities the check may use."""


class CheckFailedError(ProvisionerError):
    """The store did not do what the check asks for."""


def fail(what: str) -> NoReturn:
    """Say what was otherwise than it must be."""
    raise CheckFailedError(what, fix="see what the check is for in provisioners/README.md")


def expect(holds: object, what: str) -> None:
    """Fail with ``what`` unless ``holds``."""
    if not holds:
        fail(what)


def expect_error(kinds: type[ProvisionerError], call: Callable[[], object], what: str) -> None:
    """Fail with ``what`` unless ``call`` raises one of ``kinds``."""
    try:
        call()
    except kinds:
        return
    fail(what)


@dataclass(slots=True)
class Trial:
    """The keys of one run of the checks with one algorithm.

    Attributes:
        reopen: Makes a manager that knows nothing of the others.
        prefix: What the scratch names of the whole run begin with, after the purpose.
        random: Gives random bytes.
        made: Every name that a key may have been made under, to be removed.
    """

    reopen: Callable[[], KeyManager]
    vault: VaultUri
    row: Algorithm
    prefix: str
    random: Callable[[int], bytes]
    made: list[KeyUri] = field(default_factory=list)
    _manager: KeyManager | None = None
    _shared: tuple[KeySpec, KeyDescription] | ProvisionerError | None = None
    _wrapped: tuple[KeySpec, bytearray, WrappedKey] | None = None

    @property
    def manager(self) -> AnyManager:
        """The manager that makes the keys."""
        if self._manager is None:
            self._manager = self.reopen()
        return cast(AnyManager, self._manager)

    def other(self) -> AnyManager:
        """Return a manager that has made nothing."""
        return cast(AnyManager, self.reopen())

    def spec(self, *, custody: Custody = Custody.SOLE) -> KeySpec:
        """Return a declaration under a name of its own."""
        purpose = Purpose.CREDENTIAL_SEED if self.row.symmetric else Purpose.POLICY_SIGNING
        algorithm = self.row.name.lower()
        uri = self.vault.key(f"{purpose}-{self.prefix}-{algorithm}-{len(self.made) + 1}")
        self.made.append(uri)
        return KeySpec(
            uri=uri,
            algorithm=self.row.name,
            purpose=purpose,
            claim_id=self.random(CLAIM_ID_BYTES),
            custody=custody,
        )

    def make(self, *, custody: Custody = Custody.SOLE) -> tuple[KeySpec, KeyDescription]:
        """Make a key of its own for a check."""
        spec = self.spec(custody=custody)
        return spec, self.manager.create(spec)

    def key(self) -> tuple[KeySpec, KeyDescription]:
        """Return the key that the checks share, made by the first that asks: on some stores a key takes seconds."""
        if self._shared is None:
            try:
                self._shared = self.make()
            except ProvisionerError as error:
                self._shared = error
        if isinstance(self._shared, ProvisionerError):
            raise self._shared
        return self._shared

    def wrapped(self) -> tuple[KeySpec, bytearray, WrappedKey]:
        """Return a key that is declared escrowed, wrapped once, with its wrapping key."""
        if self._wrapped is None:
            spec, _ = self.make(custody=Custody.ESCROWING)
            wrapping_key = bytearray(self.random(_WRAPPING_KEY_BYTES))
            self._wrapped = spec, wrapping_key, self.manager.wrap(spec.uri, wrapping_key)
        return self._wrapped
