"""The PKCS#11 back end keeps the contract, over SoftHSM."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from contract.abilities import EscrowingContract, SigningContract
from contract.core import CoreContract, Operation
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pkcs11 import Attribute, KeyType
from pkcs11.util.ec import decode_ec_private_key, decode_ec_public_key, encode_named_curve_parameters
from support.softhsm import SoftHsmToken
from support.stores import EscrowingManager, raw_session, token_manager

from keyrung_provisioners.api import Capability, KeyManager
from keyrung_provisioners.registry import open_manager
from keyrung_provisioners.uri import KeyUri, VaultUri

_GOOD = {
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.SIGN: True,
    Attribute.DECRYPT: False,
    Attribute.UNWRAP: False,
    Attribute.DERIVE: False,
}
# The attribute that must be named, and what makes the key weak in it.
_WEAKNESSES: dict[str, dict[Attribute, bool]] = {
    "CKA_EXTRACTABLE": {Attribute.EXTRACTABLE: True},
    "CKA_NEVER_EXTRACTABLE": {Attribute.EXTRACTABLE: True},
    "CKA_SENSITIVE": {Attribute.SENSITIVE: False},
    "CKA_ALWAYS_SENSITIVE": {Attribute.SENSITIVE: False},
    "CKA_SIGN": {Attribute.SIGN: False},
    "CKA_DECRYPT": {Attribute.DECRYPT: True},
    "CKA_UNWRAP": {Attribute.UNWRAP: True},
    "CKA_DERIVE": {Attribute.DERIVE: True},
    "CKA_PRIVATE": {Attribute.PRIVATE: False},
}


def generate_raw(session: Any, label: str, private: Mapping[Attribute, bool]) -> None:
    """Generate a pair by the library alone."""
    parameters = {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
    session.create_domain_parameters(KeyType.EC, parameters, local=True).generate_keypair(
        store=True, label=label, id=b"weak", private_template={**_GOOD, **private}
    )


def import_raw(session: Any, label: str) -> None:
    """Put a pair into the token that was made outside of it."""
    key = ec.generate_private_key(ec.SECP256R1())
    encoding = serialization.Encoding.DER
    private = key.private_bytes(encoding, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    public = key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
    common = {Attribute.TOKEN: True, Attribute.LABEL: label, Attribute.ID: b"weak"}
    session.create_object({**decode_ec_private_key(private), **_GOOD, **common, Attribute.PRIVATE: True})
    session.create_object({**decode_ec_public_key(public), **common})


def _token_gone(token: SoftHsmToken) -> KeyManager:
    for folder in token.layout.tokens.iterdir():
        folder.rename(token.layout.folder / "moved away")
    return token_manager(token)


def _wrong_pin(token: SoftHsmToken) -> KeyManager:
    (token.layout.folder / "wrong-pin").write_text("not the pin at all")
    return open_manager("pkcs11", token.settings() | {"pkcs11Pin": "file:wrong-pin"}, root=token.layout.folder)


def _pin_unreadable(token: SoftHsmToken) -> KeyManager:
    return open_manager("pkcs11", token.settings() | {"pkcs11Pin": "file:no-pin"}, root=token.layout.folder)


def _module_missing(token: SoftHsmToken) -> KeyManager:
    return open_manager("pkcs11", token.settings() | {"pkcs11Module": "/nowhere/module.so"}, root=token.layout.folder)


def _module_no_library(token: SoftHsmToken) -> KeyManager:
    module = token.layout.folder / "module.so"
    module.write_text("no library")
    return open_manager("pkcs11", token.settings() | {"pkcs11Module": str(module)}, root=token.layout.folder)


def _module_of_something_else(token: SoftHsmToken) -> KeyManager:
    library = next(Path("/").glob("lib/*/libm.so.6"), Path("/lib/libm.so.6"))
    return open_manager("pkcs11", token.settings() | {"pkcs11Module": str(library)}, root=token.layout.folder)


class TestPkcs11(CoreContract, SigningContract, EscrowingContract):
    proven = frozenset({Capability.SIGNING, Capability.WRAPPING, Capability.IMPORTING})
    operations: ClassVar[Mapping[str, Operation]] = {
        **CoreContract.operations,
        "sign": lambda manager, uri: manager.sign(uri, b"data"),  # type: ignore[attr-defined]
        "lock": lambda manager, uri: manager.lock(uri),  # type: ignore[attr-defined]
        "wrap": lambda manager, uri: manager.wrap(uri, bytearray(32)),  # type: ignore[attr-defined]
    }

    @pytest.fixture
    def reopen(self, softhsm_token: SoftHsmToken) -> Callable[[], EscrowingManager]:
        return lambda: token_manager(softhsm_token)

    @pytest.fixture
    def vault(self, softhsm_token: SoftHsmToken) -> VaultUri:
        return VaultUri("pkcs11", softhsm_token.label)

    @pytest.fixture
    def empty_vault(self, softhsm_token: SoftHsmToken, vault: VaultUri) -> tuple[KeyManager, VaultUri, bool]:
        return token_manager(softhsm_token), vault, False

    @pytest.fixture(params=[*_WEAKNESSES, "CKA_LOCAL"])
    def weak(self, request: pytest.FixtureRequest, softhsm_token: SoftHsmToken, uri: KeyUri) -> tuple[KeyUri, str]:
        with raw_session(softhsm_token) as session:
            if request.param == "CKA_LOCAL":
                import_raw(session, uri.name)
            else:
                generate_raw(session, uri.name, _WEAKNESSES[request.param])
        return uri, request.param

    @pytest.fixture(
        params=[
            _token_gone,
            _wrong_pin,
            _pin_unreadable,
            _module_missing,
            _module_no_library,
            _module_of_something_else,
        ]
    )
    def unusable(
        self, request: pytest.FixtureRequest, softhsm_token: SoftHsmToken
    ) -> tuple[KeyManager, frozenset[str]]:
        without_login = {"describe_vault"} if request.param in (_wrong_pin, _pin_unreadable) else set[str]()
        return request.param(softhsm_token), frozenset(without_login)

    @pytest.fixture
    def hidden(self, softhsm_token: SoftHsmToken) -> dict[str, bytes]:
        return {"pin": softhsm_token.pin.encode(), "wrong pin": b"not the pin at all"}
