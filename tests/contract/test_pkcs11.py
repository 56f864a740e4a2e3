"""The PKCS#11 back end keeps the contract, over SoftHSM."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from contract.abilities import EscrowingContract, SealingContract, SigningContract
from contract.conformance import ConformanceContract
from contract.core import CoreContract, Operation
from contract.portability import ExportingContract
from pkcs11 import Attribute
from support.key_transport import an_offer
from support.raw_keys import generate_raw, import_raw, raw_session
from support.softhsm import SoftHsmToken
from support.stores import TokenManager, token_manager

from keyrung_provisioners.api import Capability, KeyManager
from keyrung_provisioners.registry import open_manager
from keyrung_provisioners.uri import KeyUri, VaultUri

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


class TestPkcs11(
    CoreContract, ConformanceContract, SigningContract, SealingContract, EscrowingContract, ExportingContract
):
    proven = frozenset(
        {
            Capability.SIGNING,
            Capability.SEALING,
            Capability.WRAPPING,
            Capability.IMPORTING,
            Capability.EXPORTING,
        }
    )
    lacking: ClassVar[dict[str, frozenset[str]]] = {  # SoftHSM2 wraps no Edwards key
        "Ed25519": frozenset(
            {
                "rehearses a wrapped key",
                "locks a key in",
                "takes a wrapped key back",
                "exports to another store",
            }
        )
    }
    operations: ClassVar[Mapping[str, Operation]] = {
        **CoreContract.operations,
        "sign": lambda manager, uri: manager.sign(uri, b"data"),  # type: ignore[attr-defined]
        "seal": lambda manager, uri: manager.seal(uri, b"data", context=b""),  # type: ignore[attr-defined]
        "seal_many": lambda manager, uri: manager.seal_many(uri, [(b"data", b"")]),  # type: ignore[attr-defined]
        "open": lambda manager, uri: manager.open(uri, "AAAA", context=b""),  # type: ignore[attr-defined]
        "lock": lambda manager, uri: manager.lock(uri),  # type: ignore[attr-defined]
        "export_hash": lambda manager, uri: manager.export_hash(uri.vault_uri),  # type: ignore[attr-defined]
        "export": lambda manager, uri: manager.export(uri, an_offer()),  # type: ignore[attr-defined]
        "wrap": lambda manager, uri: manager.wrap(uri, bytearray(32)),  # type: ignore[attr-defined]
    }

    @pytest.fixture
    def reopen(self, softhsm_token: SoftHsmToken) -> Callable[[], TokenManager]:
        return lambda: token_manager(softhsm_token)

    @pytest.fixture
    def vault(self, softhsm_token: SoftHsmToken) -> VaultUri:
        return VaultUri("pkcs11", softhsm_token.label)

    @pytest.fixture
    def empty_vault(self, softhsm_token: SoftHsmToken, vault: VaultUri) -> tuple[KeyManager, VaultUri, bool]:
        return token_manager(softhsm_token), vault, False

    @pytest.fixture
    def make_foreign(self, softhsm_token: SoftHsmToken) -> Callable[[str], None]:
        def make(name: str) -> None:
            with raw_session(softhsm_token) as session:
                generate_raw(session, name, {})

        return make

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
