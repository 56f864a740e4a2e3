"""The client's transports: a step-up is answered once, and nothing goes anywhere but where it belongs."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import cast

import httpx
import pytest
from support.dpop import TOKEN, DpopClient
from support.guarded import PUBLIC_URL, Guarded, guard_of
from support.tls_server import running_verifier, serving_tls
from support.verifier import ORIGIN, Totp, World

from keyrung_infra.sample_api.bank import ROUTES, bank
from keyrung_verifier.client.transport import AsyncStepUpTransport, StepUpTransport
from keyrung_verifier.errors import AssertionInvalidError, ConfigurationError
from keyrung_verifier.guard.asgi import App, Session, StepUpGuard, verifier_client

API = "https://bank.example"
VERIFIER = "https://verifier.example"
CHALLENGE = f'Bearer error="insufficient_user_authentication", acr_values="phr", stepup_uri="{VERIFIER}/c/1"'


class Api:
    """An API whose answers the test writes; it remembers what it was asked, and what the client answered."""

    def __init__(self, *answers: httpx.Response | str) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.answered: list[str] = []
        self.earn: Callable[[], str] = lambda: "a.b.c"

    def serve(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
        return httpx.Response(401, headers={"WWW-Authenticate": answer}) if isinstance(answer, str) else answer

    def answer(self, uri: str) -> str:
        self.answered.append(uri)
        return self.earn()

    def client(self, *, follow_redirects: bool = False) -> httpx.Client:
        inner = httpx.MockTransport(self.serve)
        transport = StepUpTransport(inner, api_url=API, verifier_url=VERIFIER, answer=self.answer)
        return httpx.Client(transport=transport, base_url=API, follow_redirects=follow_redirects)

    @property
    def assertions(self) -> list[str | None]:
        return [request.headers.get("Step-Up-Assertion") for request in self.requests]


def test_a_challenge_is_answered_and_the_request_sent_again_as_it_was() -> None:
    api = Api(CHALLENGE, httpx.Response(200, text="done"))

    with api.client() as client:
        answer = client.put("/profile?a=1", content=b"body", headers={"X-Own": "1"})

    assert (answer.status_code, answer.text) == (200, "done")
    assert api.answered == [f"{VERIFIER}/c/1"]
    assert api.assertions == [None, "a.b.c"]
    first, second = api.requests
    assert (second.method, second.url, second.read()) == (first.method, first.url, b"body")
    assert dict(second.headers) == {**first.headers, "step-up-assertion": "a.b.c"}
    assert "Step-Up-Assertion" not in answer.request.headers


def test_a_second_challenge_is_given_back_and_nothing_loops() -> None:
    api = Api(CHALLENGE)

    with api.client() as client:
        answer = client.get("/profile")

    assert answer.status_code == 401
    assert (len(api.requests), len(api.answered)) == (2, 1)


def test_a_body_that_comes_in_pieces_is_sent_again_whole() -> None:
    api = Api(CHALLENGE, httpx.Response(200))

    def pieces() -> Iterator[bytes]:
        yield from (b"one", b"two")

    with api.client() as client:
        client.post("/profile", content=pieces())

    assert [request.read() for request in api.requests] == [b"onetwo"] * 2


@pytest.mark.parametrize(
    "uri",
    [
        "https://evil.example/c/1",
        "http://verifier.example/c/1",
        "https://verifier.example:444/c/1",
        "https://verifier.example@evil.example/c/1",
        "https://evil@verifier.example/c/1",
        "https://verifier.example.evil.example/c/1",
        "https://VERIFIER.example.evil/c/1",
        "//verifier.example/c/1",
        "/c/1",
        "javascript:alert(1)",
        "https://[::1",
        "",
    ],
)
def test_a_challenge_of_another_place_is_not_answered(uri: str) -> None:
    api = Api(CHALLENGE.replace(f"{VERIFIER}/c/1", uri))

    with api.client() as client:
        assert client.get("/profile").status_code == 401

    assert (api.answered, api.assertions) == ([], [None])


@pytest.mark.parametrize(
    "url",
    ["https://evil.example/x", "http://bank.example/x", "https://bank.example:444/x", "https://api.bank.example/x"],
)
def test_a_challenge_to_a_request_to_another_place_is_not_answered(url: str) -> None:
    api = Api(CHALLENGE)

    with api.client() as client:
        assert client.get(url).status_code == 401

    assert (api.answered, api.assertions) == ([], [None])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_after_the_step_up_does_not_take_the_assertion_along(status: int) -> None:
    moved = httpx.Response(status, headers={"Location": "https://evil.example/take"})
    api = Api(CHALLENGE, moved, httpx.Response(200))

    with api.client(follow_redirects=True) as client:
        client.post("/profile", content=b"body")

    assert [request.url.host for request in api.requests] == ["bank.example", "bank.example", "evil.example"]
    assert api.assertions == [None, "a.b.c", None]


@pytest.mark.parametrize("status", [200, 400, 403, 407, 500])
def test_only_a_401_is_a_challenge(status: int) -> None:
    api = Api(httpx.Response(status, headers={"WWW-Authenticate": CHALLENGE}))

    with api.client() as client:
        assert client.get("/profile").status_code == status

    assert api.answered == []


def test_a_request_that_brings_an_assertion_already_is_sent_once() -> None:
    api = Api(CHALLENGE)

    with api.client() as client:
        client.get("/profile", headers={"Step-Up-Assertion": "own.own.own"})

    assert api.assertions == ["own.own.own"]


@pytest.mark.parametrize("assertion", ["", "a.b", "a.b.c\r\nX: y", "a.b.c\n", " a.b.c", "Bearer a.b.c"])
def test_what_is_no_assertion_is_not_sent_and_not_repeated_in_the_error(assertion: str) -> None:
    api = Api(CHALLENGE)
    api.earn = lambda: assertion

    with api.client() as client, pytest.raises(AssertionInvalidError) as caught:
        client.get("/profile")

    assert len(api.requests) == 1
    assert not assertion or assertion not in str(caught.value)


def test_a_person_who_does_not_answer_ends_the_request() -> None:
    api = Api(CHALLENGE)

    def cancel() -> str:
        raise LookupError("cancelled")

    api.earn = cancel
    with api.client() as client, pytest.raises(LookupError, match="cancelled"):
        client.get("/profile")

    assert len(api.requests) == 1


@pytest.mark.parametrize(
    "wrong", ["http://bank.example", "bank.example", "https:///x", "https://me:hunter2@bank.example"]
)
@pytest.mark.parametrize("name", ["api_url", "verifier_url"])
def test_an_address_that_is_not_https_is_named_and_not_shown(name: str, wrong: str) -> None:
    urls = {"api_url": API, "verifier_url": VERIFIER, name: wrong}

    with pytest.raises(ConfigurationError) as refused:
        StepUpTransport(httpx.MockTransport(Api().serve), answer=Api().answer, **urls)

    assert re.fullmatch(rf"{name} is not an https address .*; write one such as https://\S+", str(refused.value))
    assert wrong not in str(refused.value)


def test_an_async_client_steps_up_too_and_its_loop_goes_on_meanwhile() -> None:
    api = Api(CHALLENGE, httpx.Response(200))

    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"one", b"two"):
            yield piece

    async def step_up() -> httpx.Response:
        loop, elsewhere = asyncio.get_running_loop(), asyncio.Event()

        def answer(uri: str) -> str:
            asyncio.run_coroutine_threadsafe(asyncio.wait_for(elsewhere.wait(), 5), loop).result()
            return api.answer(uri)

        inner = httpx.MockTransport(api.serve)
        transport = AsyncStepUpTransport(inner, api_url=API, verifier_url=VERIFIER, answer=answer)
        async with httpx.AsyncClient(transport=transport, base_url=API) as client:
            sent = asyncio.create_task(client.post("/profile", content=pieces()))
            elsewhere.set()
            return await sent

    assert asyncio.run(step_up()).status_code == 200
    assert api.assertions == [None, "a.b.c"]
    assert [request.content for request in api.requests] == [b"onetwo"] * 2


def test_a_client_of_a_guarded_api_steps_up_over_the_network_without_noticing(
    world: World, totp: Totp, certificates: Path
) -> None:
    authority = certificates / "tls-ca.pem"
    app = cast(App, bank())

    def answer(uri: str) -> str:
        earned = world.respond_code(uri.rpartition("/")[2], totp.code(world.clock.now()))
        return str(earned.body["assertion"])

    with running_verifier(world, certificates) as verifier_url:
        guard = guard_of(world, verifier_url=verifier_url, issuer=ORIGIN, routes=ROUTES)
        alice = {"Authorization": "Bearer alice"}
        with serving_tls(StepUpGuard(app, guard, http=verifier_client(authority)), certificates) as api_url:
            inner = httpx.HTTPTransport(verify=ssl.create_default_context(cafile=str(authority)))
            transport = StepUpTransport(inner, api_url=api_url, verifier_url=ORIGIN, answer=answer)
            with httpx.Client(transport=transport, base_url=api_url, headers=alice) as client:
                answers = [client.post("/profile", json={"name": "x"}), client.get("/accounts")]

    assert answers[0].json() == {"updated": True, "bytes": 12}
    assert answers[1].status_code == 200
    assert len(world.records("assertion.spent")) == 1


def test_a_client_with_a_key_proves_it_anew_for_the_second_request(world: World, totp: Totp) -> None:
    key = DpopClient(world)
    session = Session(subject_id="alice", session_id="sid-1", properties={"kind": "person"}, dpop_jkt=key.jkt)
    guarded = Guarded(world, identify=lambda _scope: session)

    class Proving(httpx.AsyncBaseTransport):
        """Adds a new proof to each request, as a library for DPoP does."""

        def __init__(self) -> None:
            self.proofs: list[str] = []
            self.inner = httpx.ASGITransport(app=guarded.guard)

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            use = key.use(url=str(request.url))
            self.proofs.append(use["proof"])
            request.headers["DPoP"] = use["proof"]
            return await self.inner.handle_async_request(request)

    def answer(uri: str) -> str:
        challenge_id = uri.rpartition("/")[2]
        earned = key.respond(challenge_id, totp.code(world.clock.now()), key.answer_proof(challenge_id))
        return str(earned.body["assertion"])

    proving = Proving()

    async def step_up() -> httpx.Response:
        transport = AsyncStepUpTransport(proving, api_url=PUBLIC_URL, verifier_url=ORIGIN, answer=answer)
        headers = {"Authorization": f"DPoP {TOKEN}"}
        async with httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL, headers=headers) as client:
            return await client.post("/profile", content=b"x")

    assert asyncio.run(step_up()).text == "passed"
    assert len(set(proving.proofs)) == 2
