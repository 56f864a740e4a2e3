"""A step-up that may be reused is the one kind that the guard judges itself: what a thief or forger can do with it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET
from msgspec.structs import replace as changed
from support.dpop import TOKEN, TOKEN_SHA256, DpopClient
from support.guarded import MODES_POLICY, MODES_ROUTES, PUBLIC_URL, Guarded, earn, parameters_of
from support.verifier import ASSERTION_KEY, START, Totp, World

from keyrung_verifier import assertion as assertions
from keyrung_verifier.guard.asgi import Session

REPORT = "/reports/1990"
AS_DPOP = [("Authorization", f"DPoP {TOKEN}")]
ALICE = Session(subject_id="alice", session_id="sid-alice")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, texts={"modes.yaml": MODES_POLICY})
    yield made
    made.close()


@pytest.fixture
def client(world: World) -> DpopClient:
    return DpopClient(world)


def guard(world: World, session: Session = ALICE, **changes: Any) -> Guarded:
    return Guarded(world, routes=MODES_ROUTES, identify=lambda _scope: session, **changes)


def read(guarded: Guarded, assertion: str, *headers: tuple[str, str]) -> int:
    return guarded.request("GET", REPORT, headers=list(headers), assertion=assertion).status_code


def bound_assertion(guarded: Guarded, client: DpopClient, totp: Totp) -> str:
    """Return an assertion earned by a client with a key."""
    asked = guarded.request("GET", REPORT, headers=AS_DPOP).headers["WWW-Authenticate"]
    challenge_id = parameters_of(asked, scheme="DPoP")["stepup_uri"].rpartition("/")[2]
    earned = client.respond(challenge_id, totp.code(START), client.answer_proof(challenge_id))
    return str(earned.body["assertion"])


def test_one_bound_to_a_key_is_reused_with_a_new_proof_each_time_and_never_without(
    world: World, client: DpopClient, totp: Totp
) -> None:
    guarded = guard(world, replace(ALICE, dpop_jkt=client.jkt))
    assertion = bound_assertion(guarded, client, totp)
    proofs = [client.proof("GET", f"{PUBLIC_URL}{REPORT}", ath=TOKEN_SHA256) for _ in range(3)]

    assert read(guarded, assertion, *AS_DPOP) == 401
    assert [read(guarded, assertion, *AS_DPOP, ("DPoP", proof)) for proof in proofs] == [200] * 3
    assert [read(guarded, assertion, *AS_DPOP, ("DPoP", proof)) for proof in proofs] == [403] * 3


def test_one_bound_to_a_key_is_worth_nothing_in_a_session_without_one(
    world: World, client: DpopClient, totp: Totp
) -> None:
    assertion = bound_assertion(guard(world, replace(ALICE, dpop_jkt=client.jkt)), client, totp)

    assert read(guard(world), assertion) == 403


def test_one_bound_to_no_key_is_worth_nothing_in_a_session_with_one(
    world: World, client: DpopClient, totp: Totp
) -> None:
    assertion = earn(guard(world), totp, "GET", REPORT)
    proof = client.proof("GET", f"{PUBLIC_URL}{REPORT}", ath=TOKEN_SHA256)

    assert read(guard(world, replace(ALICE, dpop_jkt=client.jkt)), assertion, *AS_DPOP, ("DPoP", proof)) == 403


@pytest.mark.parametrize(
    "changes",
    [{"subject_id": "bob"}, {"session_id": "sid-other"}, {"subject_id": "Alice"}, {"session_id": "SID-ALICE"}],
)
def test_one_of_another_subject_or_session_is_refused(world: World, totp: Totp, changes: dict[str, Any]) -> None:
    assertion = earn(guard(world), totp, "GET", REPORT)
    assert read(guard(world), assertion) == 200

    assert read(guard(world, replace(ALICE, **changes)), assertion) == 403


@pytest.mark.parametrize("changes", [{"audience": "https://other.example"}, {"issuer": "https://other.example"}])
def test_one_for_another_application_or_of_another_issuer_is_refused(
    world: World, totp: Totp, changes: dict[str, Any]
) -> None:
    assertion = earn(guard(world), totp, "GET", REPORT)

    assert read(guard(world, **changes), assertion) == 403


Change = Callable[[assertions.Claims], assertions.Claims]
UNSIGNED: dict[str, Change] = {
    "another action": lambda claims: changed(claims, action="vault.open"),
    "a higher level": lambda claims: changed(claims, acr="phr"),
    "a longer life": lambda claims: changed(claims, iat=claims.iat + 1, exp=claims.exp + 1),
    "bound to nothing": lambda claims: changed(claims, bind=()),
    "bound to more": lambda claims: changed(claims, bind=("method", "uri", "body")),
    "younger": lambda claims: changed(claims, auth_time=claims.auth_time + 1),
}


@pytest.mark.parametrize("change", UNSIGNED.values(), ids=UNSIGNED)
def test_one_whose_claims_were_changed_is_refused(world: World, totp: Totp, change: Change) -> None:
    good = earn(guard(world), totp, "GET", REPORT)
    head, _, signature = good.split(".")
    forged = assertions.sign(change(claims_of(world, good)), ASSERTION_KEY).split(".")[1]

    assert read(guard(world), f"{head}.{forged}.{signature}") == 403


SIGNED: dict[str, Change] = {
    "another action": lambda claims: changed(claims, action="vault.open"),
    "another policy": lambda claims: changed(claims, policy_digest="A" * 43),
    "a level nobody knows": lambda claims: changed(claims, acr="PHR"),
    "another request": lambda claims: changed(claims, request_digest="A" * 43),
    "bound to less": lambda claims: changed(
        claims, bind=(), request_digest=assertions.request_digest("GET", "https://x", "A" * 43, bind=())
    ),
    "of the future": lambda claims: changed(claims, auth_time=claims.auth_time + 61),
    "too old": lambda claims: changed(claims, auth_time=claims.auth_time - 361),
    "with a key": lambda claims: changed(claims, cnf=assertions.Confirmation(jkt="A" * 43)),
}


@pytest.mark.parametrize("change", SIGNED.values(), ids=SIGNED)
def test_one_that_the_verifier_signed_for_something_else_is_refused(world: World, totp: Totp, change: Change) -> None:
    claims = claims_of(world, earn(guard(world), totp, "GET", REPORT))
    assert read(guard(world), assertions.sign(claims, ASSERTION_KEY)) == 200, "unchanged it would pass"

    assert read(guard(world), assertions.sign(change(claims), ASSERTION_KEY)) == 403


@pytest.mark.parametrize(("uses", "status"), [({"single_use": True}, 403), ({"batch": UNSET}, 200)])
def test_one_that_pays_once_goes_to_the_verifier_whatever_the_policy_lets_be_reused(
    world: World, totp: Totp, uses: dict[str, Any], status: int
) -> None:
    guarded = guard(world)
    claims = claims_of(world, earn(guarded, totp, "GET", REPORT))
    assertion = assertions.sign(changed(claims, jti="never-issued", **uses), ASSERTION_KEY)

    assert read(guarded, assertion) == status
    assert ("/stepup/v1/assertions/spend" in guarded.called) is (status == 403)


def claims_of(world: World, assertion: str) -> assertions.Claims:
    keys = {key["kid"]: key for key in world.verifier.jwks()["keys"]}
    return assertions.verify(
        assertion, keys=keys, issuer=world.settings.issuer, audience="https://api.example", now=world.clock.now()
    )
