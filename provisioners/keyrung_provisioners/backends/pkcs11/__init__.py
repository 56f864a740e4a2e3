"""Keys in a PKCS#11 token: SoftHSM2, or any HSM's module by path.

URI: ``pkcs11:token=LABEL;object=LABEL``. Settings: ``pkcs11Module`` (path of the module) and ``pkcs11Pin``
(a reference to the user PIN). Keys are generated inside the token, sensitive and never extractable; one declared
escrowed or portable is extractable (wrapped only) until its escrow or its copy is confirmed.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from secrets import token_bytes
from typing import ClassVar, Self, TypeVar

import pkcs11
from pkcs11.constants import SlotFlag

from keyrung_provisioners.algorithms import algorithm, offered_algorithm
from keyrung_provisioners.api import (
    AttributeValue,
    Capability,
    Custody,
    ImportOffer,
    KeyDescription,
    KeySpec,
    VaultDescription,
    WrappedKey,
)
from keyrung_provisioners.backends.pkcs11 import exporting, kinds, objects, secret_keys, wrapping
from keyrung_provisioners.backends.pkcs11.quirks import quirks
from keyrung_provisioners.backends.pkcs11.secret_keys import Secret
from keyrung_provisioners.backends.pkcs11.session import TokenSession
from keyrung_provisioners.errors import InvalidSettingError, KeyConflictError, KeyRefusedError, NotOfferedError
from keyrung_provisioners.sources import resolve
from keyrung_provisioners.uri import KeyUri, VaultUri

T = TypeVar("T")

_CHALLENGE_BYTES = 32
# What a key cannot show because of its escrow or copy: it could leave before it was locked; restored, it was made
# elsewhere.
_EXCUSED: dict[Custody, frozenset[str]] = {
    Custody.SOLE: frozenset(),
    Custody.ESCROWING: frozenset({"CKA_NEVER_EXTRACTABLE", "CKA_EXTRACTABLE"}),
    Custody.ESCROWED: frozenset({"CKA_NEVER_EXTRACTABLE"}),
    Custody.PORTABLE: frozenset({"CKA_NEVER_EXTRACTABLE", "CKA_EXTRACTABLE"}),
    Custody.COPIED: frozenset({"CKA_NEVER_EXTRACTABLE"}),
    Custody.RESTORED: frozenset({"CKA_NEVER_EXTRACTABLE", "CKA_LOCAL", "CKA_ALWAYS_SENSITIVE"}),
}


class Pkcs11KeyManager:
    """Keys in the tokens that one module serves."""

    scheme: ClassVar[str] = "pkcs11"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.SIGNING,
            Capability.SEALING,
            Capability.WRAPPING,
            Capability.IMPORTING,
            Capability.EXPORTING,
        }
    )
    algorithms: ClassVar[frozenset[str]] = frozenset({"P-256", "P-384", "Ed25519", "RSA-3072", "AES-256"})

    def __init__(
        self, *, module_path: str, pin: Callable[[], str], random: Callable[[int], bytes] = token_bytes
    ) -> None:
        """Use the module at ``module_path``; ``pin`` gives the user PIN of its tokens when a login needs it."""
        self._module_path = module_path
        self._pin = pin
        self._random = random
        self._sessions: dict[str, TokenSession] = {}

    @classmethod
    def from_settings(cls, settings: Mapping[str, str], *, root: Path) -> Self:
        """Build from ``pkcs11Module`` and ``pkcs11Pin``; nothing is opened yet."""
        for name in ("pkcs11Module", "pkcs11Pin"):
            if not settings.get(name):
                raise InvalidSettingError(f"{name} is not set", fix=f"set keyrung:{name} in the stack's configuration")
        return cls(
            module_path=resolve(settings["pkcs11Module"], root=root),
            pin=partial(resolve, settings["pkcs11Pin"], root=root, secret=True),
        )

    def ensure_vault(self, vault: VaultUri, *, owner: str) -> VaultDescription:
        """Prove that the token is there and takes the PIN; tokens are initialised by whoever holds the SO PIN."""
        self._session(vault.vault).run(lambda session: session.token)
        return self.describe_vault(vault)

    def describe_vault(self, vault: VaultUri) -> VaultDescription:
        """Return the token's manufacturer, model, serial and whether its slot is hardware."""
        token = self._session(vault.vault).token()
        return VaultDescription(
            uri=vault,
            created=False,
            attributes={
                "manufacturer": token.manufacturer_id,
                "model": token.model,
                "serial": token.serial.decode("ascii", errors="replace"),
                "hardware": bool(token.slot.flags & SlotFlag.HW_SLOT),
            },
        )

    def remove_vault(self, vault: VaultUri) -> None:
        """Leave the token alone: this back end never creates one."""

    def create(self, spec: KeySpec) -> KeyDescription:
        """Generate the key in the token; see `KeyManager.create`."""
        row = offered_algorithm(spec.algorithm, scheme=self.scheme, offered=self.algorithms)
        generate = secret_keys.generate if row.symmetric else objects.generate

        def make(session: pkcs11.Session) -> KeyDescription:
            bound = row.name in quirks(session.token).unwrappable or (
                row.symmetric and spec.custody is Custody.PORTABLE  # no copy could open what this key sealed
            )
            if bound and spec.custody is not Custody.SOLE:
                raise NotOfferedError(
                    f"the token does not wrap {row.name} keys, so none can be declared to leave it",
                    fix="declare it without escrow or copy, or as P-256",
                    uri=str(spec.uri),
                )
            objects.make_room(session, spec)
            made = generate(session, spec=spec, row=row)
            return self._description(session, objects.told(made, uri=spec.uri), spec.uri)

        return self._session(spec.uri.vault).run(make)

    def describe(self, uri: KeyUri) -> KeyDescription:
        """Read the key back; half a pair counts as no key, and a key must do what it is for."""

        def read(session: pkcs11.Session) -> KeyDescription:
            return self._description(session, objects.find(session, uri=uri), uri)

        return self._session(uri.vault).run(read)

    def _description(self, session: pkcs11.Session, found: objects.Pair | Secret, uri: KeyUri) -> KeyDescription:
        hardware = bool(session.token.slot.flags & SlotFlag.HW_SLOT)
        return KeyDescription(
            uri=uri,
            algorithm=found.algorithm.name,
            fingerprint=self._proven(found, uri),
            public_key_pem=found.public_key_pem,
            claim_id=found.claim_id,
            attributes={**found.attributes, "hardware": hardware},
        )

    def names(self, vault: VaultUri) -> list[str]:
        """Return the labels of all private and secret keys."""
        return self._session(vault.vault).run(objects.names)

    def _proven(self, found: objects.Pair | Secret, uri: KeyUri) -> str:
        """Return the fingerprint of a key that was seen to work; one whose usage forbids that deviates anyway."""
        if isinstance(found, objects.Pair):
            if found.attributes["CKA_SIGN"]:
                objects.prove(found, uri=uri, challenge=self._random(_CHALLENGE_BYTES))
            return found.fingerprint
        if not found.attributes["CKA_ENCRYPT"] or not found.attributes["CKA_DECRYPT"]:
            raise KeyConflictError(f"{uri} is a secret key that does not seal", fix="choose another name", uri=str(uri))
        secret_keys.prove(found, uri=uri, random=self._random)
        return found.fingerprint

    def required(self, spec: KeySpec) -> Mapping[str, AttributeValue]:
        """Return the PKCS#11 attributes of such a key, but for those that its escrow excuses."""
        required = secret_keys.REQUIRED if algorithm(spec.algorithm).symmetric else objects.REQUIRED
        return {name: value for name, value in required.items() if name not in _EXCUSED[spec.custody]}

    def deviations(self, spec: KeySpec, found: KeyDescription) -> list[str]:
        """Return the PKCS#11 attributes that are not as the key's must be."""
        wrong = [name for name, value in self.required(spec).items() if found.attributes.get(name) is not value]
        declared, made = algorithm(spec.algorithm), algorithm(found.algorithm)
        if declared.pkcs11_key_type != made.pkcs11_key_type:
            wrong.append("CKA_KEY_TYPE")
        elif declared.name != made.name:
            wrong.append("CKA_EC_PARAMS")
        return wrong

    def destroy(self, uri: KeyUri) -> None:
        """Destroy the key: both halves of a pair."""
        session = self._session(uri.vault)

        def remove(opened: pkcs11.Session) -> None:
            session.handles.pop(uri.name, None)
            for entry in objects.entries(opened, uri.name):
                entry.destroy()

        session.run(remove)

    def sign(self, uri: KeyUri, data: bytes) -> bytes:
        """Sign inside the token."""

        def sign_with(_session: pkcs11.Session, found: objects.Pair | Secret) -> bytes:
            if not isinstance(found, objects.Pair):
                raise KeyRefusedError(f"{uri} is no signing key", fix="use a key made for signing", uri=str(uri))
            return kinds.sign(found.key, found.algorithm, data)

        return self._use(uri, sign_with)

    def seal(self, uri: KeyUri, plaintext: bytes, *, context: bytes) -> str:
        """Encrypt with AES-256-GCM inside the token; ``context`` is the associated data."""
        return self.seal_many(uri, [(plaintext, context)])[0]

    def seal_many(self, uri: KeyUri, items: Sequence[tuple[bytes, bytes]]) -> Sequence[str]:
        """Seal one by one inside the token, with the key looked up once."""

        def seal_with(_session: pkcs11.Session, found: objects.Pair | Secret) -> list[str]:
            key = _sealing(found, uri)
            return [
                secret_keys.seal(key, plaintext, context=context, random=self._random) for plaintext, context in items
            ]

        return self._use(uri, seal_with)

    def open(self, uri: KeyUri, sealed: str, *, context: bytes) -> bytes:
        """Decrypt what `seal` made under the same context."""

        def open_with(session: pkcs11.Session, found: objects.Pair | Secret) -> bytes:
            return secret_keys.unseal(session, _sealing(found, uri), sealed, context=context, uri=uri)

        return self._use(uri, open_with)

    def _use(self, uri: KeyUri, operation: Callable[[pkcs11.Session, objects.Pair | Secret], T]) -> T:
        """Return what ``operation`` makes of the key, whose handle is looked up once in a session."""
        session = self._session(uri.vault)

        def use(opened: pkcs11.Session) -> T:
            found = session.handles.get(uri.name)
            if found is None:
                found = session.handles[uri.name] = objects.find(opened, uri=uri)
            return operation(opened, found)

        return session.run(use)

    def wrap(self, uri: KeyUri, wrapping_key: bytearray) -> WrappedKey:
        """Wrap the key inside the token; see `Wrapping.wrap`."""
        return self._session(uri.vault).run(partial(wrapping.wrap, uri=uri, wrapping_key=wrapping_key))

    def lock(self, uri: KeyUri) -> KeyDescription:
        """Set CKA_EXTRACTABLE to false for ever; see `Wrapping.lock`."""
        self._session(uri.vault).run(partial(wrapping.lock, uri=uri))
        return self.describe(uri)

    def rehearse(self, vault: VaultUri, wrapped: WrappedKey, wrapping_key: bytearray, data: bytes) -> bytes:
        """Have the wrapped key show itself as a session object; see `Importing.rehearse`."""
        return self._session(vault.vault).run(
            partial(wrapping.rehearse, wrapped=wrapped, wrapping_key=wrapping_key, data=data)
        )

    def rewrap(self, vault: VaultUri, wrapped: WrappedKey, old: bytearray, new: bytearray) -> WrappedKey:
        """Wrap the key under another wrapping key; see `Importing.rewrap`."""
        return self._session(vault.vault).run(partial(wrapping.rewrap, wrapped=wrapped, old=old, new=new))

    def import_wrapped(self, uri: KeyUri, wrapped: WrappedKey, wrapping_key: bytearray) -> KeyDescription:
        """Unwrap the key into the token; see `Importing.import_wrapped`."""
        self._session(uri.vault).run(partial(wrapping.restore, uri=uri, wrapped=wrapped, wrapping_key=wrapping_key))
        return self.describe(uri)

    def export_hash(self, vault: VaultUri) -> str:
        """Return the hash of RSA-OAEP; see `Exporting.export_hash`."""
        return self._session(vault.vault).run(exporting.oaep_hash)

    def export(self, uri: KeyUri, offer: ImportOffer) -> bytes:
        """Wrap the private key to another store inside the token; see `Exporting.export`."""
        return self._session(uri.vault).run(partial(exporting.export, uri=uri, offer=offer))

    def forward(self, vault: VaultUri, wrapped: WrappedKey, wrapping_key: bytearray, offer: ImportOffer) -> bytes:
        """Wrap a key that comes wrapped to another store; see `Importing.forward`."""
        return self._session(vault.vault).run(
            partial(exporting.forward, wrapped=wrapped, wrapping_key=wrapping_key, offer=offer)
        )

    def _session(self, label: str) -> TokenSession:
        session = self._sessions.get(label)
        if session is None:
            session = self._sessions[label] = TokenSession(self._module_path, label, self._pin)
        return session


def _sealing(found: objects.Pair | Secret, uri: KeyUri) -> Secret:
    if isinstance(found, Secret):
        return found
    raise KeyRefusedError(f"{uri} is no sealing key", fix="use a key made for sealing", uri=str(uri))
