"""AWS KMS over a network that fails or lies: it is refused in a bounded time, and verification is never skipped.

The servers here stand for KMS; moto, which answers inside this process, has no network.
"""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.kms import REGION, kms_manager

from keyrung_infra.local.certificates import ensure_authority, ensure_server
from keyrung_provisioners.backends.aws_kms import connection
from keyrung_provisioners.errors import BackendUnavailableError
from keyrung_provisioners.uri import VaultUri

_URI = VaultUri("awskms", REGION).key("policy-signing")


@pytest.fixture(autouse=True)
def _bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    monkeypatch.setattr(connection, "_ATTEMPTS", 1)
    monkeypatch.setattr(connection, "_CONNECT_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(connection, "_READ_TIMEOUT_SECONDS", 0.5)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Accept connections, by the system alone, and never answer."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        opened.listen()
        yield opened


def _url(listener: socket.socket, scheme: str = "https") -> str:
    return f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def asked(listener: socket.socket, tmp_path: Path) -> Iterator[list[bytes]]:
    """Serve TLS under an authority that nobody trusts; yield what arrives once a client has taken the certificate."""
    certificate, key = tmp_path / "server.pem", tmp_path / "server-key.pem"
    authority, authority_key = tmp_path / "ca.pem", tmp_path / "ca-key.pem"
    now = datetime.now(UTC)
    ensure_authority(authority, authority_key, now=now)
    ensure_server(certificate, key, authority=authority, authority_key=authority_key, now=now)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    arrived: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            with raw:
                try:
                    with context.wrap_socket(raw, server_side=True) as opened:
                        arrived.append(opened.recv(1))
                except OSError:
                    continue

    threading.Thread(target=serve, daemon=True).start()
    yield arrived
    listener.shutdown(socket.SHUT_RDWR)


def test_a_certificate_of_an_unknown_authority_is_refused_before_anything_is_sent(
    listener: socket.socket, asked: list[bytes]
) -> None:
    with pytest.raises(BackendUnavailableError, match=r"SSLError"):
        kms_manager(awskmsEndpoint=_url(listener)).describe(_URI)
    assert [sent for sent in asked if sent] == []


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_a_server_that_accepts_and_never_answers_is_given_up(listener: socket.socket, scheme: str) -> None:
    began = time.monotonic()
    with pytest.raises(BackendUnavailableError, match="Timeout"):
        kms_manager(awskmsEndpoint=_url(listener, scheme)).describe(_URI)
    assert time.monotonic() - began < 10


def test_a_name_that_nobody_knows_cannot_be_reached() -> None:
    with pytest.raises(BackendUnavailableError, match="cannot be asked"):
        kms_manager(awskmsEndpoint="https://kms.invalid").describe(_URI)
