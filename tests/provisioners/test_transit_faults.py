"""Whatever happens to the vault or on the way: one clear sentence, TLS always, and the token goes nowhere else."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.impostor import SILENCE, Impostor
from support.openbao import OpenBaoServer, kill_server
from support.stores import SigningManager, spec, vault_manager, verifies

from keyrung_infra.local.certificates import ensure_authority
from keyrung_provisioners.backends.transit import TransitKeyManager
from keyrung_provisioners.backends.transit.login import StoredToken
from keyrung_provisioners.errors import (
    BackendUnavailableError,
    InvalidSettingError,
    KeyAlteredError,
    KeyMissingError,
    ProvisionerError,
)
from keyrung_provisioners.uri import KeyUri

_DATA = b"a message"
_URI = KeyUri("transit", "keyrung", "policy-signing-one")


@pytest.fixture
def manager(own_openbao: OpenBaoServer) -> SigningManager:
    return vault_manager(own_openbao.settings("deployer"))


def _at(address: str, server: OpenBaoServer, *, timeout_seconds: float = 5) -> TransitKeyManager:
    return TransitKeyManager(
        address=lambda: address,
        login=StoredToken(lambda: server.token("deployer")),
        ca_file=server.ca,
        timeout_seconds=timeout_seconds,
    )


def test_a_sealed_vault_is_told_and_works_again_once_unsealed(
    own_openbao: OpenBaoServer, manager: SigningManager
) -> None:
    made = manager.create(spec(_URI))
    with own_openbao.root() as root:
        root.call("PUT", "sys/seal")
        with pytest.raises(BackendUnavailableError, match="is sealed or down"):
            manager.sign(_URI, _DATA)
        own_openbao.openbao.up()  # unseals what it finds sealed
    assert verifies(made.public_key_pem, _DATA, manager.sign(_URI, _DATA))


def test_a_stopped_vault_is_told_and_found_again_at_its_next_address(
    own_openbao: OpenBaoServer, manager: SigningManager
) -> None:
    made = manager.create(spec(_URI))
    before = own_openbao.address
    kill_server(own_openbao.layout)
    with pytest.raises(BackendUnavailableError, match="cannot be reached"):
        manager.sign(_URI, _DATA)
    with _listening(int(before.rpartition(":")[2])):  # the next start has to choose another port
        own_openbao.openbao.up()
        assert own_openbao.address != before
        assert verifies(made.public_key_pem, _DATA, manager.sign(_URI, _DATA))


def test_a_revoked_token_is_told_and_its_successor_used(own_openbao: OpenBaoServer, manager: SigningManager) -> None:
    made = manager.create(spec(_URI))
    with own_openbao.root() as root:
        root.call("POST", "auth/token/revoke", {"token": own_openbao.token("deployer")})
    with pytest.raises(BackendUnavailableError, match="the token is invalid or lacks the permission"):
        manager.sign(_URI, _DATA)
    own_openbao.openbao.up()  # makes a new token
    assert verifies(made.public_key_pem, _DATA, manager.sign(_URI, _DATA))


def test_a_permission_that_is_missing_is_told_with_the_operation(own_openbao: OpenBaoServer) -> None:
    vault_manager(own_openbao.settings("deployer")).create(spec(_URI))
    auditor = vault_manager(own_openbao.settings("auditor"))
    assert auditor.describe(_URI).algorithm == "P-256"
    with pytest.raises(BackendUnavailableError, match=r"refused to sign .*policy-signing-one") as caught:
        auditor.sign(_URI, _DATA)
    assert caught.value.fields["operation"] == "sign"
    with pytest.raises(BackendUnavailableError, match="refused to create"):
        auditor.create(spec(KeyUri("transit", "keyrung", "policy-signing-two")))


def test_a_certificate_of_another_authority_is_refused(
    openbao: OpenBaoServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VAULT_SKIP_VERIFY", "true")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(openbao.ca))
    other = tmp_path / "ca.pem"
    ensure_authority(other, tmp_path / "ca-key.pem", now=datetime.now(UTC))
    settings = openbao.settings("deployer") | {"transitCaFile": str(other)}
    with pytest.raises(BackendUnavailableError, match="shows no certificate"):
        vault_manager(settings).describe(_URI)


def test_a_host_that_the_certificate_does_not_name_is_refused(
    openbao: OpenBaoServer, impostors: "Callable[..., Impostor]"
) -> None:
    server = impostors(host="127.0.0.2")
    with pytest.raises(BackendUnavailableError, match="shows no certificate"):
        _at(server.url, openbao).describe(_URI)
    assert server.seen == []


def test_a_name_that_nobody_knows_cannot_be_reached(openbao: OpenBaoServer) -> None:
    with pytest.raises(BackendUnavailableError, match="cannot be reached"):
        _at("https://vault.invalid:8200", openbao).describe(_URI)


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:8200",
        "HTTP://127.0.0.1:8200",
        "127.0.0.1:8200",
        "https://",
        "https://user:secret@127.0.0.1:8200",
        "https://127.0.0.1:8200/v1",
        "https://127.0.0.1:8200?x=1",
        "https://127.0.0.1:port",
        "unix:///run/vault.sock",
        "https://[::1",
    ],
)
def test_any_address_but_plain_https_is_refused_before_the_token_is_read(openbao: OpenBaoServer, address: str) -> None:
    def token() -> str:
        raise AssertionError("the token was read")

    manager = TransitKeyManager(address=lambda: address, login=StoredToken(token), ca_file=openbao.ca)
    with pytest.raises(InvalidSettingError, match="https://HOST:PORT") as caught:
        manager.describe(_URI)
    assert "secret" not in str(caught.value)


@contextmanager
def _listening(port: int = 0) -> Iterator[socket.socket]:
    """Accept connections, by the system alone, and never answer."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        yield listener


def test_a_server_that_accepts_and_never_answers_is_given_up(openbao: OpenBaoServer) -> None:
    with _listening() as listener:
        manager = _at(f"https://127.0.0.1:{listener.getsockname()[1]}", openbao, timeout_seconds=0.3)
        began = time.monotonic()
        with pytest.raises(BackendUnavailableError, match=r"did not answer within 0\.3 seconds"):
            manager.describe(_URI)
        assert time.monotonic() - began < 5


@pytest.fixture
def impostors(openbao: OpenBaoServer) -> Iterator[Callable[..., Impostor]]:
    running: list[Impostor] = []

    def start(**where: str) -> Impostor:
        running.append(Impostor(openbao, **where))
        threading.Thread(target=running[-1].serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return running[-1]

    yield start
    for server in running:
        server.over.set()
        server.shutdown()
        server.server_close()


def test_a_server_that_falls_silent_after_the_handshake_is_given_up(
    openbao: OpenBaoServer, impostors: Callable[..., Impostor]
) -> None:
    server = impostors()
    server.answer = (SILENCE, {}, b"")
    with pytest.raises(BackendUnavailableError, match=r"did not answer within 0\.3 seconds"):
        _at(server.url, openbao, timeout_seconds=0.3).describe(_URI)
    assert len(server.seen) == 1  # and it is not asked again


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_the_token_goes_nowhere(
    openbao: OpenBaoServer, impostors: Callable[..., Impostor], status: int
) -> None:
    first, second = impostors(), impostors()
    first.answer = (status, {"Location": f"{second.url}/v1/keyrung/keys/policy-signing-one"}, b"")
    with pytest.raises(BackendUnavailableError, match="a redirect is never followed"):
        _at(first.url, openbao).describe(_URI)
    assert len(first.seen) == 1
    assert second.seen == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>hello</html>",
        b"[]",
        b"{}",
        b'{"data": null}',
        b'{"data": {"type": []}}',
        b'{"data": {"type": "ecdsa-p256", "keys": {"1": {"public_key": "no key"}}, "latest_version": 1}}',
        b'{"data": {"type": "ecdsa-p256", "keys": {"1": 1}, "latest_version": 1}}',
        b"\xff\xfe",
    ],
)
def test_an_answer_that_is_none_of_transit_is_one_of_our_errors(
    openbao: OpenBaoServer, impostors: Callable[..., Impostor], body: bytes
) -> None:
    server = impostors()
    server.answer = (200, {"Content-Type": "application/json"}, body)
    with pytest.raises(BackendUnavailableError, match="the vault at"):
        _at(server.url, openbao).describe(_URI)


@pytest.mark.parametrize("status", [401, 404, 405, 412, 429, 500, 501, 502, 503, 204, 202])
def test_every_status_is_one_of_our_errors(
    openbao: OpenBaoServer, impostors: Callable[..., Impostor], status: int
) -> None:
    server = impostors()
    server.answer = (status, {}, b"")
    with pytest.raises(ProvisionerError) as caught:
        _at(server.url, openbao).describe(_URI)
    assert isinstance(caught.value, KeyMissingError) == (status == 404)


def test_the_environment_has_no_say_in_where_a_request_goes(
    openbao: OpenBaoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _listening() as listener:
        proxy = f"http://127.0.0.1:{listener.getsockname()[1]}"
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "VAULT_ADDR"):
            monkeypatch.setenv(name, proxy)
        monkeypatch.setenv("VAULT_TOKEN", "another")
        with pytest.raises(KeyMissingError):
            _at(openbao.address, openbao, timeout_seconds=2).describe(KeyUri("transit", "keyrung", "policy-signing-no"))


def test_threads_and_forked_children_each_have_a_connection_of_their_own(own_openbao: OpenBaoServer) -> None:
    manager = vault_manager(own_openbao.settings("deployer"))
    pem = manager.create(spec(_URI)).public_key_pem

    def sign(number: int) -> bool:
        data = f"message {number}".encode()
        return verifies(pem, data, manager.sign(_URI, data))

    assert sign(-1)
    children = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            code = 3
            try:
                code = 0 if all(sign(number) for _ in range(10)) else 2
            finally:
                os._exit(code)
        children.append(child)
    assert all(sign(number) for number in range(10))
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    with ThreadPoolExecutor(max_workers=8) as threads:
        assert all(threads.map(sign, range(80)))


def test_a_first_version_that_was_retired_is_an_altered_key(
    own_openbao: OpenBaoServer, manager: SigningManager
) -> None:
    manager.create(spec(_URI))
    with own_openbao.root() as root:
        root.call("POST", "keyrung/keys/policy-signing-one/rotate")
        assert verifies(manager.describe(_URI).public_key_pem, _DATA, manager.sign(_URI, _DATA))  # still version 1
        root.call("POST", "keyrung/keys/policy-signing-one/config", {"min_decryption_version": 2})
    with pytest.raises(KeyAlteredError, match="rotated"):
        manager.describe(_URI)


def test_a_mount_of_another_engine_is_neither_used_nor_removed(
    own_openbao: OpenBaoServer, manager: SigningManager
) -> None:
    with own_openbao.root() as root:
        root.call("DELETE", "sys/mounts/keyrung")
        root.call("POST", "sys/mounts/keyrung", {"type": "kv"})
        for operation in (
            lambda: manager.ensure_vault(_URI.vault_uri, owner="urn:test"),
            lambda: manager.describe_vault(_URI.vault_uri),
            lambda: manager.remove_vault(_URI.vault_uri),
        ):
            with pytest.raises(ProvisionerError, match="mounted as kv"):
                operation()
        assert root.call("GET", "sys/mounts/keyrung")["data"]["type"] == "kv"
