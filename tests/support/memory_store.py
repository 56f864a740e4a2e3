"""A key store and an escrow in this process's memory, honest but fast: for tests that crash thousands of times."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from keyrung_provisioners.api import (
    AttributeValue,
    Capability,
    Custody,
    KeyDescription,
    KeyManager,
    KeySpec,
    VaultDescription,
    WrappedKey,
)
from keyrung_provisioners.errors import KeyConflictError, KeyMissingError, KeyRefusedError
from keyrung_provisioners.inventory import KeyRow
from keyrung_provisioners.uri import KeyUri, VaultUri


@dataclass(kw_only=True)
class MemoryKeyManager:
    """Meets `KeyManager` and `Wrapping`; a key may leave until it is locked, as in a token.

    Attributes:
        keys: What the store holds.
        ended: The fingerprints of what it destroyed.
    """

    scheme: ClassVar[str] = "software"
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.SIGNING, Capability.WRAPPING})
    algorithms: ClassVar[frozenset[str]] = frozenset({"P-256", "AES-256"})
    keys: dict[KeyUri, KeyDescription] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)

    def ensure_vault(self, vault: VaultUri, *, owner: str) -> VaultDescription:
        return VaultDescription(uri=vault, created=False)

    def describe_vault(self, vault: VaultUri) -> VaultDescription:
        return VaultDescription(uri=vault, created=False)

    def remove_vault(self, vault: VaultUri) -> None:
        raise KeyRefusedError("memory has no vaults", fix="leave it")

    def create(self, spec: KeySpec) -> KeyDescription:
        if spec.uri in self.keys:
            raise KeyConflictError("there is such a key", fix="choose another name")
        self.keys[spec.uri] = KeyDescription(
            uri=spec.uri,
            algorithm=spec.algorithm,
            fingerprint=secrets.token_hex(16),
            public_key_pem=None,
            claim_id=spec.claim_id,
            attributes={"leaves": spec.custody is Custody.ESCROWING},
        )
        return self.keys[spec.uri]

    def describe(self, uri: KeyUri) -> KeyDescription:
        if uri not in self.keys:
            raise KeyMissingError("there is no such key", fix="make it")
        return self.keys[uri]

    def deviations(self, spec: KeySpec, found: KeyDescription) -> list[str]:
        return ["leaves"] if found.attributes["leaves"] and spec.custody is not Custody.ESCROWING else []

    def destroy(self, uri: KeyUri) -> None:
        if uri in self.keys:
            self.ended.add(self.keys.pop(uri).fingerprint)

    def names(self, vault: VaultUri) -> list[str]:
        return sorted(uri.name for uri in self.keys)

    def required(self, spec: KeySpec) -> Mapping[str, AttributeValue]:
        return {"leaves": spec.custody is Custody.ESCROWING}

    def wrap(self, uri: KeyUri, wrapping_key: bytearray) -> WrappedKey:
        raise KeyRefusedError("the escrow of these tests wraps nothing", fix="ask for its record")

    def lock(self, uri: KeyUri) -> KeyDescription:
        self.keys[uri] = replace(self.describe(uri), attributes={"leaves": False})
        return self.keys[uri]


@dataclass(kw_only=True)
class MemoryEscrow:
    """Meets `Escrow`: remembers whose key it was given while that key could still leave its store."""

    kept: dict[str, str] = field(default_factory=dict)

    def ensure(self, row: KeyRow, manager: KeyManager) -> str:
        found = manager.describe(row.claim.uri)
        if found.fingerprint not in self.kept and not found.attributes["leaves"]:
            raise KeyRefusedError("the key may not leave", fix="escrow it before it is locked")
        return self.kept.setdefault(found.fingerprint, secrets.token_hex(16))

    def remove(self, row: KeyRow) -> None:
        self.kept.pop(str(row.fingerprint), None)
