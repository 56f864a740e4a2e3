"""What the verifier needs from outside: a clock, randomness, a signing key and a sealing key.

Small on purpose. In one process they are met by provisioned keys passed in, elsewhere by calls of a cloud;
tests pass their own.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The server's time; nothing from a client is ever taken for it."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        ...


class Random(Protocol):
    """A secure random source."""

    def token_bytes(self, size_bytes: int) -> bytes:
        """Return unpredictable bytes."""
        ...


class Signer(Protocol):
    """A provisioned signing key; its private half is out of reach."""

    @property
    def key_id(self) -> str:
        """Return the RFC 7638 thumbprint of the public key."""
        ...

    @property
    def key_uri(self) -> str:
        """Return the URI that names the key in its store."""
        ...

    @property
    def generation(self) -> int:
        """Return the generation, from 1."""
        ...

    @property
    def state(self) -> str:
        """Return the state after NIST SP 800-57, for instance `active`."""
        ...

    @property
    def algorithm(self) -> str:
        """Return `ES256` or `Ed25519`."""
        ...

    @property
    def public_jwk(self) -> Mapping[str, str]:
        """Return the public key as a JWK."""
        ...

    def sign(self, data: bytes) -> bytes:
        """Return the 64-byte JOSE signature over the data (ES256: r and s side by side)."""
        ...


class Sealer(Protocol):
    """A provisioned key that seals small secrets."""

    @property
    def key_uri(self) -> str:
        """Return the URI that names the key in its store."""
        ...

    @property
    def generation(self) -> int:
        """Return the generation, from 1."""
        ...

    @property
    def state(self) -> str:
        """Return the state after NIST SP 800-57, for instance `active`."""
        ...

    def seal_many(self, items: Sequence[tuple[bytes, bytes]]) -> Sequence[str]:
        """Return each (secret, context) sealed, in this order; it opens only with the same context."""
        ...

    def open(self, sealed: str, *, context: bytes) -> bytes:
        """Return the secret."""
        ...
