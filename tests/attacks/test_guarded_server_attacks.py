"""What a client may do on the wire to a guarded application: be decided as one request and served as another."""

import json
import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from socket import create_connection
from typing import cast
from urllib.parse import urlsplit

import pytest
from support.guarded import guard_of, parameters_of
from support.tls_server import running_verifier, serving_tls
from support.verifier import ORIGIN, Totp, World

from keyrung_infra.sample_api.bank import ROUTES, bank
from keyrung_verifier.guard.admission import MAX_BODY_BYTES
from keyrung_verifier.guard.asgi import App, StepUpGuard, verifier_client

ALICE = "Authorization: Bearer alice"
PROFILE = b'{"name": "x"}'


class Wire:
    """The application's TLS port."""

    def __init__(self, url: str, authority: Path) -> None:
        self._port = urlsplit(url).port
        self._tls = ssl.create_default_context(cafile=str(authority))

    def open(self) -> ssl.SSLSocket:
        return self._tls.wrap_socket(
            create_connection(("localhost", self._port), timeout=20), server_hostname="localhost"
        )

    def send(self, line: str, *headers: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
        """Send one request as it is written here; return status, headers and body of the answer."""
        with self.open() as connection:
            head = "\r\n".join([f"{line} HTTP/1.1", "Host: localhost", ALICE, "Connection: close", *headers])
            connection.sendall(f"{head}\r\n\r\n".encode("latin-1") + body)
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
        top, _, content = answer.partition(b"\r\n\r\n")
        status, *lines = top.decode("latin-1").split("\r\n")
        pairs = (each.partition(": ") for each in lines)
        return int(status.split()[1]), {name.lower(): value for name, _, value in pairs}, content


@pytest.fixture
def wire(world: World, certificates: Path) -> Iterator[Wire]:
    authority = certificates / "tls-ca.pem"
    with running_verifier(world, certificates) as verifier_url:
        guard = guard_of(world, verifier_url=verifier_url, issuer=ORIGIN, routes=ROUTES)
        app = StepUpGuard(cast(App, bank()), guard, http=verifier_client(authority))
        with serving_tls(app, certificates) as url:
            yield Wire(url, authority)


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))


def earn(world: World, wire: Wire, totp: Totp) -> str:
    """Return the header with an assertion for a change of the profile."""
    status, headers, _ = wire.send("POST /profile", f"Content-Length: {len(PROFILE)}", body=PROFILE)
    assert status == 401
    challenge_id = parameters_of(headers["www-authenticate"])["stepup_uri"].rpartition("/")[2]
    earned = world.respond_code(challenge_id, totp.code(world.clock.now()))
    return f"Step-Up-Assertion: {earned.body['assertion']}"


def test_a_body_in_chunks_is_bound_as_the_bytes_that_the_application_reads(
    world: World, wire: Wire, totp: Totp
) -> None:
    assertion = earn(world, wire, totp)
    coding = "Transfer-Encoding: chunked"

    other = wire.send("POST /profile", assertion, coding, body=chunked(b'{"name"', b': "y"}'))
    same = wire.send("POST /profile", assertion, coding, body=chunked(PROFILE[:3], PROFILE[3:]))

    assert other[0] == 403
    assert (same[0], json.loads(same[2])) == (200, {"updated": True, "bytes": len(PROFILE)})


def test_a_body_with_two_lengths_is_refused_or_bound_as_what_the_application_reads(
    world: World, wire: Wire, totp: Totp
) -> None:
    assertion = earn(world, wire, totp)
    headers = (assertion, "Transfer-Encoding: chunked", f"Content-Length: {len(PROFILE)}")

    assert wire.send("POST /profile", *headers, body=chunked(b'{"name": "y"}'))[0] in {400, 403}
    assert wire.send("POST /profile", assertion, *["Content-Length: 13", "Content-Length: 14"], body=PROFILE)[0] == 400


@pytest.mark.parametrize("length", [f"Content-Length: {MAX_BODY_BYTES + 1}", "Transfer-Encoding: chunked"])
def test_a_body_that_is_too_long_is_refused_before_anything_is_asked(world: World, wire: Wire, length: str) -> None:
    body = b"a" * (MAX_BODY_BYTES + 1)
    before = len(world.records("access.evaluated"))

    status, _, _ = wire.send("POST /profile", length, body=body if "Content" in length else chunked(body))

    assert status == 413
    assert len(world.records("access.evaluated")) == before


def test_a_client_that_goes_away_in_its_body_leaves_nothing_undecided_or_waiting(world: World, wire: Wire) -> None:
    with wire.open() as connection:
        connection.sendall(f"POST /profile HTTP/1.1\r\nHost: x\r\n{ALICE}\r\nContent-Length: 100\r\n\r\n{{".encode())

    assert wire.send("GET /accounts")[0] == 200
    assert [record["action"] for record in world.records("access.evaluated")] == ["accounts.read"]


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PUT", "get", "GET2"])
def test_a_method_that_no_route_names_reaches_nothing(world: World, wire: Wire, method: str) -> None:
    assert wire.send(f"{method} /accounts")[0] in {400, 404}
    assert world.records("access.evaluated") == []


@pytest.mark.parametrize(
    "target",
    [
        *(
            "//profile",
            "/./profile",
            "/x/../profile",
            "/profile/",
            "/PROFILE",
            "/profile%2f",
            "/profile%00",
            "/profile%20",
        ),
        *(
            "/%2e/profile",
            "/x/%2e%2e/profile",
            "/profile;a=1",
            "/profile\\",
            "profile",
            "*",
            "https://evil.example//profile",
        ),
    ],
)
def test_no_other_spelling_of_a_target_is_the_route(world: World, wire: Wire, target: str) -> None:
    status, _, _ = wire.send(f"POST {target}", "Content-Length: 2", body=b"{}")

    assert status in {400, 404}
    assert world.records("access.evaluated") == []


@pytest.mark.parametrize(
    ("target", "retried"),
    [("/pro%66ile", 403), ("/profile?x=%zz", 403), ("/profile?", 200), ("https://evil.example/profile", 200)],
)
def test_a_spelling_that_the_server_takes_for_the_route_is_guarded_as_the_route(
    world: World, wire: Wire, totp: Totp, target: str, retried: int
) -> None:
    assertion = earn(world, wire, totp)
    length = f"Content-Length: {len(PROFILE)}"

    assert wire.send(f"POST {target}", length, body=PROFILE)[0] == 401
    assert world.records("access.evaluated")[-1]["action"] == "profile.update"
    # Only what reaches the application as the very same request is paid for.
    assert wire.send(f"POST {target}", assertion, length, body=PROFILE)[0] == retried


def test_headers_that_speak_of_another_path_method_or_person_change_nothing(
    world: World, wire: Wire, totp: Totp
) -> None:
    headers = [
        *("X-Original-URL: /accounts", "X-Rewrite-URL: /accounts", "X-HTTP-Method-Override: GET"),
        *("X-Forwarded-User: bob", "X-Forwarded-Prefix: /accounts", "Forwarded: host=evil.example"),
    ]

    assert wire.send("POST /profile", *headers, "Content-Length: 13", body=PROFILE)[0] == 401
    assert world.records("access.evaluated")[-1]["action"] == "profile.update"


def test_an_assertion_that_comes_twice_or_under_an_obsolete_folding_is_refused(
    world: World, wire: Wire, totp: Totp
) -> None:
    assertion = earn(world, wire, totp)
    length = f"Content-Length: {len(PROFILE)}"

    for headers in ([assertion, assertion], [assertion, "step-up-assertion: a.b.c"], [assertion + ",\r\n a.b.c"]):
        assert wire.send("POST /profile", *headers, length, body=PROFILE)[0] == 400
    assert wire.send("POST /profile", assertion, length, body=PROFILE)[0] == 200


def test_two_requests_on_one_connection_are_decided_one_by_one(world: World, wire: Wire, totp: Totp) -> None:
    assertion = earn(world, wire, totp)
    first = f"POST /profile HTTP/1.1\r\nHost: x\r\n{ALICE}\r\n{assertion}\r\nContent-Length: {len(PROFILE)}\r\n\r\n"
    second = "POST /profile HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    with wire.open() as connection:
        connection.sendall(first.encode() + PROFILE + second.encode())
        answer = b""
        while piece := connection.recv(65536):
            answer += piece

    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"401"]
