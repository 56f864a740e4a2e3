"""The back end for keys in files keeps the contract."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, cast

import pytest
from contract.abilities import SealingContract, SigningContract
from contract.conformance import ConformanceContract
from contract.core import CoreContract, Operation
from support.stores import SealingManager, spec

from keyrung_provisioners.api import Capability, KeyManager, Purpose
from keyrung_provisioners.registry import open_manager
from keyrung_provisioners.uri import KeyUri, VaultUri

_PASSPHRASE = "correct horse battery staple"
_VAULT = VaultUri("software", "keys")


def _manager(folder: Path, *, passphrase: str = _PASSPHRASE, keys: str = "keys-at-rest") -> SealingManager:
    (folder / "passphrase").write_text(passphrase)
    settings = {"softwareFolder": keys, "softwarePassphrase": "file:passphrase"}
    return cast(SealingManager, open_manager("software", settings, root=folder))


def _readable_by_others(manager: KeyManager, uri: KeyUri, folder: Path) -> None:
    manager.create(spec(uri))
    (folder / "keys-at-rest" / uri.vault / f"{uri.name}.key").chmod(0o644)


def _for_another_purpose(manager: KeyManager, uri: KeyUri, folder: Path) -> None:
    manager.create(replace(spec(uri), purpose=Purpose.AUDIT_SIGNING))


def _another_algorithm(manager: KeyManager, uri: KeyUri, folder: Path) -> None:
    manager.create(spec(uri, algorithm="AES-256"))


_WEAKNESSES = {"mode": _readable_by_others, "purpose": _for_another_purpose, "algorithm": _another_algorithm}


class TestSoftware(CoreContract, ConformanceContract, SigningContract, SealingContract):
    proven = frozenset({Capability.SIGNING, Capability.SEALING})
    operations: ClassVar[Mapping[str, Operation]] = {
        **CoreContract.operations,
        "remove_vault": lambda manager, uri: manager.remove_vault(uri.vault_uri),
        "sign": lambda manager, uri: manager.sign(uri, b"data"),  # type: ignore[attr-defined]
        "seal": lambda manager, uri: manager.seal(uri, b"data", context=b""),  # type: ignore[attr-defined]
        "seal_many": lambda manager, uri: manager.seal_many(uri, [(b"data", b"")]),  # type: ignore[attr-defined]
        "open": lambda manager, uri: manager.open(uri, "AAAA", context=b""),  # type: ignore[attr-defined]
    }

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Callable[[], SealingManager]:
        return lambda: _manager(tmp_path)

    @pytest.fixture
    def vault(self, tmp_path: Path) -> VaultUri:
        _manager(tmp_path).ensure_vault(_VAULT, owner="urn:first")
        return _VAULT

    @pytest.fixture
    def empty_vault(self, tmp_path: Path, vault: VaultUri) -> tuple[KeyManager, VaultUri, bool]:
        return _manager(tmp_path), vault, True

    @pytest.fixture
    def make_foreign(self, tmp_path: Path, vault: VaultUri) -> Callable[[str], None]:
        folder = tmp_path / "keys-at-rest" / vault.vault
        return lambda name: (folder / f"{name}.key").touch()

    @pytest.fixture(params=list(_WEAKNESSES))
    def weak(
        self, request: pytest.FixtureRequest, manager: KeyManager, uri: KeyUri, tmp_path: Path
    ) -> tuple[KeyUri, str]:
        _WEAKNESSES[request.param](manager, uri, tmp_path)
        return uri, request.param

    @pytest.fixture(params=["wrong passphrase", "no passphrase", "altered vault", "a file in its place"])
    def unusable(
        self, request: pytest.FixtureRequest, vault: VaultUri, tmp_path: Path
    ) -> tuple[KeyManager, frozenset[str]]:
        at_rest = tmp_path / "keys-at-rest" / vault.vault / "vault.json"
        if request.param == "wrong passphrase":
            return _manager(tmp_path, passphrase=f"{_PASSPHRASE}!"), frozenset()
        if request.param == "altered vault":
            at_rest.write_text(at_rest.read_text().replace("urn:first", "urn:other"))
        manager = _manager(tmp_path, keys="passphrase" if request.param == "a file in its place" else "keys-at-rest")
        if request.param == "no passphrase":
            (tmp_path / "passphrase").unlink()
        return manager, frozenset()

    @pytest.fixture
    def hidden(self) -> dict[str, bytes]:
        return {"passphrase": _PASSPHRASE.encode()}
