"""What somebody may try with a challenge: use it twice, for somebody else, for something else, too late."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.faulty_random import FaultyRandom
from support.verifier import (
    LARGE_TRANSFER,
    ORIGIN,
    TOKEN_FACTOR,
    SettableClock,
    UnsafeTestKey,
    World,
    at_once,
    b64,
    bundle_bytes,
    catalog_texts,
    http_request,
    respond_many,
    unb64,
)

TRIES = 200
PROCESSES = 4


def test_one_challenge_tried_200_times_at_once_by_threads_succeeds_once(world: World) -> None:
    totp = world.enrol_totp()
    challenge_id = world.challenge_id()
    code = totp.code(world.clock.now())

    answers = at_once(TRIES, lambda _: world.respond_code(challenge_id, code))

    _assert_one_success([answer.status for answer in answers], world)
    assert {answer.body["error"] for answer in answers if answer.status != 200} == {"challenge_refused"}


def test_one_challenge_tried_200_times_at_once_by_processes_succeeds_once(world: World) -> None:
    totp = world.enrol_totp()
    challenge_id = world.challenge_id()
    code = totp.code(world.clock.now())

    with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as pool:
        tasks = [
            pool.submit(respond_many, world.folder, challenge_id, code, TRIES // PROCESSES) for _ in range(PROCESSES)
        ]
        statuses = [status for task in tasks for status in task.result()]

    _assert_one_success(statuses, world)


def _assert_one_success(statuses: list[int], world: World) -> None:
    assert sorted(statuses) == [200] + [403] * (TRIES - 1)
    answered = world.records("challenge.answered")
    assert len(answered) == TRIES
    assert [record["outcome"] for record in answered].count("success") == 1
    assert len(world.records("assertion.issued")) == 1


def test_unknown_expired_used_and_foreign_challenges_give_byte_equal_answers(world: World) -> None:
    alice, mallory = world.enrol_totp("alice"), world.enrol_totp("mallory")
    used, expired, foreign, wrong = (world.challenge_id() for _ in range(4))
    assert world.respond_code(used, alice.code(world.clock.now())).status == 200
    world.clock.advance(60)
    answers = {
        "unknown": world.respond_code(b64(b"\0" * 32), "000000"),
        "used": world.respond_code(used, alice.code(world.clock.now())),
        "foreign": world.respond_code(foreign, mallory.code(world.clock.now())),
        "wrong": world.respond_code(wrong, "not a code"),
    }
    world.clock.advance(300)
    answers["expired"] = world.respond_code(expired, alice.code(world.clock.now()))
    answers["seen after its end"] = world.view(expired)
    answers["seen but unknown"] = world.view("nonsense")

    assert {answer.status for answer in answers.values()} == {403}
    assert len({answer.without_correlation() for answer in answers.values()}) == 1
    # All but the nonce, which is the time's and the same for everybody.
    headers = [{**answer.headers, "DPoP-Nonce": ""} for answer in answers.values()]
    assert all(each == headers[0] for each in headers)
    assert len({answer.body["correlation_id"] for answer in answers.values()}) == len(answers)


def test_the_log_tells_apart_what_the_answers_do_not(world: World) -> None:
    alice = world.enrol_totp()
    challenge_id = world.challenge_id()
    world.respond_code("unknown", "000000")
    world.respond_code(challenge_id, "000000")
    world.respond_code(challenge_id, alice.code(world.clock.now()))
    world.respond_code(challenge_id, alice.code(world.clock.now()))

    assert [(record["outcome"], record["reason"]) for record in world.records("challenge.answered")] == [
        ("refused", "unknown"),
        ("refused", "wrong_code"),
        ("success", None),
        ("refused", "used"),
    ]


def test_a_challenge_has_256_random_bits_and_the_store_knows_only_its_hash(world: World) -> None:
    world.enrol_totp()

    challenge_id = world.challenge_id()

    assert len(unb64(challenge_id)) == 32
    assert challenge_id.encode() not in (world.folder / "store.db-wal").read_bytes()


@pytest.mark.parametrize(("seconds", "status"), [(299, 200), (300, 403), (301, 403)])
def test_a_challenge_ends_exactly_when_it_says(world: World, seconds: int, status: int) -> None:
    totp = world.enrol_totp()
    challenge_id = world.challenge_id()
    world.clock.advance(seconds)

    assert world.respond_code(challenge_id, totp.code(world.clock.now())).status == status


def test_a_policy_that_changes_between_challenge_and_answer_ends_the_challenge(world: World) -> None:
    totp = world.enrol_totp()
    challenge_id = world.challenge_id()
    texts = {name: text.replace(b"max_age: 5m", b"max_age: 4m") for name, text in catalog_texts().items()}
    world.bundle_path.write_bytes(bundle_bytes(version=2, texts=texts))

    assert world.respond_code(challenge_id, totp.code(world.clock.now())).status == 403
    assert world.last_reason("challenge.answered") == "policy_changed"


def test_an_answer_by_another_subject_is_refused(world: World) -> None:
    world.enrol_totp("alice")
    mallory = world.enrol_totp("mallory")
    challenge_id = world.challenge_id(subject="alice")

    assert world.respond_code(challenge_id, mallory.code(world.clock.now())).status == 403


def test_a_token_of_another_subject_is_refused(world: World) -> None:
    world.enrol_token("alice")
    mallory = world.enrol_token("mallory")
    challenge_id = world.challenge_id("payments.transfer", resource=LARGE_TRANSFER)

    assert _sign(world, challenge_id, mallory).status == 403
    assert world.last_reason("challenge.answered") == "unknown_credential"


def test_a_signature_for_one_challenge_is_refused_for_another(world: World) -> None:
    key = world.enrol_token()
    first, second = (world.challenge_id("payments.transfer", resource=LARGE_TRANSFER) for _ in range(2))
    text = unb64(world.view(first).body["factors"][0]["signing_input"])

    assert _sign(world, second, key, text=text).status == 403
    assert world.last_reason("challenge.answered") == "wrong_signature"


@pytest.mark.parametrize("changed", ["resource", "request", "subject", "action"])
def test_the_signed_text_changes_with_everything_it_binds(world: World, changed: str) -> None:
    world.enrol_token("alice")
    world.enrol_token("bob")
    same: dict[str, Any] = {"action": "payments.transfer", "resource": LARGE_TRANSFER}
    other: dict[str, Any] = {
        "resource": same | {"resource": LARGE_TRANSFER | {"payee": "Mallory"}},
        "request": same | {"request": http_request(body=b"other")},
        "subject": same | {"subject": "bob"},
        "action": same | {"action": "customers.export"},
    }[changed]

    def fields(arguments: dict[str, Any]) -> list[bytes]:
        text = unb64(world.view(world.challenge_id(**arguments)).body["factors"][0]["signing_input"])
        parts: list[bytes] = []
        while text:
            size = int.from_bytes(text[:4])
            parts.append(text[4 : 4 + size])
            text = text[4 + size :]
        return parts

    one, another = fields(same), fields(other)
    # Label, origin, challenge, subject, request, action, policy, display, expiry: the challenge differs anyway.
    assert len(one) == len(another) == 9
    assert [left for left, right in zip(one, another, strict=True) if left != right and left != one[2]] != []


@pytest.mark.parametrize(
    "origin", ["https://verifier.example", f"{ORIGIN}/", "https://evil.example:8443", ORIGIN.upper()]
)
def test_a_signature_that_names_another_origin_is_refused(world: World, origin: str) -> None:
    key = world.enrol_token()
    challenge_id = world.challenge_id("payments.transfer", resource=LARGE_TRANSFER)

    assert _sign(world, challenge_id, key, origin=origin).status == 403
    assert world.last_reason("challenge.answered") == "wrong_origin"


def test_a_code_does_not_answer_what_asks_for_phishing_resistance(world: World) -> None:
    totp = world.enrol_totp()
    world.enrol_token()
    challenge_id = world.challenge_id("payments.transfer", resource=LARGE_TRANSFER)

    assert {offer["type"] for offer in world.view(challenge_id).body["factors"]} == {TOKEN_FACTOR}
    assert world.respond_code(challenge_id, totp.code(world.clock.now())).status == 403
    assert world.last_reason("challenge.answered") == "factor_not_accepted"


def test_wrong_answers_end_a_challenge_and_a_right_one_does_not_revive_it(world: World) -> None:
    key = world.enrol_token()
    challenge_id = world.challenge_id("payments.transfer", resource=LARGE_TRANSFER)
    for _ in range(5):
        assert _sign(world, challenge_id, key, text=b"something else").status == 403
        world.clock.advance(10)

    assert _sign(world, challenge_id, key, seen=False).status == 403
    assert world.last_reason("challenge.answered") == "exhausted"


def test_a_challenge_altered_in_the_store_is_refused(world: World) -> None:
    totp = world.enrol_totp("mallory")
    world.enrol_totp("alice")
    challenge_id = world.challenge_id(subject="alice")
    with world.store._transaction() as connection:  # type: ignore[attr-defined]
        connection.execute("UPDATE challenges SET content = CAST(replace(content, 'alice', 'mallory') AS BLOB)")

    assert world.respond_code(challenge_id, totp.code(world.clock.now())).status == 403
    assert world.last_reason("challenge.answered") == "altered"


def test_a_revoked_credential_stops_counting_for_an_open_challenge(world: World) -> None:
    totp = world.enrol_totp()
    challenge_id = world.challenge_id()

    world.credentials.revoke(totp.credential_id)

    assert world.respond_code(challenge_id, totp.code(world.clock.now())).status == 403


def test_one_subjects_challenges_do_not_hinder_another_subject(world: World) -> None:
    alice, bob = world.enrol_totp("alice"), world.enrol_totp("bob")
    for _ in range(50):
        world.respond_code(world.challenge_id(subject="alice"), "000000")

    assert world.respond_code(world.challenge_id(subject="bob"), bob.code(world.clock.now())).status == 200
    assert alice.credential_id != bob.credential_id


def test_a_used_challenge_stays_used_until_it_is_long_over(world: World) -> None:
    totp = world.enrol_totp()
    challenge_id = world.challenge_id()
    world.respond_code(challenge_id, totp.code(world.clock.now()))
    for seconds in (299, 61, 59):
        world.clock.advance(seconds)
        world.verifier.maintain()
        assert world.respond_code(challenge_id, totp.code(world.clock.now())).status == 403
        assert world.last_reason("challenge.answered") == "used"
    world.clock.advance(2)
    world.verifier.maintain()

    assert world.respond_code(challenge_id, totp.code(world.clock.now())).status == 403
    assert world.last_reason("challenge.answered") == "unknown"


def test_a_clock_set_back_does_not_revive_a_used_challenge(world: World) -> None:
    totp = world.enrol_totp()
    challenge_id = world.challenge_id()
    world.respond_code(challenge_id, totp.code(world.clock.now()))
    world.clock.advance(-86400)

    assert world.respond_code(challenge_id, totp.code(world.clock.now())).status == 403


def test_a_repeated_random_challenge_id_is_refused_and_leaves_the_first_alone(tmp_path: Path) -> None:
    random = FaultyRandom()
    world = World(tmp_path, clock=SettableClock(), random=random)
    random.draw = lambda size_bytes: b"\7" * size_bytes
    totp = world.enrol_totp()
    first = world.challenge_id()

    assert world.challenge().status == 503
    assert world.respond_code(first, totp.code(world.clock.now())).status == 200
    world.close()


def _sign(
    world: World,
    challenge_id: str,
    key: UnsafeTestKey,
    *,
    text: bytes | None = None,
    origin: str = ORIGIN,
    seen: bool = True,
) -> Any:
    if text is None:
        text = unb64(world.view(challenge_id).body["factors"][0]["signing_input"]) if seen else b""
    answer = {"factor": TOKEN_FACTOR, "credential_id": key.key_id, "origin": origin, "signature": b64(key.sign(text))}
    return world.respond(challenge_id, answer)
