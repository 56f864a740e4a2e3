"""Provisioned keys as the verifier wants them: opened by URI, refused when they are not the declared ones."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from keyrung_infra.errors import InfraError
from keyrung_infra.serve.key_watch import KeyWatch
from keyrung_infra.serve.settings import Settings
from keyrung_policies import jws
from keyrung_provisioners.api import Capability, KeyManager, Purpose, Sealing, Signing
from keyrung_provisioners.registry import open_manager
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import KeyUri
from keyrung_verifier.deployment import SealingKey, SigningKey
from keyrung_verifier.generations import Generation, SealingLine, SigningLine
from keyrung_verifier.keys import public_members, thumbprint
from keyrung_verifier.protocols import Clock, Sealer, Signer
from keyrung_verifier.store.group_commit import Aside


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
    aside: Aside = field(repr=False)

    @property
    def state(self) -> str:
        """Return the state of the key as it is now."""
        return self.watch.state(self.uri, self.generation).value

    def sign(self, data: bytes) -> bytes:
        """Return the signature over ``data`` in JOSE form; only an active key signs."""
        self.watch.require(self.uri, self.generation, KeyState.ACTIVE)
        with self.aside():
            return self.signing.sign(self.uri, data)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionedSealer:
    """A `keyrung_verifier.protocols.Sealer` over a provisioned key."""

    uri: KeyUri
    key_uri: str
    generation: int
    sealing: Sealing = field(repr=False)
    watch: KeyWatch = field(repr=False)
    aside: Aside = field(repr=False)

    @property
    def state(self) -> str:
        """Return the state of the key as it is now."""
        return self.watch.state(self.uri, self.generation).value

    def seal_many(self, items: Sequence[tuple[bytes, bytes]]) -> Sequence[str]:
        """Return each (plaintext, context) sealed, in this order; only an active key seals."""
        self.watch.require(self.uri, self.generation, KeyState.ACTIVE)
        with self.aside():
            return self.sealing.seal_many(self.uri, items)

    def open(self, sealed: str, *, context: bytes) -> bytes:
        """Return what was sealed under ``context``; a deactivated key still opens (SP 800-57 part 1, section 7)."""
        self.watch.require(self.uri, self.generation, KeyState.ACTIVE, KeyState.DEACTIVATED)
        with self.aside():
            return self.sealing.open(self.uri, sealed, context=context)


def open_signer(
    key: SigningKey, purpose: Purpose, manager: KeyManager, watch: KeyWatch, *, aside: Aside
) -> ProvisionedSigner:
    """Return the signer for ``key``; of an active one the store must hold exactly the declared public key."""
    uri = KeyUri.parse(key.uri)
    watch.require_purpose(uri, key.generation, purpose)
    if Capability.SIGNING not in manager.capabilities:
        raise InfraError(f"{uri} cannot sign", fix="declare a signing key in the stack")
    members = public_members(key.jwk)
    if members is None or thumbprint(members) != key.thumbprint:
        raise InfraError(f"{uri} is declared with a public key that is not the one named", fix="run `pulumi up`")
    found = manager.describe(uri).fingerprint if key.state == KeyState.ACTIVE else key.thumbprint
    if found != key.thumbprint:
        raise InfraError(
            f"{uri} is declared with thumbprint {key.thumbprint}, and the store holds {found}",
            fix="run `pulumi refresh` and find out who replaced it",
            uri=str(uri),
        )
    return ProvisionedSigner(
        uri=uri,
        key_uri=str(uri),
        key_id=key.thumbprint,
        generation=key.generation,
        algorithm=jws.key_algorithm(members) or "",
        public_jwk=members,
        signing=cast(Signing, manager),
        watch=watch,
        aside=aside,
    )


def open_sealer(key: SealingKey, manager: KeyManager, watch: KeyWatch, *, aside: Aside) -> ProvisionedSealer:
    """Return the sealer for ``key``; the first use shows whether the store holds it."""
    uri = KeyUri.parse(key.uri)
    watch.require_purpose(uri, key.generation, Purpose.CREDENTIAL_SEED)
    if Capability.SEALING not in manager.capabilities:
        raise InfraError(f"{uri} cannot seal", fix="declare a credential-seed key in the stack")
    return ProvisionedSealer(
        uri=uri,
        key_uri=str(uri),
        generation=key.generation,
        sealing=cast(Sealing, manager),
        watch=watch,
        aside=aside,
    )


class DeployedKeys:
    """The lines of keys that a configuration names, each opened when it is asked for."""

    def __init__(self, settings: Settings, root: Path, clock: Clock, *, aside: Aside = nullcontext) -> None:
        """Open the stores of ``settings``; relative paths start at ``root``; threads wait for keys in ``aside``."""
        self._settings, self._root, self._clock, self._aside = settings, root, clock, aside
        self._managers: dict[str, KeyManager] = {}
        self._renewals: list[Callable[[Settings], None]] = []

    def assertion_line(self, watch: KeyWatch) -> SigningLine:
        """Return the generations of the assertion key."""
        return self._signing_line(lambda settings: settings.assertion_keys, Purpose.ASSERTION_SIGNING, watch)

    def audit_line(self, watch: KeyWatch) -> SigningLine:
        """Return the generations of the audit key."""
        return self._signing_line(lambda settings: settings.audit_keys, Purpose.AUDIT_SIGNING, watch)

    def seed_line(self, watch: KeyWatch) -> SealingLine:
        """Return the generations of the key that seals seeds."""

        def opened(settings: Settings) -> list[Generation[Sealer]]:
            return [
                Generation(
                    key=open_sealer(key, self._manager(key.uri), watch, aside=self._aside),
                    use_not_before=key.use_not_before,
                )
                for key in settings.seed_keys
            ]

        line = SealingLine(opened(self._settings), clock=self._clock)
        self._renewals.append(lambda settings: line.renew(opened(settings)))
        return line

    def renew(self, settings: Settings) -> None:
        """Take what a later deployment says about the keys that were asked for."""
        for renew in self._renewals:
            renew(settings)

    def _signing_line(
        self, keys_of: Callable[[Settings], Sequence[SigningKey]], purpose: Purpose, watch: KeyWatch
    ) -> SigningLine:
        def opened(settings: Settings) -> list[Generation[Signer]]:
            return [
                Generation(
                    key=open_signer(key, purpose, self._manager(key.uri), watch, aside=self._aside),
                    use_not_before=key.use_not_before,
                )
                for key in keys_of(settings)
            ]

        line = SigningLine(opened(self._settings), clock=self._clock)
        self._renewals.append(lambda settings: line.renew(opened(settings)))
        return line

    def _manager(self, uri: str) -> KeyManager:
        scheme = KeyUri.parse(uri).scheme
        if scheme not in self._managers:
            self._managers[scheme] = open_manager(scheme, self._settings.backends, root=self._root)
        return self._managers[scheme]
