"""Provisioned keys as the verifier wants them: opened by URI, refused when they are not the declared ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from keyrung_infra.errors import InfraError
from keyrung_infra.serve.key_watch import KeyWatch
from keyrung_infra.serve.settings import SealingKey, SigningKey
from keyrung_provisioners import encoding
from keyrung_provisioners.algorithms import algorithm
from keyrung_provisioners.api import Capability, KeyManager, Sealing, Signing
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import KeyUri


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionedSigner:
    """A `keyrung_verifier.protocols.Signer` over a provisioned key."""

    uri: KeyUri
    key_uri: str
    key_id: str
    generation: int
    algorithm: str
    public_jwk: Mapping[str, str]
    signing: Signing = field(repr=False)
    watch: KeyWatch = field(repr=False)

    @property
    def state(self) -> str:
        """Return the state of the key as it is now."""
        return self.watch.state(self.uri, self.generation).value

    def sign(self, data: bytes) -> bytes:
        """Return the signature over ``data`` in JOSE form; only an active key signs."""
        self.watch.require(self.uri, self.generation, KeyState.ACTIVE)
        return self.signing.sign(self.uri, data)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionedSealer:
    """A `keyrung_verifier.protocols.Sealer` over a provisioned key."""

    uri: KeyUri
    key_uri: str
    generation: int
    sealing: Sealing = field(repr=False)
    watch: KeyWatch = field(repr=False)

    def seal_many(self, items: Sequence[tuple[bytes, bytes]]) -> Sequence[str]:
        """Return each (plaintext, context) sealed, in this order; only an active key seals."""
        self.watch.require(self.uri, self.generation, KeyState.ACTIVE)
        return self.sealing.seal_many(self.uri, items)

    def open(self, sealed: str, *, context: bytes) -> bytes:
        """Return what was sealed under ``context``; a deactivated key still opens (SP 800-57 part 1, section 7)."""
        self.watch.require(self.uri, self.generation, KeyState.ACTIVE, KeyState.DEACTIVATED)
        return self.sealing.open(self.uri, sealed, context=context)


def open_signer(key: SigningKey, manager: KeyManager, watch: KeyWatch) -> ProvisionedSigner:
    """Return the signer for ``key``; the store must hold exactly the declared public key."""
    uri = KeyUri.parse(key.uri)
    if Capability.SIGNING not in manager.capabilities:
        raise InfraError(f"{uri} cannot sign", fix="declare a signing key in the stack")
    found = manager.describe(uri)
    if found.fingerprint != key.thumbprint or found.public_key_pem is None:
        raise InfraError(
            f"{uri} is declared with thumbprint {key.thumbprint}, and the store holds {found.fingerprint}",
            fix="run `pulumi refresh` and find out who replaced it",
            uri=str(uri),
        )
    return ProvisionedSigner(
        uri=uri,
        key_uri=str(uri),
        key_id=key.thumbprint,
        generation=key.generation,
        algorithm=algorithm(found.algorithm).jwa or "",
        public_jwk=encoding.public_jwk(found.public_key_pem),
        signing=cast(Signing, manager),
        watch=watch,
    )


def open_sealer(key: SealingKey, manager: KeyManager, watch: KeyWatch) -> ProvisionedSealer:
    """Return the sealer for ``key``; the first use shows whether the store holds it."""
    uri = KeyUri.parse(key.uri)
    if Capability.SEALING not in manager.capabilities:
        raise InfraError(f"{uri} cannot seal", fix="declare a credential-seed key in the stack")
    return ProvisionedSealer(
        uri=uri, key_uri=str(uri), generation=key.generation, sealing=cast(Sealing, manager), watch=watch
    )
