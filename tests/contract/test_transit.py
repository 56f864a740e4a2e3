"""The Transit back end keeps the contract, over OpenBao."""

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from contract.abilities import RotatingContract, SealingContract, SigningContract
from contract.conformance import ConformanceContract
from contract.core import CoreContract, Operation
from contract.portability import ExportingContract, ReceivingContract
from cryptography.hazmat.primitives.asymmetric import ec
from support.key_transport import an_offer, wrapped_to
from support.openbao import OpenBaoServer
from support.stores import SealingManager, VaultManager, broad_settings, spec, vault_manager

from keyrung_infra.local.client import Client
from keyrung_provisioners.api import Capability, ImportOffer, KeyManager
from keyrung_provisioners.uri import KeyUri, VaultUri

_VAULT = VaultUri("transit", "keyrung")


def _make(client: Client, name: str, **settings: object) -> None:
    client.call("POST", f"keyrung/keys/{name}", {"type": "ecdsa-p256", **settings})


def _derived(client: Client, name: str) -> None:
    client.call("POST", f"keyrung/keys/{name}", {"type": "aes256-gcm96", "derived": True})


def _imported(client: Client, name: str) -> None:
    """Make a key outside and import it, as OpenBao's documentation of "bring your own key" says."""
    pem = client.call("GET", "keyrung/wrapping_key")["data"]["public_key"]
    key = ec.generate_private_key(ec.SECP256R1())
    ciphertext = base64.b64encode(wrapped_to(ImportOffer(public_key_pem=pem, hash_name="SHA-256"), key)).decode()
    body = {"type": "ecdsa-p256", "ciphertext": ciphertext, "hash_function": "SHA256"}
    client.call("POST", f"keyrung/keys/{name}/import", body)


_WEAKNESSES: dict[str, Callable[[Client, str], None]] = {
    "exportable": lambda client, name: _make(client, name, exportable=True),
    "allow_plaintext_backup": lambda client, name: _make(client, name, allow_plaintext_backup=True),
    "imported_key": _imported,
    "derived": _derived,
    "type": lambda client, name: _make(client, name, type="aes256-gcm96"),
}
_WRONG_TOKEN = "s.not-the-token-of-anybody"


def _wrong_token(server: OpenBaoServer, settings: dict[str, str], folder: Path) -> dict[str, str]:
    (folder / "wrong-token").write_text(_WRONG_TOKEN)
    return settings | {"transitToken": f"file:{folder / 'wrong-token'}"}


def _token_with_control_characters(server: OpenBaoServer, settings: dict[str, str], folder: Path) -> dict[str, str]:
    (folder / "wrong-token").write_text(f"{_WRONG_TOKEN}\r\nX-Other: 1")
    return settings | {"transitToken": f"file:{folder / 'wrong-token'}"}


def _nobody_listens(server: OpenBaoServer, settings: dict[str, str], folder: Path) -> dict[str, str]:
    return settings | {"transitAddress": "https://127.0.0.1:9"}


def _no_tls(server: OpenBaoServer, settings: dict[str, str], folder: Path) -> dict[str, str]:
    return settings | {"transitAddress": server.address.replace("https:", "http:")}


def _no_authority(server: OpenBaoServer, settings: dict[str, str], folder: Path) -> dict[str, str]:
    return settings | {"transitCaFile": str(folder / "no.pem")}


def _authority_is_no_certificate(server: OpenBaoServer, settings: dict[str, str], folder: Path) -> dict[str, str]:
    (folder / "no.pem").write_text("no certificate")
    return settings | {"transitCaFile": str(folder / "no.pem")}


@pytest.fixture(scope="module")
def broad(openbao: OpenBaoServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Settings of a token that may do everything with the keys."""
    return broad_settings(openbao, tmp_path_factory.mktemp("broad"))


class TestTransit(
    CoreContract,
    ConformanceContract,
    SigningContract,
    SealingContract,
    RotatingContract,
    ExportingContract,
    ReceivingContract,
):
    proven = frozenset(
        {
            Capability.SIGNING,
            Capability.SEALING,
            Capability.ROTATING,
            Capability.EXPORTING,
            Capability.RECEIVING,
        }
    )
    operations: ClassVar[Mapping[str, Operation]] = {
        **CoreContract.operations,
        "remove_vault": lambda manager, uri: manager.remove_vault(uri.vault_uri),
        "sign": lambda manager, uri: manager.sign(uri, b"data"),  # type: ignore[attr-defined]
        "seal": lambda manager, uri: manager.seal(uri, b"data", context=b""),  # type: ignore[attr-defined]
        "seal_many": lambda manager, uri: manager.seal_many(uri, [(b"data", b"")]),  # type: ignore[attr-defined]
        "open": lambda manager, uri: manager.open(uri, "vault:v1:x", context=b""),  # type: ignore[attr-defined]
        "rotate": lambda manager, uri: manager.rotate(uri),  # type: ignore[attr-defined]
        "offer": lambda manager, uri: manager.offer(spec(uri), hash_name="SHA-256"),  # type: ignore[attr-defined]
        "receive": lambda manager, uri: manager.receive(spec(uri), an_offer(), b"data"),  # type: ignore[attr-defined]
        "export": lambda manager, uri: manager.export(uri, an_offer()),  # type: ignore[attr-defined]
    }

    @pytest.fixture
    def client(self, openbao: OpenBaoServer, broad: dict[str, str]) -> Client:
        token = Path(broad["transitToken"].removeprefix("file:")).read_text()
        return openbao.client("deployer").with_token(token)

    @pytest.fixture
    def reopen(self, broad: dict[str, str]) -> Callable[[], VaultManager]:
        return lambda: vault_manager(broad)

    @pytest.fixture
    def vault(self) -> VaultUri:
        return _VAULT

    @pytest.fixture
    def empty_vault(self, own_openbao: OpenBaoServer) -> tuple[KeyManager, VaultUri, bool]:
        return vault_manager(own_openbao.settings("deployer")), _VAULT, True

    @pytest.fixture
    def make_foreign(self, client: Client) -> Callable[[str], None]:
        return lambda name: _make(client, name)

    def test_more_texts_than_one_call_takes_are_sealed(self, seed_key: KeyUri, manager: SealingManager) -> None:
        items = [(b"%d" % number, b"person %d" % number) for number in range(450)]
        sealed = manager.seal_many(seed_key, items)
        for number in (0, 199, 200, 399, 400, 449):
            assert manager.open(seed_key, sealed[number], context=items[number][1]) == items[number][0]

    @pytest.fixture(params=list(_WEAKNESSES))
    def weak(self, request: pytest.FixtureRequest, client: Client, uri: KeyUri) -> tuple[KeyUri, str]:
        _WEAKNESSES[request.param](client, uri.name)
        return uri, request.param

    @pytest.fixture(
        params=[
            _wrong_token,
            _token_with_control_characters,
            _nobody_listens,
            _no_tls,
            _no_authority,
            _authority_is_no_certificate,
        ]
    )
    def unusable(
        self, request: pytest.FixtureRequest, openbao: OpenBaoServer, broad: dict[str, str], tmp_path: Path
    ) -> tuple[KeyManager, frozenset[str]]:
        return vault_manager(request.param(openbao, broad, tmp_path)), frozenset()

    @pytest.fixture
    def hidden(self, broad: dict[str, str]) -> dict[str, bytes]:
        token = Path(broad["transitToken"].removeprefix("file:")).read_bytes()
        return {"token": token, "wrong token": _WRONG_TOKEN.encode()}
