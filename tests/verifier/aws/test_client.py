"""A call of AWS ends by its deadline whatever the other side does, repeats what can be repeated, and leaks nothing."""

import gc
import json
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support.aws import REGION, aws_client
from support.tcp_proxy import TcpProxy, tcp_proxy
from support.verifier import at_once

from keyrung_infra.local.certificates import ensure_authority, ensure_server
from keyrung_verifier.aws.client import AwsClient
from keyrung_verifier.aws.endpoint import Endpoint, find_endpoint
from keyrung_verifier.aws.errors import AwsRefusedError, AwsUnavailableError
from keyrung_verifier.errors import ConfigurationError

THROTTLED = (400, {"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException", "message": "slower"})
REFUSED = (400, {"__type": "AccessDeniedException", "Message": "no"})
DONE = (200, {"done": True})


@contextmanager
def scripted(
    *answers: tuple[int, Any], context: ssl.SSLContext | None = None
) -> Iterator[tuple[Endpoint, list[bytes]]]:
    """Answer with each in turn, the last for ever; yield where, and the bodies that came."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            status, members = answers[min(len(bodies), len(answers)) - 1]
            text = members if isinstance(members, bytes) else json.dumps(members).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    server = Quiet(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Endpoint(scheme="http" if context is None else "https", host="127.0.0.1", port=server.server_port), bodies
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def serving_tls(tmp_path: Path) -> ssl.SSLContext:
    """A server's side of TLS, with a certificate of the authority `ca.pem`."""
    authority, authority_key, certificate, key = (
        tmp_path / name for name in ("ca.pem", "ca.key", "tls.pem", "tls.key")
    )
    now = datetime.now(UTC)
    ensure_authority(authority, authority_key, now=now)
    ensure_server(certificate, key, authority=authority, authority_key=authority_key, now=now)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def call(client: AwsClient, operation: str = "Anything") -> dict[str, Any]:
    return client.call(f"Service.{operation}", {"a": 1}, json_version="1.0")


def list_keys(client: AwsClient) -> dict[str, Any]:
    return client.call("TrentService.ListKeys", {}, json_version="1.1")


def test_a_throttled_call_is_repeated_as_it_was_until_it_is_done() -> None:
    with scripted(THROTTLED, (500, b"<html>"), DONE) as (endpoint, bodies):
        assert call(aws_client("kms", endpoint)) == {"done": True}

    assert bodies == [b'{"a": 1}'] * 3


@pytest.mark.parametrize(
    ("answer", "reason"), [(THROTTLED, "throttled"), ((503, b""), "failed"), ((200, b"[]"), "failed")]
)
def test_a_service_that_goes_on_failing_is_unavailable_after_a_bounded_number_of_tries(
    answer: tuple[int, Any], reason: str
) -> None:
    with scripted(answer) as (endpoint, bodies), pytest.raises(AwsUnavailableError) as failed:
        call(aws_client("kms", endpoint))

    assert failed.value.reason == reason
    assert len(bodies) <= 6


def test_a_refusal_is_told_at_once_with_its_code() -> None:
    with scripted(REFUSED) as (endpoint, bodies), pytest.raises(AwsRefusedError) as refused:
        call(aws_client("kms", endpoint))

    assert (refused.value.code, len(bodies)) == ("AccessDeniedException", 1)


def test_waits_between_tries_are_spread_and_grow() -> None:
    waits: list[float] = []
    with scripted(THROTTLED) as (endpoint, _):
        client = aws_client("kms", endpoint, sleep=waits.append, call_seconds=60)
        for _ in range(8):
            with pytest.raises(AwsUnavailableError):
                call(client)

    assert len(waits) == 8 * 5
    assert len(set(waits)) == len(waits)
    assert max(waits[0::5]) <= 0.05
    assert 0.05 < max(waits[4::5]) <= 0.8


def test_no_wait_goes_beyond_the_deadline() -> None:
    with scripted(THROTTLED) as (endpoint, bodies), pytest.raises(AwsUnavailableError):
        call(aws_client("kms", endpoint, call_seconds=0.001, sleep=lambda _: pytest.fail("waited")))

    assert len(bodies) <= 1


def open_files() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_a_server_that_hangs_or_drips_costs_the_calls_time_and_no_descriptor(proxy: TcpProxy, fault: str) -> None:
    patient = aws_client("kms", proxy.endpoint)
    list_keys(patient)  # the stand-in loads what it needs at the first call
    patient.close()
    client = aws_client("kms", proxy.endpoint, call_seconds=0.6)
    list_keys(client)
    before = open_files()
    proxy.hang, proxy.drip_seconds = fault == "hang", 0.2 if fault == "drip" else 0.0

    began = time.monotonic()
    for _ in range(4):
        with pytest.raises(AwsUnavailableError, match="unreachable"):
            list_keys(client)
    took_seconds = time.monotonic() - began

    assert took_seconds < 4 * 0.6 + 2
    proxy.hang, proxy.drip_seconds = False, 0.0
    client.close()
    proxy.cut()
    deadline = time.monotonic() + 5
    while open_files() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert open_files() <= before
    list_keys(client)
    client.close()


def test_one_hanging_try_leaves_time_for_another(proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyrung_verifier.aws.client.TRY_SECONDS", 0.3)
    proxy.hang = True

    def recover(_seconds: float) -> None:
        proxy.hang = False

    assert "Keys" in list_keys(aws_client("kms", proxy.endpoint, sleep=recover))


def test_calls_share_connections() -> None:
    with scripted(DONE) as (endpoint, _), tcp_proxy(endpoint) as proxy:
        client = aws_client("kms", proxy.endpoint)
        for _ in range(10):
            call(client)
        assert proxy.connections_count == 1

        at_once(8, lambda _: [call(client) for _ in range(5)])

        assert proxy.connections_count <= 8
        client.close()


def test_a_connection_that_was_closed_meanwhile_is_replaced() -> None:
    with scripted(DONE) as (endpoint, _), tcp_proxy(endpoint) as proxy:
        client = aws_client("kms", proxy.endpoint)
        call(client)
        proxy.cut()

        assert call(client) == {"done": True}
        assert proxy.connections_count == 2
        client.close()


def test_nobody_listens() -> None:
    with scripted(DONE) as (endpoint, _):
        pass

    with pytest.raises(AwsUnavailableError, match="unreachable"):
        call(aws_client("kms", endpoint))


def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyrung_verifier.aws.connections.MAX_RESPONSE_BYTES", 1000)
    with scripted((200, b"x" * 1001)) as (endpoint, _), pytest.raises(AwsUnavailableError):
        call(aws_client("kms", endpoint))


def test_a_certificate_that_nobody_vouches_for_is_never_accepted(serving_tls: ssl.SSLContext) -> None:
    with scripted(DONE, context=serving_tls) as (endpoint, bodies), pytest.raises(AwsUnavailableError):
        call(aws_client("kms", endpoint))

    assert bodies == []


def test_a_certificate_of_a_trusted_authority_is_accepted(
    tmp_path: Path, serving_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

    with scripted(DONE, context=serving_tls) as (endpoint, _):
        client = aws_client("kms", endpoint)
        assert call(client) == {"done": True}
        client.close()


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, "https kms.eu-central-1.amazonaws.com"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:5000"}, "http 127.0.0.1:5000"),
        ({"AWS_ENDPOINT_URL": "http://a:1", "AWS_ENDPOINT_URL_KMS": "https://b/"}, "https b"),
        ({"AWS_ENDPOINT_URL": "http://[::1]:5000"}, "http [::1]:5000"),
    ],
)
def test_the_endpoint_is_awss_own_or_the_named_one(environment: dict[str, str], found: str) -> None:
    endpoint = find_endpoint("kms", REGION, environment)

    assert f"{endpoint.scheme} {endpoint.authority}" == found


@pytest.mark.parametrize("address", ["ftp://a", "a:1", "http://", "https://a/path", "https://u@a", "http://a:x"])
def test_an_endpoint_of_another_form_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match="AWS_ENDPOINT_URL"):
        find_endpoint("kms", REGION, {"AWS_ENDPOINT_URL": address})


@pytest.mark.parametrize("region", ["", "eu-central-1.evil.example/", "EU-CENTRAL-1", "eu-central-1\n"])
def test_a_region_is_never_more_than_a_region(region: str) -> None:
    with pytest.raises(ConfigurationError, match="no region"):
        find_endpoint("kms", region, {})


def test_the_secret_key_is_not_sent_or_told(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[bytes] = []
    real: Callable[..., Any] = AwsClient._signed

    def signed(self: AwsClient, *args: Any) -> Any:
        made = real(self, *args)
        sent.append(repr(made).encode())
        return made

    monkeypatch.setattr(AwsClient, "_signed", signed)
    with scripted(REFUSED) as (endpoint, bodies), pytest.raises(AwsRefusedError) as refused:
        call(aws_client("kms", endpoint))

    assert b"not-the-key-of-anybody" not in b"".join(sent + bodies) + repr(refused.value).encode()
