"""A session that is bound to a client's key, behind the guard: what a thief of its token, assertion or proof can do."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import httpx
import pytest
from support.dpop import TOKEN, TOKEN_SHA256, DpopClient
from support.guarded import PUBLIC_URL, Guarded, parameters_of, replacing, says
from support.verifier import START, Totp, World

from keyrung_verifier.guard.asgi import Session

PROFILE = f"{PUBLIC_URL}/profile"
AS_DPOP = [("Authorization", f"DPoP {TOKEN}")]
BEARER = [("Authorization", f"Bearer {TOKEN}")]


@pytest.fixture
def client(world: World) -> DpopClient:
    return DpopClient(world)


@pytest.fixture
def guarded(world: World, client: DpopClient) -> Guarded:
    session = Session(subject_id="alice", session_id="sid-1", properties={"kind": "person"}, dpop_jkt=client.jkt)
    unbound = replace(session, dpop_jkt=None)

    def identify(scope: Mapping[str, Any]) -> Session | None:
        # As a careless application does: by the token alone, under whatever scheme it came.
        tokens = [value.rpartition(b" ")[2] for name, value in scope["headers"] if name == b"authorization"]
        return {TOKEN.encode(): session, b"unbound": unbound}.get(tokens[0]) if tokens else session

    return Guarded(world, identify=identify)


def challenge(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 401, answer.text
    return parameters_of(answer.headers["WWW-Authenticate"], scheme="DPoP")


@pytest.fixture
def assertion(guarded: Guarded, client: DpopClient, totp: Totp) -> str:
    """An assertion that the client earned for a change of the profile."""
    asked = challenge(guarded.request("POST", "/profile", headers=AS_DPOP))
    challenge_id = asked["stepup_uri"].rpartition("/")[2]
    earned = client.respond(challenge_id, totp.code(START), client.answer_proof(challenge_id))
    return str(earned.body["assertion"])


def use(guarded: Guarded, assertion: str, *proofs: str, headers: list[tuple[str, str]] = AS_DPOP) -> httpx.Response:
    sent = [*headers, *(("DPoP", proof) for proof in proofs)]
    return guarded.request("POST", "/profile", headers=sent, assertion=assertion)


def good_proof(client: DpopClient, **changes: Any) -> str:
    return client.proof(url=PROFILE, ath=TOKEN_SHA256, **changes)


def test_a_bound_session_is_challenged_under_dpop_and_told_the_nonce(guarded: Guarded, totp: Totp) -> None:
    answer = guarded.request("POST", "/profile", headers=AS_DPOP)

    assert challenge(answer)["error"] == "insufficient_user_authentication"
    assert challenge(answer)["algs"] == "ES256 Ed25519"
    assert answer.headers["DPoP-Nonce"] == guarded.world.verifier.dpop_nonce()


def test_with_a_proof_the_assertion_pays_once(guarded: Guarded, client: DpopClient, assertion: str) -> None:
    assert use(guarded, assertion, good_proof(client)).status_code == 200
    assert use(guarded, assertion, good_proof(client)).json()["error"] == "assertion_refused"
    assert guarded.app.bodies == [b""]


@pytest.mark.parametrize(("method", "path"), [("GET", "/accounts"), ("POST", "/profile")])
def test_a_bound_token_under_the_bearer_scheme_is_refused(guarded: Guarded, method: str, path: str) -> None:
    for headers in (BEARER, [], [*AS_DPOP, *BEARER], [("Authorization", TOKEN)]):
        answer = guarded.request(method, path, headers=headers)
        assert challenge(answer) == {"error": "invalid_token", "algs": "ES256 Ed25519"}
    assert guarded.calls == []


def test_a_token_under_dpop_whose_session_has_no_key_is_refused(guarded: Guarded) -> None:
    answer = guarded.request("GET", "/accounts", headers=[("Authorization", "dpop unbound")])

    assert challenge(answer)["error"] == "invalid_token"


def test_a_stolen_assertion_under_the_bearer_scheme_is_refused_and_not_used_up(
    guarded: Guarded, client: DpopClient, assertion: str
) -> None:
    assert use(guarded, assertion, good_proof(client), headers=BEARER).status_code == 401
    assert use(guarded, assertion, headers=[("Authorization", "Bearer unbound")]).status_code == 403
    assert use(guarded, assertion, good_proof(client)).status_code == 200


def test_an_assertion_without_a_proof_or_with_two_is_refused_and_not_used_up(
    guarded: Guarded, client: DpopClient, assertion: str
) -> None:
    proof = good_proof(client)
    for proofs in ([], [proof, proof], [proof, good_proof(client)]):
        assert challenge(use(guarded, assertion, *proofs))["error"] == "invalid_dpop_proof"
    assert challenge(use(guarded, assertion, f"{proof}, {proof}"))["error"] == "invalid_dpop_proof"

    assert use(guarded, assertion, proof).status_code == 200


WRONG: dict[str, Callable[[DpopClient], str]] = {
    "of a thief's own key": lambda client: good_proof(DpopClient(client.world, "thief")),
    "for another address": lambda client: client.proof(url="https://evil.example/profile", ath=TOKEN_SHA256),
    "for another method": lambda client: good_proof(client, htm="GET"),
    "for another token": lambda client: client.proof(url=PROFILE, ath="A" * 43),
    "for no token": lambda client: client.proof(url=PROFILE),
    "for the answer to the challenge": lambda client: client.answer_proof("x", ath=TOKEN_SHA256),
    "from yesterday": lambda client: good_proof(client, iat=int(START.timestamp()) - 86400),
    "no proof at all": lambda _client: "a.b.c",
    "empty": lambda _client: "",
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_wrong_proof_is_refused_and_the_assertion_is_not_used_up(
    guarded: Guarded, client: DpopClient, assertion: str, wrong: Callable[[DpopClient], str]
) -> None:
    assert challenge(use(guarded, assertion, wrong(client)))["error"] == "invalid_dpop_proof"
    assert guarded.app.bodies == []

    assert use(guarded, assertion, good_proof(client)).status_code == 200


def test_a_proof_that_was_used_pays_no_second_time(guarded: Guarded, client: DpopClient, assertion: str) -> None:
    proof = good_proof(client)
    assert use(guarded, assertion, proof).status_code == 200

    assert use(guarded, assertion, proof).status_code == 403


def test_a_proof_with_an_old_nonce_is_told_the_new_one_and_the_assertion_is_not_used_up(
    guarded: Guarded, client: DpopClient, assertion: str
) -> None:
    answer = use(guarded, assertion, good_proof(client, nonce="old"))
    assert challenge(answer) == {"error": "use_dpop_nonce", "algs": "ES256 Ed25519"}

    assert use(guarded, assertion, good_proof(client, nonce=answer.headers["DPoP-Nonce"])).status_code == 200


def test_the_address_that_is_proved_is_the_configured_one_whatever_the_host_header_says(
    guarded: Guarded, client: DpopClient, assertion: str
) -> None:
    hosts = [("Host", "evil.example"), ("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Proto", "http")]
    for_evil = client.proof(url="https://evil.example/profile", ath=TOKEN_SHA256)
    assert use(guarded, assertion, for_evil, headers=[*AS_DPOP, *hosts]).status_code == 401

    assert use(guarded, assertion, good_proof(client), headers=[*AS_DPOP, *hosts]).status_code == 200


def test_behind_a_gateway_the_address_that_is_proved_is_the_one_that_clients_know(
    guarded: Guarded, client: DpopClient, totp: Totp
) -> None:
    behind = Guarded(guarded.world, identify=guarded.decisions.identify, public_url="https://gateway.example/bank/")
    asked = challenge(behind.request("POST", "/profile", headers=AS_DPOP))
    challenge_id = asked["stepup_uri"].rpartition("/")[2]
    earned = client.respond(challenge_id, totp.code(START), client.answer_proof(challenge_id)).body["assertion"]
    inside = client.proof(url="https://gateway.example/profile", ath=TOKEN_SHA256)
    outside = client.proof(url="https://gateway.example/bank/profile", ath=TOKEN_SHA256)

    assert use(behind, earned, inside).status_code == 401
    assert use(behind, earned, outside).status_code == 200


def test_the_query_is_no_part_of_the_proof_and_still_bound_by_the_assertion(
    guarded: Guarded, client: DpopClient, assertion: str
) -> None:
    sent = [*AS_DPOP, ("DPoP", good_proof(client))]

    assert guarded.request("POST", "/profile?a=1", headers=sent, assertion=assertion).status_code == 403


@pytest.mark.parametrize("nonce", ['a"b', "a b", "a\u00e9", ""])
def test_a_nonce_that_could_split_the_header_is_not_passed_on(guarded: Guarded, totp: Totp, nonce: str) -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        headers = [(b"DPoP-Nonce", nonce.encode("latin-1"))]
        return httpx.Response(201, json={"stepup_uri": "https://x"}, headers=headers)

    guarded.verifier = replacing(guarded.world, "/stepup/v1/challenges", answer)

    assert guarded.request("POST", "/profile", headers=AS_DPOP).status_code == 503


@pytest.mark.parametrize("error", ["invalid_request", "anything"])
def test_any_other_refusal_of_the_verifier_is_no_request_for_a_proof(
    guarded: Guarded, client: DpopClient, assertion: str, error: str
) -> None:
    guarded.verifier = replacing(guarded.world, "/stepup/v1/assertions/spend", says(400, {"error": error}))

    assert use(guarded, assertion, good_proof(client)).json()["error"] == "assertion_refused"
