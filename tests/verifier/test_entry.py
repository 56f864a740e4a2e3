"""Every way in is listed, described, and goes through the one check."""

import base64
import json
from typing import Any

import pytest
from support.verifier import CLIENT, World, challenge_body, evaluation

from keyrung_verifier import paths
from keyrung_verifier.callers import CallerRegistry, Client
from keyrung_verifier.entry import WebRequest, serve
from keyrung_verifier.errors import ConfigurationError
from keyrung_verifier.openapi import openapi_document
from keyrung_verifier.settings import VerifierSettings

CALLER_PATHS = [paths.EVALUATION, paths.EVALUATIONS, paths.CHALLENGES, paths.SPEND]
CHALLENGE = f"{paths.CHALLENGES}/{{id}}"


def test_the_description_lists_every_way_in_and_no_other() -> None:
    operations = {
        (method, path)
        for path, item in openapi_document()["paths"].items()
        for method in item
        if method in {"get", "post", "put", "delete", "patch"}
    }

    assert operations == {
        ("post", paths.EVALUATION),
        ("post", paths.EVALUATIONS),
        ("post", paths.CHALLENGES),
        ("get", CHALLENGE),
        ("post", f"{CHALLENGE}/response"),
        ("post", paths.SPEND),
        ("get", paths.JWKS),
        ("get", paths.AUTHZEN_CONFIGURATION),
        ("get", paths.HEALTH),
    }


def test_every_way_in_answers_as_described(world: World) -> None:
    document = openapi_document()
    for path, item in document["paths"].items():
        for method in item.keys() & {"get", "post"}:
            answer = world.http(
                method.upper(), path.replace("{id}", "unknown"), b"{}", client=CLIENT, request_id="a-request"
            )
            described = item[method]["responses"][str(answer.status)]
            assert described["headers"].keys() == answer.headers.keys() & {"X-Request-ID", "DPoP-Nonce"}


@pytest.mark.parametrize("path", CALLER_PATHS)
@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Basic",
        "Basic !!!",
        "Basic c2FtcGxlLWFwaQ==",
        "Bearer " + "s" * 40,
        "Basic " + base64.b64encode(b"sample-api:").decode(),
        "Basic " + base64.b64encode(b":" + b"s" * 40).decode(),
        "Basic " + base64.b64encode(b"sample-api:" + b"s" * 39).decode(),
        "Basic " + base64.b64encode(b"sample-api:" + b"o" * 40).decode(),
        "Basic " + base64.b64encode(b"Sample-API:" + b"s" * 40).decode(),
        "Basic " + base64.b64encode(b"sample-api :" + b"s" * 40).decode(),
        "Basic " + base64.b64encode(b"\xff:\xff").decode(),
        "Basic " + "A" * 5000,
        "Basic \u00e9",
    ],
)
def test_an_application_that_does_not_authenticate_gets_nothing(
    world: World, path: str, authorization: str | None
) -> None:
    answer = world.http("POST", path, challenge_body("accounts.read"), authorization=authorization)

    assert answer.status == 401
    assert answer.body["error"] == "invalid_client"
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert [record["event"] for record in world.records()][-1] == "caller.refused"


def test_every_operation_for_applications_asks_for_their_credentials() -> None:
    document = openapi_document()

    secured = [path for path, item in document["paths"].items() if "security" in item.get("post", {})]

    assert secured == CALLER_PATHS


def test_form_encoded_credentials_are_understood(world: World) -> None:
    text = base64.b64encode(f"sample%2Dapi:{CLIENT.secret}".encode()).decode()

    assert (
        world.http("POST", paths.EVALUATION, evaluation("accounts.read"), authorization=f"basic {text}").status == 200
    )


def test_no_answer_may_be_kept_by_a_cache(world: World) -> None:
    for path in (paths.JWKS, paths.EVALUATION, "/nowhere"):
        assert world.http("GET", path).headers["Cache-Control"] == "no-store"


def test_no_error_leaves_the_entry(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(_self: object) -> dict[str, Any]:
        raise MemoryError("detail")

    monkeypatch.setattr("keyrung_verifier.entry._openapi", lambda: explode(None))

    reply = serve(world.verifier, WebRequest(method="GET", path=paths.OPENAPI))

    assert reply.status == 500
    assert b"detail" not in reply.body
    assert json.loads(reply.body)["correlation_id"]


@pytest.mark.parametrize(
    "url",
    [
        "http://verifier.example",
        "https://verifier.example/",
        "https://verifier.example/path",
        "https://Verifier.example",
        "https://verifier.example:0",
        "https://verifier.example:port",
        "https://user@verifier.example",
        "https://verifier.example#x",
        "https://",
        "verifier.example",
        "",
    ],
)
def test_a_public_url_that_is_no_https_origin_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="public URL"):
        VerifierSettings(public_url=url, clients=[CLIENT])


@pytest.mark.parametrize(
    ("challenge_seconds", "assertion_seconds"), [(0, 120), (601, 120), (300, 0), (300, 301), (-1, 120)]
)
def test_a_life_out_of_bounds_is_refused(challenge_seconds: int, assertion_seconds: int) -> None:
    with pytest.raises(ConfigurationError, match="life"):
        VerifierSettings(
            public_url="https://verifier.example",
            clients=[CLIENT],
            challenge_ttl_seconds=challenge_seconds,
            assertion_ttl_seconds=assertion_seconds,
        )


@pytest.mark.parametrize(
    "clients",
    [[], [CLIENT, CLIENT], [Client(client_id="weak", audience="https://weak.example", secret="hunter2")]],
    ids=["none", "twice", "weak"],
)
def test_clients_that_make_no_sense_are_refused(clients: list[Client]) -> None:
    with pytest.raises(ConfigurationError):
        CallerRegistry(clients)
