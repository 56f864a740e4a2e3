"""What somebody may try who has an assertion or a challenge of a session whose key they do not hold.

The tests that begin with a number are the list of RFC 9449 section 4.3, in its order.
"""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.dpop import TOKEN_SHA256, DpopClient, signed
from support.verifier import ORIGIN, Totp, UnsafeTestKey, World, at_once, b64, catalog_texts, unb64

TRIES = 50
OTHER_URL = f"{ORIGIN}/stepup/v1/challenges/other/response"


@pytest.fixture
def client(world: World) -> DpopClient:
    return DpopClient(world)


@pytest.fixture
def challenge_id(world: World, client: DpopClient, totp: Totp) -> str:
    return world.challenge_id(session=client.session())


@pytest.fixture
def assertion(world: World, client: DpopClient, totp: Totp, challenge_id: str) -> str:
    proof = client.answer_proof(challenge_id)
    return str(client.respond(challenge_id, totp.code(world.clock.now()), proof).body["assertion"])


def refused(world: World, client: DpopClient, challenge_id: str, totp: Totp, proof: str | None) -> str | None:
    """Return why a right code with this proof earns nothing; the challenge is as good as before."""
    code = totp.code(world.clock.now())
    answer = client.respond(challenge_id, code, proof)
    assert answer.status == 400
    assert answer.body["error"] == ("use_dpop_nonce" if "nonce" in str(reason(world)) else "invalid_dpop_proof")
    why = reason(world)
    assert world.store.failure_rows() == []
    assert client.respond(challenge_id, code, client.answer_proof(challenge_id)).status == 200
    return why


def used_proofs(world: World) -> list[str]:
    with closing(sqlite3.connect(world.folder / "store.db")) as database:
        return [row[0] for row in database.execute("SELECT key FROM consumed WHERE kind = 'dpop'")]


def reason(world: World) -> str | None:
    return world.last_reason("challenge.answered")


def test_01_two_proofs_in_one_request_are_refused(
    world: World, client: DpopClient, challenge_id: str, totp: Totp
) -> None:
    proof = client.answer_proof(challenge_id)

    assert refused(world, client, challenge_id, totp, f"{proof}, {proof}") == "dpop_not_compact"


@pytest.mark.parametrize("text", ["", "x", "a.b", "a.b.c.d", "a.b.c", "..", "\u00e4.b.c", "{}", "a" * 5000])
def test_02_a_value_that_is_no_compact_jwt_is_refused(
    world: World, client: DpopClient, challenge_id: str, totp: Totp, text: str
) -> None:
    assert str(refused(world, client, challenge_id, totp, text)).startswith("dpop_")


@pytest.mark.parametrize("claim", ["jti", "htm", "htu", "iat"])
def test_03_a_proof_that_lacks_a_claim_is_refused(
    world: World, client: DpopClient, challenge_id: str, totp: Totp, claim: str
) -> None:
    proof = client.answer_proof(challenge_id, **{claim: None})

    assert refused(world, client, challenge_id, totp, proof) == "dpop_wrong_shape"


@pytest.mark.parametrize(
    "change", [{"iat": "1"}, {"iat": True}, {"iat": 1e3}, {"jti": 7}, {"jti": ""}, {"htm": ["POST"]}]
)
def test_03_a_proof_with_a_claim_of_another_type_is_refused(
    world: World, client: DpopClient, challenge_id: str, totp: Totp, change: dict[str, Any]
) -> None:
    proof = client.answer_proof(challenge_id, **change)

    assert refused(world, client, challenge_id, totp, proof) == "dpop_wrong_shape"


@pytest.mark.parametrize("typ", ["JWT", "DPOP+JWT", "stepup+jwt", "application/dpop+jwt"])
def test_04_another_type_of_jwt_is_refused(
    world: World, client: DpopClient, challenge_id: str, totp: Totp, typ: str
) -> None:
    proof = client.answer_proof(challenge_id, header={"typ": typ})

    assert refused(world, client, challenge_id, totp, proof) == "dpop_type"


@pytest.mark.parametrize("alg", ["none", "HS256", "ES384", "Ed25519", "RS256"])
def test_05_an_algorithm_that_is_not_the_one_of_the_key_is_refused(
    world: World, client: DpopClient, challenge_id: str, totp: Totp, alg: str
) -> None:
    proof = client.answer_proof(challenge_id, header={"alg": alg})

    assert refused(world, client, challenge_id, totp, proof) == "dpop_algorithm"


def test_06_a_signature_of_another_key_than_the_stated_one_is_refused(
    world: World, client: DpopClient, challenge_id: str, totp: Totp
) -> None:
    proof = client.answer_proof(challenge_id, signer=UnsafeTestKey("thief"))

    assert refused(world, client, challenge_id, totp, proof) == "dpop_signature"


@pytest.mark.parametrize("signature", [bytes(64), bytes(31) + b"\x01" + bytes(31) + b"\x01", bytes(63), b""])
def test_06_a_signature_of_zeros_or_of_another_length_is_refused(
    world: World, client: DpopClient, challenge_id: str, totp: Totp, signature: bytes
) -> None:
    text, _, _ = client.answer_proof(challenge_id).rpartition(".")

    assert refused(world, client, challenge_id, totp, f"{text}.{b64(signature)}") == "dpop_signature"


def test_07_a_proof_that_publishes_its_private_key_is_refused(
    world: World, client: DpopClient, challenge_id: str, totp: Totp
) -> None:
    proof = client.answer_proof(challenge_id, header={"jwk": client.key.public_jwk | {"d": "AQ"}})

    assert refused(world, client, challenge_id, totp, proof) == "dpop_key_form"


@pytest.mark.parametrize("jwk", [{"kty": "oct", "k": "AQ"}, {"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"}, {}])
def test_07_a_key_that_is_symmetric_or_on_no_curve_is_refused(
    world: World, client: DpopClient, challenge_id: str, totp: Totp, jwk: dict[str, str]
) -> None:
    assert refused(world, client, challenge_id, totp, client.answer_proof(challenge_id, header={"jwk": jwk})) == (
        "dpop_key_form"
    )


@pytest.mark.parametrize("member", [{"kid": "x"}, {"crit": ["b64"]}, {"jku": "https://evil.example/"}, {"x5c": []}])
def test_07_a_header_with_another_member_is_refused(
    world: World, client: DpopClient, challenge_id: str, totp: Totp, member: dict[str, Any]
) -> None:
    proof = client.answer_proof(challenge_id, header=member)

    assert refused(world, client, challenge_id, totp, proof) == "dpop_wrong_shape"


@pytest.mark.parametrize("method", ["GET", "post", "PUT"])
def test_08_a_proof_for_another_method_is_refused(
    world: World, client: DpopClient, challenge_id: str, totp: Totp, method: str
) -> None:
    proof = client.answer_proof(challenge_id, htm=method)

    assert refused(world, client, challenge_id, totp, proof) == "dpop_method"


@pytest.mark.parametrize(
    "url",
    [
        OTHER_URL,
        "http://verifier.example:8443/stepup/v1/challenges/{id}/response",
        "https://verifier.example/stepup/v1/challenges/{id}/response",
        "https://evil.example/stepup/v1/challenges/{id}/response",
        "https://verifier.example:8443.evil.example/stepup/v1/challenges/{id}/response",
        "https://verifier.example:8443@evil.example/stepup/v1/challenges/{id}/response",
        "https://u@verifier.example:8443/stepup/v1/challenges/{id}/response",
        "https://verifier.example:8443/stepup/v1/challenges/{id}/response/",
        "https://verifier.example:8443/STEPUP/v1/challenges/{id}/response",
        "//verifier.example:8443/stepup/v1/challenges/{id}/response",
        "https://[::1",
        "",
    ],
)
def test_09_a_proof_for_another_url_is_refused(
    world: World, client: DpopClient, challenge_id: str, totp: Totp, url: str
) -> None:
    proof = client.answer_proof(challenge_id, htu=url.format(id=challenge_id))

    assert refused(world, client, challenge_id, totp, proof) == "dpop_url"


@pytest.mark.parametrize(
    "spelling",
    [
        "HTTPS://Verifier.EXAMPLE:8443{path}",
        "https://verifier.example:8443{path}?a=b",
        "https://verifier.example:8443{path}#f",
    ],
)
def test_09_a_url_that_differs_in_what_the_comparison_leaves_out_is_the_same(
    world: World, client: DpopClient, challenge_id: str, totp: Totp, spelling: str
) -> None:
    url = spelling.format(path=f"/stepup/v1/challenges/{challenge_id}/response")

    proof = client.answer_proof(challenge_id, htu=url)
    assert client.respond(challenge_id, totp.code(world.clock.now()), proof).status == 200


def test_09_the_default_port_and_the_empty_path_are_the_same_as_none_and_a_slash(
    world: World, client: DpopClient, assertion: str
) -> None:
    use = client.use(url="https://api.example:443/profile")

    assert world.spend(assertion, asked={"session": client.session()}, dpop=use).status == 200


@pytest.mark.parametrize("nonce", [None, "x" * 22, "x" * 1000])
def test_10_a_proof_without_a_nonce_of_ours_is_refused(
    world: World, client: DpopClient, challenge_id: str, totp: Totp, nonce: str | None
) -> None:
    proof = client.answer_proof(challenge_id, nonce=nonce)

    expected = "dpop_wrong_shape" if nonce is not None and len(nonce) > 256 else "dpop_nonce"
    assert refused(world, client, challenge_id, totp, proof) == expected


def test_10_a_proof_made_in_advance_is_worth_nothing_when_its_nonce_is_over(
    world: World, client: DpopClient, totp: Totp
) -> None:
    nonce = client.nonce()
    world.clock.advance(240)
    challenge_id = world.challenge_id(session=client.session())

    assert refused(world, client, challenge_id, totp, client.answer_proof(challenge_id, nonce=nonce)) == "dpop_nonce"


@pytest.mark.parametrize("seconds", [-61, 61])
def test_11_a_proof_that_is_too_old_or_from_the_future_is_refused(
    world: World, client: DpopClient, challenge_id: str, totp: Totp, seconds: int
) -> None:
    proof = client.answer_proof(challenge_id, iat=int(world.clock.now().timestamp()) + seconds)

    assert refused(world, client, challenge_id, totp, proof) == "dpop_time"


@pytest.mark.parametrize("seconds", [-60, 60])
def test_11_a_proof_whose_time_is_off_by_the_accepted_minute_is_good(
    world: World, client: DpopClient, challenge_id: str, totp: Totp, seconds: int
) -> None:
    proof = client.answer_proof(challenge_id, iat=int(world.clock.now().timestamp()) + seconds)

    assert client.respond(challenge_id, totp.code(world.clock.now()), proof).status == 200


@pytest.mark.parametrize("ath", [None, "", b64(bytes(32)), TOKEN_SHA256 + "="])
def test_12_a_proof_that_does_not_cover_the_token_beside_it_is_refused(
    world: World, client: DpopClient, assertion: str, ath: str | None
) -> None:
    use = client.use(client.proof(ath=ath))

    refused_use = world.spend(assertion, asked={"session": client.session()}, dpop=use)
    assert (refused_use.status, refused_use.body["error"]) == (400, "invalid_dpop_proof")
    assert world.last_reason("assertion.spent") == "dpop_token"
    assert world.spend(assertion, asked={"session": client.session()}, dpop=client.use()).status == 200


def test_12_a_good_proof_of_another_key_is_refused(
    world: World, client: DpopClient, challenge_id: str, totp: Totp
) -> None:
    assert (
        refused(world, client, challenge_id, totp, DpopClient(world, "thief").answer_proof(challenge_id)) == "dpop_key"
    )


def test_an_answer_without_a_proof_is_refused_and_costs_no_try(
    world: World, client: DpopClient, challenge_id: str, totp: Totp
) -> None:
    for _ in range(20):
        assert client.respond(challenge_id, "000000", None).status == 400

    assert refused(world, client, challenge_id, totp, None) == "dpop_missing"


def test_a_proof_is_used_up_by_a_wrong_answer_and_no_right_one_passes_with_it(
    world: World, client: DpopClient, challenge_id: str, totp: Totp
) -> None:
    proof = client.answer_proof(challenge_id)
    assert client.respond(challenge_id, "000000", proof).status == 403

    replayed = client.respond(challenge_id, totp.code(world.clock.now()), proof)
    assert (replayed.status, replayed.body["error"]) == (403, "challenge_refused"), "the same as for a wrong code"
    assert reason(world) == "dpop_used"
    assert world.records("assertion.issued") == []


def test_one_proof_brought_50_times_at_once_by_an_assertion_that_pays_often_pays_once(tmp_path: Path) -> None:
    texts = {
        name: text.replace(b"max_age: 5m, bind: [method, uri, body]", b"max_age: 5m, bind: [], single_use: false", 1)
        for name, text in catalog_texts().items()
    }
    world = World(tmp_path, texts=texts)
    client, totp = DpopClient(world), world.enrol_totp()
    asked, use = {"session": client.session()}, client.use()
    challenge_id = world.challenge_id(session=client.session())
    earned = client.respond(challenge_id, totp.code(world.clock.now()), client.answer_proof(challenge_id))
    assertion = earned.body["assertion"]

    answers = at_once(TRIES, lambda _: world.spend(assertion, asked=asked, dpop=use))

    assert sorted(answer.status for answer in answers) == [200] + [403] * (TRIES - 1)
    assert world.spend(assertion, asked=asked, dpop=client.use()).status == 200
    world.close()


def test_a_proof_that_paid_once_pays_for_no_second_assertion(world: World, client: DpopClient, totp: Totp) -> None:
    assertions = []
    for _ in range(2):
        challenge_id = world.challenge_id(session=client.session())
        answer = client.respond(challenge_id, totp.code(world.clock.now()), client.answer_proof(challenge_id))
        assertions.append(answer.body["assertion"])
        world.clock.advance(30)
    use, asked = client.use(), {"session": client.session()}
    assert world.spend(assertions[0], asked=asked, dpop=use).status == 200

    assert world.spend(assertions[1], asked=asked, dpop=use).status == 403
    assert world.last_reason("assertion.spent") == "dpop_used"
    assert world.spend(assertions[1], asked=asked, dpop=client.use()).status == 200


def test_an_assertion_of_a_session_with_a_key_is_worth_nothing_without_the_key(
    world: World, client: DpopClient, assertion: str
) -> None:
    thief = DpopClient(world, "thief")

    assert world.spend(assertion, asked={"session": client.session()}).body["error"] == "invalid_dpop_proof"
    assert world.spend(assertion, asked={"session": {"id": "sid-1"}}).status == 403
    assert world.last_reason("assertion.spent") == "dpop_key"
    assert world.spend(assertion, asked={"session": thief.session()}, dpop=thief.use()).status == 403
    assert world.last_reason("assertion.spent") == "dpop_key"


def test_an_assertion_of_a_session_without_a_key_does_not_serve_one_that_has_one(
    world: World, client: DpopClient, totp: Totp
) -> None:
    assertion = world.step_up(totp)

    assert world.spend(assertion, asked={"session": client.session()}, dpop=client.use()).status == 403
    assert world.last_reason("assertion.spent") == "dpop_key"


def test_the_used_mark_of_a_proof_outlives_it_by_twice_the_skew_and_is_dropped_then(
    world: World, client: DpopClient, assertion: str
) -> None:
    ahead = client.proof(ath=TOKEN_SHA256, iat=int(world.clock.now().timestamp()) + 60)
    asked = {"session": client.session()}
    assert world.spend(assertion, asked=asked, dpop=client.use(ahead)).status == 200

    world.clock.advance(240)
    world.verifier.maintain()
    assert len(used_proofs(world)) == 1
    world.clock.advance(1)
    world.verifier.maintain()
    assert len(used_proofs(world)) == 0


def test_a_long_name_of_a_proof_is_kept_at_one_length(world: World, client: DpopClient, challenge_id: str) -> None:
    proof = client.answer_proof(challenge_id, jti="j" * 256)
    client.respond(challenge_id, "000000", proof)

    assert [len(key) for key in used_proofs(world)] == [64]


def test_a_proof_with_a_repeated_member_is_refused(
    world: World, client: DpopClient, challenge_id: str, totp: Totp
) -> None:
    header, claims, _ = client.answer_proof(challenge_id).split(".")
    doubled = unb64(claims)[:-1] + b', "htm": "POST"}'
    text = f"{header}.{b64(doubled)}"
    proof = f"{text}.{b64(client.key.sign(text.encode()))}"

    assert refused(world, client, challenge_id, totp, proof) == "dpop_not_json"


def test_a_request_may_bring_a_proof_with_more_claims_than_the_standard_names(
    world: World, client: DpopClient, challenge_id: str, totp: Totp
) -> None:
    header, claims, _ = client.answer_proof(challenge_id).split(".")
    more = json.loads(unb64(claims)) | {"extra": 1}
    proof = signed(json.loads(unb64(header)), more, client.key)

    assert client.respond(challenge_id, totp.code(world.clock.now()), proof).status == 200
