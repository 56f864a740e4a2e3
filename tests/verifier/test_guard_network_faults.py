"""Whatever breaks on the network between a guard and the verifier, the request does not pass, in bounded time."""

import asyncio
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.guarded import Recorder, guard_of
from support.lambda_events import http_event
from support.verifier import World

from keyrung_verifier.guard import asgi, aws_lambda
from keyrung_verifier.guard.asgi import Guard, Session, StepUpGuard, verifier_client
from keyrung_verifier.guard.aws_lambda import guarded
from keyrung_verifier.timed_connection import TimedConnection

ALLOW = json.dumps({"decision": True, "context": {"outcome": "allow", "policy_digest": "d"}}).encode()
Behave = Callable[[ssl.SSLSocket], None]


@contextmanager
def server(folder: Path, behave: Behave, *, name: str = "tls", host: str = "localhost") -> Iterator[str]:
    """Serve TLS connections, one after another, each by `behave`; yield the URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}-key.pem")
    listener = socket.create_server((socket.gethostbyname(host), 0))

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            with suppress(OSError), context.wrap_socket(plain, server_side=True) as connection:
                behave(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"https://{host}:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def request_on(connection: ssl.SSLSocket) -> tuple[bytes, bytes]:
    """Return head and body of a whole request, so that closing afterwards resets nothing."""
    data = b""
    while b"\r\n\r\n" not in data and (piece := connection.recv(65536)):
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    (length,) = re.findall(rb"(?i)content-length: (\d+)", head) or [b"0"]
    while len(body) < int(length) and (piece := connection.recv(65536)):
        body += piece
    return head, body


def answering(head: str, body: bytes = b"") -> Behave:
    def behave(connection: ssl.SSLSocket) -> None:
        request_on(connection)
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)

    return behave


def ok(body: bytes, *more: str) -> Behave:
    return answering("\n".join(["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *more]), body)


def by_lambda(guard: Guard, authority: Path) -> httpx.Response:
    tls = ssl.create_default_context(cafile=str(authority))
    function = guarded(guard, tls=tls)(lambda _event, _context: {"statusCode": 200, "headers": {}, "body": "passed"})
    answer = function(http_event("GET", "/accounts"), None)
    return httpx.Response(answer["statusCode"], headers=answer["headers"], text=answer["body"])


def by_asgi(guard: Guard, authority: Path) -> httpx.Response:
    async def send() -> httpx.Response:
        async with verifier_client(authority) as http:
            transport = httpx.ASGITransport(app=StepUpGuard(Recorder(), guard, http=http))
            async with httpx.AsyncClient(transport=transport, base_url="https://x.example") as client:
                return await client.get("/accounts")

    return asyncio.run(send())


Ask = Callable[..., httpx.Response]


@pytest.fixture(params=[by_lambda, by_asgi])
def ask(request: pytest.FixtureRequest, world: World, certificates: Path) -> Ask:
    """Give the answer to a request that is allowed, if somebody at this URL says so."""

    def answer(url: str, **changes: Any) -> httpx.Response:
        session = Session(subject_id="alice", session_id="s")
        guard = guard_of(world, verifier_url=url, identify=lambda _any: session, **changes)
        found: httpx.Response = request.param(guard, certificates / "tls-ca.pem")
        return found

    return answer


def check_refused(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert int(answer.headers["Retry-After"]) > 0


def test_no_fault_of_a_connection_is_taken_for_the_end_of_the_checks(
    world: World, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object, **_options: object) -> None:
        raise StopIteration  # what also ends the guard's steps

    monkeypatch.setattr(TimedConnection, "exchange", broken)
    guard = guard_of(
        world, verifier_url="https://v.example", identify=lambda _any: Session(subject_id="a", session_id="s")
    )

    assert by_lambda(guard, certificates / "tls-ca.pem").status_code == 500


def test_the_good_answer_that_all_others_differ_from_passes(ask: Ask, certificates: Path) -> None:
    with server(certificates, ok(ALLOW)) as url:
        assert ask(url).text == "passed"


BROKEN = {
    "closed at once": lambda _connection: None,
    "error": answering("HTTP/1.1 500 Internal Server Error\nContent-Length: 2", b"{}"),
    "unavailable": answering("HTTP/1.1 503 Service Unavailable\nContent-Length: 2", b"{}"),
    "redirect": answering("HTTP/1.1 307 Temporary Redirect\nLocation: https://localhost:1/\nContent-Length: 0"),
    "cut short": answering("HTTP/1.1 200 OK\nContent-Length: 5000", ALLOW),
    "no HTTP": answering("SSH-2.0-OpenSSH_9.2"),
    "endless head": answering("HTTP/1.1 200 OK\n" + "X: y\n" * 1000),
    "not JSON": ok(b"<html>"),
    "another shape": ok(b"[1]"),
    "too long": ok(ALLOW + b" " * 70_000),
    "endless": answering("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", b"ffff\r\n" + b" " * 0xFFFF + b"\r\nffff\r\n"),
    "compressed": ok(ALLOW, "Content-Encoding: gzip"),
}


@pytest.mark.parametrize("behave", BROKEN.values(), ids=BROKEN)
def test_a_verifier_that_cannot_decide_means_503_and_no_pass(ask: Ask, certificates: Path, behave: Behave) -> None:
    with server(certificates, behave) as url:
        check_refused(ask(url))


def silent(connection: ssl.SSLSocket) -> None:
    request_on(connection)
    with suppress(OSError):
        connection.recv(1)  # until the other side gives up


def dripping(connection: ssl.SSLSocket) -> None:
    request_on(connection)
    answer = f"HTTP/1.1 200 OK\r\nContent-Length: {len(ALLOW)}\r\nX: ".encode()
    while True:
        connection.sendall(answer[:1] or b"y")
        answer = answer[1:]
        time.sleep(0.02)


def dripping_body(connection: ssl.SSLSocket) -> None:
    request_on(connection)
    connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(ALLOW)}\r\n\r\n".encode())
    for each in ALLOW:
        connection.sendall(bytes([each]))
        time.sleep(0.02)


@pytest.mark.parametrize("behave", [silent, dripping, dripping_body])
def test_a_slow_verifier_costs_no_more_than_the_deadline(
    ask: Ask, certificates: Path, behave: Behave, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadline_seconds = 0.5
    for shell in (aws_lambda, asgi):
        monkeypatch.setattr(shell, "VERIFIER_DEADLINE_SECONDS", deadline_seconds)
    with server(certificates, behave) as url:
        began_seconds = time.monotonic()
        check_refused(ask(url))

        assert time.monotonic() - began_seconds < 4 * deadline_seconds


def test_a_certificate_of_a_foreign_authority_is_not_asked(ask: Ask, certificates: Path) -> None:
    asked: list[bytes] = []
    with server(certificates, lambda connection: asked.append(connection.recv(65536)), name="foreign") as url:
        check_refused(ask(url))

    assert asked in ([], [b""])


def test_a_certificate_for_another_name_is_not_asked(ask: Ask, certificates: Path) -> None:
    with server(certificates, ok(ALLOW), host="127.0.0.2") as url:
        check_refused(ask(url))


def test_a_name_or_port_where_nobody_answers_is_a_refusal(ask: Ask, certificates: Path) -> None:
    for url in ("https://localhost:1", "https://verifier.invalid"):
        check_refused(ask(url))


def test_the_environment_cannot_redirect_the_call(
    ask: Ask, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with server(certificates, ok(ALLOW)) as url:
        assert ask(url).status_code == 200


def test_who_calls_is_proved_by_the_given_signature_of_each_call(ask: Ask, certificates: Path) -> None:
    signed: list[tuple[str, str, bytes]] = []
    seen: list[tuple[bytes, bytes]] = []

    def sign(method: str, url: str, body: bytes) -> Mapping[str, str]:
        signed.append((method, url, body))
        return {"Authorization": "AWS4-HMAC-SHA256 Signature=1", "X-Amz-Date": "20261126T000000Z"}

    def behave(connection: ssl.SSLSocket) -> None:
        seen.append(request_on(connection))
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(ALLOW)}\r\n\r\n".encode() + ALLOW)

    with server(certificates, behave) as url:
        assert ask(url, authenticate=sign).status_code == 200

    ((method, signed_url, body),) = signed
    assert (method, signed_url) == ("POST", f"{url}/access/v1/evaluation")
    head, sent_body = seen[0]
    assert b"Authorization: AWS4-HMAC-SHA256 Signature=1" in head
    assert b"Basic" not in head
    assert sent_body == body
