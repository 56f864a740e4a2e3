"""What a back end offers: a small core every store has, and each further ability as a Protocol of its own.

Operations take and return frozen records, so that a new field breaks nobody. Nothing here carries private key bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Protocol

from keyrung_provisioners.uri import KeyUri, VaultUri

AttributeValue = str | bool | int


class Purpose(StrEnum):
    """What a key is for; fixed at creation, one purpose per key (SP 800-57 part 1, section 5.2)."""

    ASSERTION_SIGNING = "assertion-signing"
    POLICY_SIGNING = "policy-signing"
    AUDIT_SIGNING = "audit-signing"
    CREDENTIAL_SEED = "credential-seed"
    KEK = "kek"  # seals key material that others hold, such as a share of an escrow
    USER_CREDENTIAL = "user-credential"


class Capability(StrEnum):
    """Abilities beyond the core; what a back end lacks is reported, never emulated in software."""

    SIGNING = "signing"
    SEALING = "sealing"
    WRAPPING = "wrapping"
    IMPORTING = "importing"
    EXPORTING = "exporting"
    RECEIVING = "receiving"
    ROTATING = "rotating"


class Custody(StrEnum):
    """Where copies of a key may be; made as SOLE, ESCROWING or PORTABLE, it may leave only as the last two."""

    SOLE = "sole"  # never outside its store
    ESCROWING = "escrowing"  # declared escrowed, its escrow not confirmed yet: may still be wrapped, not used
    ESCROWED = "escrowed"  # escrow confirmed; it leaves its store no more
    RESTORED = "restored"  # put back from its escrow; it leaves its store no more
    PORTABLE = "portable"  # declared to have a copy in another store, not copied yet: may still be exported, not used
    COPIED = "copied"  # one of the copies of a portable key; it leaves its store no more


MAY_LEAVE = frozenset({Custody.ESCROWING, Custody.PORTABLE})  # what a key that leaves its store is made as
ESCROW = frozenset({Custody.ESCROWING, Custody.ESCROWED, Custody.RESTORED})  # what a key declared escrowed goes through


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySpec:
    """A key as declared.

    Attributes:
        uri: Where it shall stand and under which name.
        algorithm: A name of the algorithm table.
        purpose: Its one use.
        claim_id: 16 random bytes recorded by the claim; where the store keeps an identifier beside the key
            (CKA_ID), it proves that an object found later is the one this claim made.
        custody: Whether it is declared escrowed or portable, and how far that is.
        source: The store's own name of the key (an ARN of KMS), if another program makes it.
    """

    uri: KeyUri
    algorithm: str
    purpose: Purpose
    claim_id: bytes
    custody: Custody = Custody.SOLE
    source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyDescription:
    """A key as read back from its store.

    Attributes:
        fingerprint: RFC 7638 thumbprint of the public key; for a symmetric key a check value made by the store
            (an HMAC or encryption of a fixed text), which says nothing about the key, or the name that the store never
            gives to another key (an ARN of KMS).
        public_key_pem: SubjectPublicKeyInfo; None for a symmetric key.
        claim_id: The identifier the store keeps beside the key; None where it keeps none.
        attributes: The protective attributes exactly as the store reports them: the evidence.
        store: Which store that is, as `KeyManager.describe_vault` says; empty where nobody asked.
    """

    uri: KeyUri
    algorithm: str
    fingerprint: str
    public_key_pem: str | None
    claim_id: bytes | None
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    store: Mapping[str, AttributeValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappedKey:
    """A key as it left its store, wrapped by AES-KWP (RFC 5649), with what tells that it is this key that comes back.

    Attributes:
        fingerprint: As in `KeyDescription`.
        public_key_pem: SubjectPublicKeyInfo; None for a symmetric key.
        ciphertext: The PKCS#8 of a private key, or the bytes of a symmetric one; it opens with the wrapping key only,
            inside a store only.
    """

    algorithm: str
    fingerprint: str
    public_key_pem: str | None
    claim_id: bytes
    ciphertext: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOffer:
    """What a store wants a key wrapped to, for one import.

    Attributes:
        public_key_pem: The store's RSA key (SubjectPublicKeyInfo).
        hash_name: The hash of RSA-OAEP and of its mask (RFC 8017 section 7.1).
        reference: What the store needs to know the offer again; no secret, opaque to everybody else.
    """

    public_key_pem: str
    hash_name: str
    reference: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultDescription:
    """A vault as its store reports it (manufacturer, model and serial of a token; accessor of a mount)."""

    uri: VaultUri
    created: bool
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)


class KeyManager(Protocol):
    """The core every back end has. Raises only `ProvisionerError` and its children."""

    scheme: ClassVar[str]
    capabilities: ClassVar[frozenset[Capability]]
    algorithms: ClassVar[frozenset[str]]

    def ensure_vault(self, vault: VaultUri, *, owner: str) -> VaultDescription:
        """Make the vault usable: create it where the store can, else prove that it is there.

        ``owner`` marks what this call creates, so that a repeated call after a crash still answers ``created``.
        """
        ...

    def describe_vault(self, vault: VaultUri) -> VaultDescription:
        """Return the vault as it is; raise `KeyMissingError` when it is gone."""
        ...

    def remove_vault(self, vault: VaultUri) -> None:
        """Remove an empty vault that `ensure_vault` created; refuse one that still holds keys."""
        ...

    def create(self, spec: KeySpec) -> KeyDescription:
        """Generate the key inside the store and return what was read back.

        Raises `KeyConflictError` when something stands under that name already.
        """
        ...

    def describe(self, uri: KeyUri) -> KeyDescription:
        """Read the key back; raise `KeyMissingError` when the store has no such key."""
        ...

    def names(self, vault: VaultUri) -> list[str]:
        """Return the name of every key in the vault, sorted, whoever made it; raise `KeyMissingError` without a vault.

        A key that the store has under no name, or under one that no URI of ours can have, is told by some text that is
        no name of ours either.
        """
        ...

    def required(self, spec: KeySpec) -> Mapping[str, AttributeValue]:
        """Return the attributes that a key of ``spec`` must report, each with the only good value."""
        ...

    def deviations(self, spec: KeySpec, found: KeyDescription) -> list[str]:
        """Return the names of attributes in which ``found`` falls short of ``spec``; empty when none does.

        A name that `required` does not have is the store's name for the algorithm.
        """
        ...

    def destroy(self, uri: KeyUri) -> None:
        """Destroy the key; already gone counts as done."""
        ...


class Signing(Protocol):
    """Keys that sign."""

    def sign(self, uri: KeyUri, data: bytes) -> bytes:
        """Return the signature over ``data`` in JOSE form (RFC 7518 section 3.4: raw r||s)."""
        ...


class Sealing(Protocol):
    """Keys that encrypt small secrets, bound to a context (authenticated, not secret)."""

    def seal(self, uri: KeyUri, plaintext: bytes, *, context: bytes) -> str:
        """Return ``plaintext`` sealed; only the same ``context`` opens it."""
        ...

    def seal_many(self, uri: KeyUri, items: Sequence[tuple[bytes, bytes]]) -> Sequence[str]:
        """Return each (plaintext, context) sealed, in this order; in few calls where the store has that."""
        ...

    def open(self, uri: KeyUri, sealed: str, *, context: bytes) -> bytes:
        """Return what was sealed; raise `KeyRefusedError` when text or context was changed."""
        ...


class Wrapping(Protocol):
    """Keys that may leave their store wrapped, until they are locked."""

    def wrap(self, uri: KeyUri, wrapping_key: bytearray) -> WrappedKey:
        """Return the key wrapped inside its store; raise `KeyRefusedError` when it may not leave (any more)."""
        ...

    def lock(self, uri: KeyUri) -> KeyDescription:
        """Have the key never leave its store again, and return what is read back; locked already counts as done."""
        ...


class Importing(Protocol):
    """Stores that take a wrapped key in."""

    def rehearse(self, vault: VaultUri, wrapped: WrappedKey, wrapping_key: bytearray, data: bytes) -> bytes:
        """Return what the wrapped key shows of itself, which is in the store for this call only.

        A pair signs ``data`` (JOSE form); a symmetric key gives its fingerprint (ASCII), made anew by the store.
        Raises `KeyRefusedError` when the wrapping key does not open it.
        """
        ...

    def rewrap(self, vault: VaultUri, wrapped: WrappedKey, old: bytearray, new: bytearray) -> WrappedKey:
        """Return the key wrapped under ``new`` instead of ``old``; it is in the store for this call only."""
        ...

    def forward(self, vault: VaultUri, wrapped: WrappedKey, wrapping_key: bytearray, offer: ImportOffer) -> bytes:
        """Return the key wrapped to ``offer`` as `Exporting.export` does; it is in the store for this call only."""
        ...

    def import_wrapped(self, uri: KeyUri, wrapped: WrappedKey, wrapping_key: bytearray) -> KeyDescription:
        """Put the wrapped key into the store, locked, and return what is read back; there already counts as done.

        Raises `KeyConflictError` when another key stands under that name.
        """
        ...


class Exporting(Protocol):
    """Stores that wrap a key, inside them, to another store's public key; until the key is locked."""

    def export_hash(self, vault: VaultUri) -> str:
        """Return the name of the strongest OAEP hash that the store has: SHA-256, or SHA-1 by a named quirk."""
        ...

    def export(self, uri: KeyUri, offer: ImportOffer) -> bytes:
        """Return the key wrapped to ``offer``: RSA-OAEP of a fresh AES-256 key, then AES-KWP of the PKCS#8 key by it.

        That is the layout of CKM_RSA_AES_KEY_WRAP (PKCS#11 3.1 section 6.1.18), which Transit and KMS import.
        Raises `KeyRefusedError` when the key may not leave (any more).
        """
        ...


class Receiving(Protocol):
    """Stores that take in a key wrapped to their own public key."""

    def offer(self, spec: KeySpec, *, hash_name: str) -> ImportOffer:
        """Return what to wrap the key of ``spec`` to."""
        ...

    def receive(self, spec: KeySpec, offer: ImportOffer, wrapped: bytes) -> KeyDescription:
        """Take the key in, unable to leave again, and return what is read back.

        ``wrapped`` is in the layout of `Exporting.export`. Raises `KeyConflictError` when something stands under that
        name already, `KeyRefusedError` when ``wrapped`` does not open.
        """
        ...


class Rotating(Protocol):
    """Stores that renew the material of a key under the same name; what was sealed before still opens."""

    def rotate(self, uri: KeyUri) -> KeyDescription:
        """Renew the material now and return what is read back; the fingerprint stays."""
        ...
