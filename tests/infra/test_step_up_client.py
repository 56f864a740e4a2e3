"""The person's client against a real verifier, pages in between that relay or alter, and what is no verifier at all."""

import base64
import http.server
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.deployment import Template, running_deployment
from support.project import Project
from support.serving import LARGE_TRANSFER, application, challenge, log_report, serving, url_of
from support.softhsm import SoftHsmToken, make_token, point_at

from keyrung_infra.errors import InfraError
from keyrung_infra.local.certificates import ensure_authority
from keyrung_infra.step_up_client import StepUpClient, StepUpRefusedError
from keyrung_infra.tools import Tools
from keyrung_infra.user_token import UserToken, open_user_token, provision_user_key

pytestmark = pytest.mark.xdist_group("step-up-client")
# Takes what the verifier answered and what was asked for; gives what the person gets.
Alter = Callable[[httpx.Response, str], tuple[int, bytes]]


@pytest.fixture(scope="module")
def running(template: Template, tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A deployed project whose verifier runs for all of these tests."""
    with (
        running_deployment(template, tmp_path_factory.mktemp("client") / "project", tools) as project,
        serving(project),
    ):
        yield project


@pytest.fixture(scope="module")
def eves_token(running: Project, tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> SoftHsmToken:
    """A token with a key that is registered for Eve."""
    token = make_token(tmp_path_factory.mktemp("eve") / "token", tools)
    options = ("--token", token.label, "--module", str(token.module), "--pin", f"file:{token.layout.pin}")
    running.run(
        *("keyrung", "credential", "add", "token", "eve", *options, "--allow-software"),
        environment={"SOFTHSM2_CONF": str(token.config)},
    )
    return token


@pytest.fixture
def token(eves_token: SoftHsmToken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> UserToken:
    point_at(eves_token.config, eves_token.module, monkeypatch)
    return open_user_token(eves_token.label, eves_token.settings(), root=tmp_path)


@pytest.fixture
def client(running: Project) -> Iterator[StepUpClient]:
    made = StepUpClient(running.stack.layout.openbao.ca)
    yield made
    made.close()


@pytest.fixture
def uri(running: Project, eves_token: SoftHsmToken) -> str:
    """Where Eve answers a new challenge."""
    with application(running) as http:
        return challenge(http, "eve", "payments.transfer", **LARGE_TRANSFER)


@contextmanager
def _in_between(project: Project, alter: Alter) -> Iterator[str]:
    """Run a page with a trusted certificate that relays to the verifier and alters its answers; yield its URL."""
    verifier = httpx.Client(base_url=url_of(project), verify=False)  # noqa: S501 - the attacker trusts anybody

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, answer = alter(verifier.request(self.command, self.path, content=body), self.path)
            self.send_response(status)
            self.send_header("Location", f"{url_of(project)}{self.path}")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_GET  # noqa: N815 - the name that http.server looks for

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    layout = project.stack.layout
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(layout.verifier_certificate, layout.verifier_certificate_key)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server, verifier:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"https://localhost:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _unaltered(answer: httpx.Response, _path: str) -> tuple[int, bytes]:
    return answer.status_code, answer.content


def _moved(uri: str, page: str) -> str:
    """Return the same path at the page in between."""
    return f"{page}/{uri.split('/', 3)[3]}"


def _with_text(replace: Callable[[bytes], bytes]) -> Alter:
    """Alter the text to sign."""

    def alter(answer: httpx.Response, path: str) -> tuple[int, bytes]:
        if path.endswith("/response"):
            return answer.status_code, answer.content
        view: dict[str, Any] = answer.json()
        (offer,) = view["factors"]
        text = base64.urlsafe_b64decode(offer["signing_input"] + "==")
        offer["signing_input"] = base64.urlsafe_b64encode(replace(text)).rstrip(b"=").decode()
        return 200, json.dumps(view).encode()

    return alter


def _field(text: str) -> bytes:
    return len(text).to_bytes(4) + text.encode()


def test_the_token_signs_for_the_verifier_it_is_connected_to(
    running: Project, client: StepUpClient, token: UserToken, uri: str
) -> None:
    assert client.challenge(uri).display == "Transfer 2 500.00 EUR to Bob"
    assert client.answer_token(uri, token).count(".") == 2
    with pytest.raises(StepUpRefusedError, match="the verifier refused the answer: ask for a new challenge"):
        client.answer_token(uri, token)
    assert log_report(running)["ok"]


def test_a_page_that_relays_everything_gets_no_signature(
    running: Project, client: StepUpClient, token: UserToken, uri: str
) -> None:
    with (
        _in_between(running, _unaltered) as page,
        pytest.raises(InfraError, match=f"not for this challenge of {page}: do not sign"),
    ):
        client.answer_token(_moved(uri, page), token)
    # And nothing was used up.
    assert client.answer_token(uri, token)


def test_a_signature_for_the_pages_own_origin_is_worth_nothing_at_the_verifier(
    running: Project, client: StepUpClient, token: UserToken, uri: str
) -> None:
    page_url: list[str] = []
    real = url_of(running)

    def name_the_page(text: bytes) -> bytes:
        return text.replace(_field(real), _field(page_url[0]))

    with _in_between(running, _with_text(name_the_page)) as page:
        page_url.append(page)
        with pytest.raises(StepUpRefusedError):
            client.answer_token(_moved(uri, page), token)


@pytest.mark.parametrize(
    "replace",
    [
        lambda text: b"",
        lambda text: b"not a text for anything",
        lambda text: text[1:],
        lambda text: text.replace(b"v1", b"v2", 1),
    ],
)
def test_a_text_of_another_form_is_not_signed(
    running: Project, client: StepUpClient, token: UserToken, uri: str, replace: Callable[[bytes], bytes]
) -> None:
    with (
        _in_between(running, _with_text(replace)) as page,
        pytest.raises(InfraError, match="do not sign"),
    ):
        client.answer_token(_moved(uri, page), token)


def test_the_text_of_another_challenge_is_not_signed_even_from_the_right_origin(
    running: Project, client: StepUpClient, token: UserToken, uri: str
) -> None:
    with application(running) as http:
        other = challenge(http, "eve", "payments.transfer", **{**LARGE_TRANSFER, "payee": "Mallory"})
    shown = json.loads(httpx.get(other, verify=False).content)  # noqa: S501 - the attacker trusts anybody
    page_url: list[str] = []

    def swap(answer: httpx.Response, path: str) -> tuple[int, bytes]:
        real = url_of(running)
        (offer,) = shown["factors"]
        text = base64.urlsafe_b64decode(offer["signing_input"] + "==").replace(_field(real), _field(page_url[0]))
        swapped = {"signing_input": base64.urlsafe_b64encode(text).rstrip(b"=").decode()}
        return 200, json.dumps({**shown, "factors": [{**offer, **swapped}]}).encode()

    with _in_between(running, swap) as page:
        page_url.append(page)
        with pytest.raises(InfraError, match="not for this challenge"):
            client.answer_token(_moved(uri, page), token)


@pytest.mark.parametrize(
    "answer",
    [b"", b"<html>", b"[]", b"{}", b'{"factors": 1}', b'{"assertion": 1}', b"\xff", b"[" * 100_000],
)
def test_an_answer_that_is_no_verifiers_is_one_sentence(
    running: Project, client: StepUpClient, token: UserToken, uri: str, answer: bytes
) -> None:
    with _in_between(running, lambda _answer, _path: (200, answer)) as page:
        for act in (lambda: client.answer_code(_moved(uri, page), "1"), lambda: client.challenge(_moved(uri, page))):
            with pytest.raises(InfraError, match="did not answer as the verifier does"):
                act()


def test_a_right_answer_that_is_not_enough_says_that_another_one_is_needed(
    running: Project, client: StepUpClient, uri: str
) -> None:
    with (
        _in_between(running, lambda _answer, _path: (202, b"{}")) as page,
        pytest.raises(InfraError, match="needs another one besides: answer the same challenge"),
    ):
        client.answer_code(_moved(uri, page), "123456")


def test_a_redirect_is_not_followed(running: Project, client: StepUpClient, uri: str) -> None:
    for status in (301, 302, 303, 307, 308):
        with (
            _in_between(running, lambda _answer, _path, status=status: (status, b"")) as page,  # type: ignore[misc]
            pytest.raises(StepUpRefusedError) as caught,
        ):
            client.challenge(_moved(uri, page))
        assert caught.value.fields == {"status": str(status)}


def test_a_certificate_of_another_authority_is_refused(running: Project, uri: str, tmp_path: Path) -> None:
    ensure_authority(tmp_path / "ca.pem", tmp_path / "ca-key.pem", now=datetime.now(UTC))
    stranger = StepUpClient(tmp_path / "ca.pem")
    with pytest.raises(InfraError, match="certificate is of the expected authority"):
        stranger.challenge(uri)
    stranger.close()


@pytest.mark.parametrize("change", [("https://", "http://"), ("https://localhost", "localhost"), ("https://", "")])
def test_nothing_is_asked_or_signed_over_anything_but_https(
    client: StepUpClient, token: UserToken, uri: str, change: tuple[str, str]
) -> None:
    with pytest.raises(InfraError, match="not at an https address"):
        client.answer_token(uri.replace(*change), token)


def test_a_name_in_front_of_the_host_is_not_the_origin(client: StepUpClient, token: UserToken, uri: str) -> None:
    with pytest.raises(InfraError, match="do not sign"):
        client.answer_token(uri.replace("https://", "https://bank.example@"), token)


def test_a_verifier_that_is_not_there_is_one_sentence(client: StepUpClient) -> None:
    with pytest.raises(InfraError, match="https://localhost:1 did not answer"):
        client.challenge("https://localhost:1/stepup/v1/challenges/x")


def test_another_token_with_a_key_of_the_same_name_gets_no_further(
    client: StepUpClient, uri: str, softhsm_token: SoftHsmToken, tmp_path: Path
) -> None:
    settings = softhsm_token.settings()
    provision_user_key(softhsm_token.label, settings, root=tmp_path, allow_software=True)
    with pytest.raises(StepUpRefusedError):
        client.answer_token(uri, open_user_token(softhsm_token.label, settings, root=tmp_path))
