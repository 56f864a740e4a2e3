"""DPoP as RFC 9449 has it: its published example, the server's nonces, and a session that is bound to a key."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.dpop import TOKEN, TOKEN_SHA256, DpopClient, signed
from support.verifier import START, Totp, UnsafeTestKey, World, unb64

from keyrung_verifier import dpop
from keyrung_verifier.errors import DpopInvalidError
from keyrung_verifier.keys import thumbprint

# Figures 2 and 9 of RFC 9449: a proof, and the thumbprint of its key.
PROOF = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJo"
    "RjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdG"
    "kiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYy"
    "MjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
)
JKT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
SECRET = b"k" * 32


@pytest.fixture
def client(world: World) -> DpopClient:
    return DpopClient(world)


def test_the_proof_of_the_standard_is_read_to_its_last_check_and_its_key_has_the_published_thumbprint() -> None:
    jwk = json.loads(unb64(PROOF.split(".", maxsplit=1)[0]))["jwk"]
    assert thumbprint(jwk) == JKT

    # It carries no nonce, which a server that gives them out asks for; everything before that check holds.
    with pytest.raises(DpopInvalidError) as refused:
        dpop.verify(
            PROOF,
            method="POST",
            url="https://server.example.com/token",
            jkt=JKT,
            nonces=["n"],
            now=datetime.fromtimestamp(1562262616, UTC),
        )
    assert refused.value.reason == "nonce"


@pytest.mark.parametrize(
    ("stated", "asked", "same"),
    [
        ("https://api.example", "https://api.example/", True),
        ("https://api.example:443/a?b#c", "https://api.example/a", True),
        ("http://api.example:80", "http://api.example", True),
        ("https://api.example/a", "https://api.example/A", False),
        ("https://api.example:80/", "https://api.example/", False),
    ],
)
def test_an_empty_path_is_a_slash_and_a_left_out_port_the_usual_one(stated: str, asked: str, same: bool) -> None:
    key = UnsafeTestKey("client")
    claims = {"jti": "j", "htm": "GET", "htu": stated, "iat": int(START.timestamp()), "nonce": "n"}
    proof = signed({"typ": "dpop+jwt", "alg": "ES256", "jwk": key.public_jwk}, claims, key)

    def read() -> dpop.Proof:
        return dpop.verify(proof, method="GET", url=asked, jkt=key.key_id, nonces=["n"], now=START)

    if same:
        assert read() == dpop.Proof(jkt=key.key_id, jti="j", counts_until_seconds=int(START.timestamp()) + 60)
    else:
        with pytest.raises(DpopInvalidError, match="url"):
            read()


@pytest.mark.parametrize(("length", "reason"), [(4096, "not_base64url"), (4097, "not_compact")])
def test_the_length_of_a_proof_ends_at_4_kib(length: int, reason: str) -> None:
    with pytest.raises(DpopInvalidError) as refused:
        dpop.verify("!.b.".ljust(length, "c"), method="GET", url="", jkt="", nonces=[], now=START)

    assert refused.value.reason == reason


def test_proofs_of_two_keys_are_remembered_apart_though_they_share_a_name() -> None:
    of_two = {dpop.Proof(jkt=jkt, jti="j", counts_until_seconds=0).key() for jkt in ("k", "l")}

    assert len(of_two) == 2


def test_what_a_proof_states_of_a_token_is_its_published_hash() -> None:
    # Figures 12 and 13 of RFC 9449.
    token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"

    assert dpop.token_sha256(token) == "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"


def test_a_session_with_a_key_steps_up_and_pays_with_proofs_of_that_key(
    world: World, client: DpopClient, totp: Totp
) -> None:
    challenge_id = world.challenge_id(session=client.session())
    seen = world.view(challenge_id)
    assert seen.body["dpop_required"] is True
    nonce = seen.headers["DPoP-Nonce"]

    earned = client.respond(challenge_id, totp.code(world.clock.now()), client.answer_proof(challenge_id, nonce=nonce))
    claims = json.loads(unb64(earned.body["assertion"].split(".")[1]))
    assert claims["cnf"] == {"jkt": client.jkt}

    spent = world.spend(earned.body["assertion"], asked={"session": client.session()}, dpop=client.use())
    assert spent.status == 200, spent.body
    assert spent.headers["DPoP-Nonce"]


def test_a_session_without_a_key_needs_no_proof(world: World, totp: Totp) -> None:
    challenge_id = world.challenge_id()
    assert "dpop_required" not in world.view(challenge_id).body

    assert world.spend(world.step_up(totp)).status == 200


def test_a_proof_without_a_nonce_is_told_which_one_to_use(world: World, client: DpopClient, totp: Totp) -> None:
    challenge_id = world.challenge_id(session=client.session())
    code = totp.code(world.clock.now())

    refused = client.respond(challenge_id, code, client.answer_proof(challenge_id, nonce=None))
    assert (refused.status, refused.body["error"]) == (400, "use_dpop_nonce")
    again = client.answer_proof(challenge_id, nonce=refused.headers["DPoP-Nonce"])
    assert client.respond(challenge_id, code, again).status == 200


@pytest.mark.parametrize(("seconds", "good"), [(0, True), (119, True), (120, True), (239, True), (240, False)])
def test_a_nonce_counts_for_its_own_period_and_the_next(seconds: int, good: bool) -> None:
    given, _ = dpop.nonces_at(SECRET, START)

    assert (given in dpop.nonces_at(SECRET, START + timedelta(seconds=seconds))) is good


def test_a_nonce_of_a_time_to_come_does_not_count_and_none_is_known_without_the_secret() -> None:
    ahead, _ = dpop.nonces_at(SECRET, START + timedelta(seconds=120))

    assert ahead not in dpop.nonces_at(SECRET, START)
    assert not set(dpop.nonces_at(SECRET, START)) & set(dpop.nonces_at(b"l" * 32, START))


def test_every_process_on_one_store_takes_the_others_nonces(tmp_path: Path, world: World) -> None:
    other = World(world.folder, clock=world.clock)

    assert other.verifier.dpop_nonce() == world.verifier.dpop_nonce()
    other.close()


@pytest.mark.parametrize(
    ("authorization", "bound"),
    [("DPoP t0ken==", True), ("dpop t0ken==", True), ("Bearer t0ken==", False), ("BEARER  t0ken==", False)],
)
def test_a_token_is_read_under_the_scheme_that_its_session_asks_for(authorization: str, bound: bool) -> None:
    assert dpop.presented_token(authorization, bound=bound) == "t0ken=="


@pytest.mark.parametrize(
    ("authorization", "bound"),
    [
        (f"Bearer {TOKEN}", True),
        (f"DPoP {TOKEN}", False),
        (f"Basic {TOKEN}", True),
        ("DPoP", True),
        ("DPoP a b", True),
        (f"DPoP {TOKEN}, Bearer {TOKEN}", True),
        ("DPoP tök", True),
        (f"DPoP {TOKEN}\n", True),
    ],
)
def test_a_bound_token_under_the_bearer_scheme_is_refused_and_every_other_mixture(
    authorization: str, bound: bool
) -> None:
    with pytest.raises(DpopInvalidError):
        dpop.presented_token(authorization, bound=bound)


def test_the_hash_of_the_token_is_the_one_that_the_tests_client_states() -> None:
    assert dpop.token_sha256(TOKEN) == TOKEN_SHA256
