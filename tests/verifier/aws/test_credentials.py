"""Credentials come from the environment or the platform's endpoint, are renewed in time, and go nowhere else."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from support.verifier import SettableClock, at_once

from keyrung_verifier.aws.credentials import find_credentials
from keyrung_verifier.aws.errors import AwsUnavailableError
from keyrung_verifier.errors import ConfigurationError


class Platform(BaseHTTPRequestHandler):
    """The platform's endpoint, which numbers what it hands out."""

    clock: ClassVar[SettableClock]
    tokens: ClassVar[list[str | None]]
    broken: ClassVar[bool]

    def do_GET(self) -> None:
        self.tokens.append(self.headers["Authorization"])
        answer: dict[str, Any] = {
            "AccessKeyId": f"id-{len(self.tokens)}",
            "SecretAccessKey": "the-secret",
            "Token": "the-token",
            "Expiration": (self.clock.now() + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        text = b"the-secret" if self.broken else json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def platform() -> Iterator[tuple[type[Platform], dict[str, str]]]:
    Platform.clock, Platform.tokens, Platform.broken = SettableClock(), [], False
    server = ThreadingHTTPServer(("127.0.0.1", 0), Platform)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    environment = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{server.server_port}/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "let me in",
    }
    yield Platform, environment
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_environment_comes_first() -> None:
    environment = {
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "token",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/",
    }

    found = find_credentials(environment, clock=SettableClock())()

    assert (found.access_key_id, found.secret_access_key, found.session_token) == ("id", "secret", "token")


def test_the_platforms_credentials_are_kept_and_renewed_before_their_end(
    platform: tuple[type[Platform], dict[str, str]],
) -> None:
    seen, environment = platform
    source = find_credentials(environment, clock=seen.clock)

    assert {each.access_key_id for each in at_once(20, lambda _: source())} == {"id-1"}
    seen.clock.advance(54 * 60)
    assert source().access_key_id == "id-1"
    seen.clock.advance(60)
    assert source().access_key_id == "id-2"
    assert seen.tokens == ["let me in"] * 2


def test_credentials_that_cannot_be_renewed_are_used_to_their_end_and_no_longer(
    platform: tuple[type[Platform], dict[str, str]],
) -> None:
    seen, environment = platform
    source = find_credentials(environment, clock=seen.clock)
    source()
    seen.broken = True

    seen.clock.advance(59 * 60)
    assert source().access_key_id == "id-1"
    seen.clock.advance(60)
    with pytest.raises(AwsUnavailableError) as refused:
        source()

    assert "the-secret" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("environment", [{}, {"AWS_ACCESS_KEY_ID": "id"}])
def test_no_credentials_is_a_mistake_of_the_configuration(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="AWS_ACCESS_KEY_ID"):
        find_credentials(environment, clock=SettableClock())


@pytest.mark.parametrize("uri", ["http://example.com/c", "http://169.254.169.254/c", "ftp://localhost/", "nonsense"])
def test_the_token_goes_to_no_other_machine_in_clear(uri: str) -> None:
    with pytest.raises(ConfigurationError, match="on this machine"):
        find_credentials({"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri}, clock=SettableClock())
