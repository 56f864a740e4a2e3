"""What one client can take of the server: connections, time and memory are bounded, whatever it sends or leaves out."""

import os
import socket
import sqlite3
import ssl
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import uvicorn
from support.asgi_shell import asgi_shell
from support.verifier import World, evaluation

from keyrung_infra.local.certificates import ensure_authority, ensure_server
from keyrung_infra.serve import app as app_module
from keyrung_infra.serve import bounded_http, run
from keyrung_infra.serve.limits import MAX_HEAD_BYTES

# Long enough for a handshake on a busy machine, short enough to wait for.
BOUND_SECONDS = 1
WAIT_SECONDS = 20
MAX_CONNECTIONS = 5
_HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
_HEAD = b"POST /access/v1/evaluation HTTP/1.1\r\nHost: localhost\r\n"


@dataclass(frozen=True, kw_only=True)
class Running:
    """The real server around a verifier of the test, in a thread."""

    port: int
    trust: ssl.SSLContext
    server: uvicorn.Server
    world: World

    def plain(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_SECONDS)

    def tls(self) -> ssl.SSLSocket:
        return self.trust.wrap_socket(self.plain(), server_hostname="localhost")

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=f"https://localhost:{self.port}", verify=self.trust, timeout=WAIT_SECONDS)

    def answers(self) -> bool:
        with self.client() as client:
            return client.get("/healthz").status_code == 200


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture
def running(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr(bounded_http, "REQUEST_SECONDS", BOUND_SECONDS)
    monkeypatch.setattr(bounded_http, "HANDSHAKE_SECONDS", BOUND_SECONDS)
    monkeypatch.setattr(bounded_http, "MAX_CONNECTIONS", MAX_CONNECTIONS)
    monkeypatch.setattr(app_module, "_MAINTENANCE_SECONDS", 3600)
    monkeypatch.setattr(run, "KEEP_ALIVE_SECONDS", BOUND_SECONDS)
    now = datetime.now(UTC)
    authority, certificate = tmp_path / "ca.pem", tmp_path / "server.pem"
    ensure_authority(authority, tmp_path / "ca.key", now=now)
    ensure_server(certificate, tmp_path / "server.key", authority=authority, authority_key=tmp_path / "ca.key", now=now)
    ready = threading.Event()
    app = asgi_shell(world.verifier, on_ready=ready.set)
    server = run.bounded_server(app, certificate=certificate, key=tmp_path / "server.key")
    with run.listen(0) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        assert ready.wait(WAIT_SECONDS)
        trust = ssl.create_default_context(cafile=str(authority))
        made = Running(port=listener.getsockname()[1], trust=trust, server=server, world=world)
        assert made.answers()
        yield made
        server.should_exit = True
        thread.join()


def _ended(connection: socket.socket) -> bytes:
    """Return what comes until the server ends the connection, which it must."""
    received = b""
    with suppress(ConnectionError, ssl.SSLError):
        while part := connection.recv(65536):
            received += part
    return received


def _answer(connection: socket.socket) -> bytes:
    """Return the answer to a question for the health, which may come in parts."""
    received = b""
    while not received.endswith(b"}"):
        received += connection.recv(65536) or b"}"
    return received


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\r\n",
        b"G",
        _HEAD,
        _HEAD + b"Content-Length: 100\r\n\r\n",
        _HEAD + b"Content-Length: 100\r\n\r\n{",
        _HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
        _HEALTH + b"GET /heal",
    ],
    ids=["nothing", "a line end", "a letter", "half a head", "no body", "half a body", "half a chunk", "the next one"],
)
def test_a_request_that_never_ends_ends_with_its_connection(running: Running, sent: bytes) -> None:
    before = _descriptors()
    with running.tls() as connection:
        connection.sendall(sent)
        assert running.answers()
        _ended(connection)
    _until(lambda: _descriptors() <= before)


@pytest.mark.parametrize("head", [_HEAD, _HEAD + b"Content-Length: 30000\r\n\r\n"], ids=["head", "body"])
def test_a_request_that_trickles_in_gains_no_time(running: Running, head: bytes) -> None:
    began = time.monotonic()
    with running.tls() as connection:
        connection.sendall(head)
        with suppress(ConnectionError, ssl.SSLError):
            while time.monotonic() < began + WAIT_SECONDS:
                connection.sendall(b"x" if b"Content" in head else b"X: 1\r\n")
                time.sleep(BOUND_SECONDS / 20)
    assert time.monotonic() < began + WAIT_SECONDS


def test_a_connection_without_a_handshake_is_ended(running: Running) -> None:
    before = _descriptors()
    with ExitStack() as stack:
        connections = [stack.enter_context(running.plain()) for _ in range(20)]
        assert running.answers()
        for connection in connections:
            assert _ended(connection) == b""
    _until(lambda: _descriptors() <= before)


def test_an_idle_connection_is_ended_and_a_busy_one_is_kept(running: Running) -> None:
    with running.tls() as idle, running.tls() as busy:
        until = time.monotonic() + 3 * BOUND_SECONDS
        idle.sendall(_HEALTH)
        while time.monotonic() < until:
            busy.sendall(_HEALTH)
            assert _answer(busy).startswith(b"HTTP/1.1 200")
            time.sleep(BOUND_SECONDS / 10)
        assert _ended(idle).startswith(b"HTTP/1.1 200")


def test_connections_beyond_the_bound_are_ended_and_there_is_room_again_afterwards(running: Running) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(running.tls()) for _ in range(MAX_CONNECTIONS)]
        for connection in held:
            connection.sendall(_HEALTH)
            assert _answer(connection).startswith(b"HTTP/1.1 200")
        with pytest.raises(httpx.TransportError):
            running.answers()
    _until(running.answers)


@pytest.mark.parametrize("line", [b"a" * 1000, b"X: 1\r\n", b"X: " + b"a" * 500 + b"\r\n"])
def test_a_head_without_end_is_refused_before_it_fills_memory(running: Running, line: bytes) -> None:
    sent = 0
    with running.tls() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: 1\r\n")
        with suppress(ConnectionError, ssl.SSLError):
            while sent < 100 * MAX_HEAD_BYTES:
                connection.sendall(line)
                sent += len(line)
    # What the kernel and TLS take in before the sender learns of the end is not the server's memory.
    assert sent < 100 * MAX_HEAD_BYTES
    assert running.answers()


def test_an_answer_on_an_open_connection_does_not_wait_for_anything(running: Running) -> None:
    """Held back by Nagle's algorithm, an answer takes longer than a new connection with its handshake."""
    with running.client() as kept:
        kept.get("/healthz")
        on_kept, on_new = [], []
        for _ in range(20):
            began = time.perf_counter()
            kept.get("/healthz")
            middle = time.perf_counter()
            running.answers()
            on_kept.append(middle - began)
            on_new.append(time.perf_counter() - middle)
    assert statistics.median(on_kept) < statistics.median(on_new)


def test_a_request_under_way_is_answered_when_the_server_stops(running: Running) -> None:
    world, answers = running.world, []
    body = evaluation("accounts.read")

    def ask() -> None:
        with running.client() as client:
            answers.append(client.post("/access/v1/evaluation", json=body, auth=("sample-api", "s" * 40)))

    with sqlite3.connect(world.folder / "store.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        thread = threading.Thread(target=ask)
        thread.start()
        _until(lambda: len(running.server.server_state.tasks) > 0)
        running.server.should_exit = True
        time.sleep(0.3)
        other.execute("ROLLBACK")
    thread.join()
    assert answers[0].json()["decision"] is True
    with pytest.raises(OSError, match="refused"):
        running.plain()
