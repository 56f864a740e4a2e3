"""Keys in a PKCS#11 token: SoftHSM2, or any HSM's module by path.

URI: ``pkcs11:token=LABEL;object=LABEL``. Settings: ``pkcs11Module`` (path of the module) and ``pkcs11Pin``
(a reference to the user PIN). Key pairs are generated inside the token, sensitive and never extractable; one declared
escrowed or portable is extractable (wrapped only) until its escrow or its copy is confirmed.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from secrets import token_bytes
from typing import ClassVar, Self

import pkcs11
from pkcs11.constants import SlotFlag
from pkcs11.mechanisms import Mechanism

from keyrung_provisioners import encoding
from keyrung_provisioners.algorithms import offered_algorithm
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
from keyrung_provisioners.backends.pkcs11 import exporting, objects, wrapping
from keyrung_provisioners.backends.pkcs11.session import TokenSession
from keyrung_provisioners.errors import InvalidSettingError
from keyrung_provisioners.sources import resolve
from keyrung_provisioners.uri import KeyUri, VaultUri

_CHALLENGE_BYTES = 32
# What a signing key must show: made in the token, never out of it, and good for signatures only.
_REQUIRED: dict[str, AttributeValue] = {
    "CKA_LOCAL": True,
    "CKA_SENSITIVE": True,
    "CKA_ALWAYS_SENSITIVE": True,
    "CKA_EXTRACTABLE": False,
    "CKA_NEVER_EXTRACTABLE": True,
    "CKA_PRIVATE": True,
    "CKA_TOKEN": True,
    "CKA_SIGN": True,
    "CKA_DECRYPT": False,
    "CKA_UNWRAP": False,
    "CKA_DERIVE": False,
}
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
        {Capability.SIGNING, Capability.WRAPPING, Capability.IMPORTING, Capability.EXPORTING}
    )
    algorithms: ClassVar[frozenset[str]] = frozenset({"P-256"})

    def __init__(self, *, module_path: str, pin: Callable[[], str]) -> None:
        """Use the module at ``module_path``; ``pin`` gives the user PIN of its tokens when a login needs it."""
        self._module_path = module_path
        self._pin = pin
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
        """Generate a key pair in the token; see `KeyManager.create`."""
        row = offered_algorithm(spec.algorithm, scheme=self.scheme, offered=self.algorithms)
        self._session(spec.uri.vault).run(partial(objects.generate, spec=spec, row=row))
        return self.describe(spec.uri)

    def describe(self, uri: KeyUri) -> KeyDescription:
        """Read the pair back; half a pair counts as no key, and halves must belong together."""

        def read(session: pkcs11.Session) -> objects.Pair:
            pair = objects.read(session, uri=uri)
            if pair.attributes["CKA_SIGN"]:  # else it can prove nothing, and deviates
                objects.prove(pair, uri=uri, challenge=token_bytes(_CHALLENGE_BYTES))
            return pair

        pair = self._session(uri.vault).run(read)
        return KeyDescription(
            uri=uri,
            algorithm=pair.algorithm.name,
            fingerprint=encoding.thumbprint(pair.public_key_pem),
            public_key_pem=pair.public_key_pem,
            claim_id=pair.claim_id,
            attributes={**pair.attributes, "hardware": self.describe_vault(uri.vault_uri).attributes["hardware"]},
        )

    def names(self, vault: VaultUri) -> list[str]:
        """Return the labels of all private and secret keys."""
        return self._session(vault.vault).run(objects.names)

    def required(self, spec: KeySpec) -> Mapping[str, AttributeValue]:
        """Return the PKCS#11 attributes of a signing key, but for those that its escrow excuses."""
        return {name: value for name, value in _REQUIRED.items() if name not in _EXCUSED[spec.custody]}

    def deviations(self, spec: KeySpec, found: KeyDescription) -> list[str]:
        """Return the PKCS#11 attributes that are not as a signing key's must be."""
        wrong = [name for name, value in self.required(spec).items() if found.attributes.get(name) is not value]
        if found.algorithm != spec.algorithm:
            wrong.append("CKA_EC_PARAMS")
        return wrong

    def destroy(self, uri: KeyUri) -> None:
        """Destroy both halves of the pair."""
        session = self._session(uri.vault)

        def remove(opened: pkcs11.Session) -> None:
            session.handles.pop(uri.name, None)
            for half in objects.halves(opened, uri.name):
                half.destroy()

        session.run(remove)

    def sign(self, uri: KeyUri, data: bytes) -> bytes:
        """Sign inside the token; the hash is made here since not every token has ECDSA with hashing."""
        session = self._session(uri.vault)

        def sign_with(opened: pkcs11.Session) -> bytes:
            pair = session.handles.get(uri.name)
            if pair is None:
                pair = session.handles[uri.name] = objects.read(opened, uri=uri)
            hashed = encoding.digest(data, pair.algorithm.hash_name or "")
            return bytes(pair.private.sign(hashed, mechanism=Mechanism.ECDSA))

        return session.run(sign_with)

    def wrap(self, uri: KeyUri, wrapping_key: bytearray) -> WrappedKey:
        """Wrap the private key inside the token; see `Wrapping.wrap`."""
        return self._session(uri.vault).run(partial(wrapping.wrap, uri=uri, wrapping_key=wrapping_key))

    def lock(self, uri: KeyUri) -> KeyDescription:
        """Set CKA_EXTRACTABLE to false for ever; see `Wrapping.lock`."""
        self._session(uri.vault).run(partial(wrapping.lock, uri=uri))
        return self.describe(uri)

    def rehearse(self, vault: VaultUri, wrapped: WrappedKey, wrapping_key: bytearray, data: bytes) -> bytes:
        """Sign once by the wrapped key as a session object; see `Importing.rehearse`."""
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
