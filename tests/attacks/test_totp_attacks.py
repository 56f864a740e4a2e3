"""What somebody may try with one-time codes: reuse, spelling, guessing, going round the limits."""

from datetime import timedelta
from hmac import compare_digest

import pytest
from support.verifier import TOKEN_FACTOR, Totp, World, at_once

from keyrung_verifier.factors import FACTOR_OF_ANSWER
from keyrung_verifier.limits import FAILURE_DELAYS_SECONDS, MAX_FAILURES

# Digits that int() and \d take and that are not ASCII.
FULL_WIDTH = {ord("0") + digit: 0xFF10 + digit for digit in range(10)}
ARABIC = {ord("0") + digit: 0x0660 + digit for digit in range(10)}


def test_one_code_tried_200_times_at_once_over_200_challenges_succeeds_once(world: World) -> None:
    totp = world.enrol_totp()
    challenges = [world.challenge_id(session=f"sid-{number}") for number in range(200)]
    code = totp.code(world.clock.now())

    answers = at_once(200, lambda number: world.respond_code(challenges[number], code))

    assert [answer.status for answer in answers].count(200) == 1
    assert len(world.records("assertion.issued")) == 1
    assert len(world.records("challenge.answered")) == 200


def test_a_used_code_is_refused_for_another_challenge(world: World) -> None:
    totp = world.enrol_totp()
    world.step_up(totp)

    assert _try(world, totp.code(world.clock.now())) == "code_used"


def test_a_used_code_is_refused_in_another_session_and_through_another_client(world: World) -> None:
    totp = world.enrol_totp()
    world.step_up(totp, session="sid-1")

    assert _try(world, totp.code(world.clock.now()), session="sid-2") == "code_used"


@pytest.mark.parametrize(
    "spell",
    [
        lambda code: f" {code}",
        lambda code: f"{code} ",
        lambda code: f"{code}\n",
        lambda code: f"{code[:3]} {code[3:]}",
        lambda code: f"{code}\u200b",
        lambda code: f"\ufeff{code}",
        lambda code: code.translate(FULL_WIDTH),
        lambda code: code.translate(ARABIC),
        lambda code: f"+{code[1:]}",
        lambda code: f"0{code}",
        lambda code: code[:5],
        lambda code: f"{code}\x00",
        lambda code: f"{int(code)}e0",
        lambda code: "",
    ],
)
def test_a_code_that_is_not_exactly_six_ascii_digits_is_wrong(world: World, spell: object) -> None:
    assert callable(spell)
    code = world.enrol_totp().code(world.clock.now())

    assert _try(world, spell(code)) == "code_form"


def test_a_used_code_with_added_space_stays_used(world: World) -> None:
    totp = world.enrol_totp()
    world.step_up(totp)

    assert _try(world, f"{totp.code(world.clock.now())} ") == "code_form"


def test_a_code_that_is_a_number_is_malformed(world: World) -> None:
    world.enrol_totp()

    answer = world.respond(world.challenge_id(), {"factor": "otp", "code": 123456})

    assert answer.status == 400


@pytest.mark.parametrize(("steps", "accepted"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_code_counts_one_step_to_each_side(world: World, steps: int, accepted: bool) -> None:
    totp = world.enrol_totp()

    reason = _try(world, totp.code(world.clock.now(), steps=steps))

    assert reason == (None if accepted else "wrong_code")


def test_earlier_steps_die_with_a_used_one(world: World) -> None:
    totp = world.enrol_totp()
    assert _try(world, totp.code(world.clock.now(), steps=1)) is None

    assert _try(world, totp.code(world.clock.now())) == "code_used"
    assert _try(world, totp.code(world.clock.now(), steps=-1)) == "code_used"


def test_a_clock_set_back_does_not_revive_a_used_step(world: World) -> None:
    totp = world.enrol_totp()
    world.step_up(totp)
    world.clock.advance(-30)

    assert _try(world, totp.code(world.clock.now())) == "code_used"


def test_a_step_used_with_one_authenticator_is_used_for_all_of_the_subject(world: World) -> None:
    first, second = world.enrol_totp(), world.enrol_totp()
    world.step_up(first)

    assert _try(world, second.code(world.clock.now())) == "code_used"


def test_the_limit_of_failures_is_not_passed_round_by_new_challenges(world: World) -> None:
    totp = world.enrol_totp()
    for number in range(MAX_FAILURES):
        assert _try(world, _wrong(world, totp), session=f"sid-{number}") == "wrong_code"
        world.clock.advance(max(FAILURE_DELAYS_SECONDS))

    # Right, at any later time, in any session: the factor is dead until it is bound anew.
    for seconds in (0, 3600, 86400 * 20):
        world.clock.advance(seconds)
        assert _try(world, totp.code(world.clock.now()), session="fresh") == "throttled"


def test_binding_anew_unlocks_a_dead_factor(world: World) -> None:
    totp = world.enrol_totp()
    _fail(world, totp, MAX_FAILURES)
    world.credentials.revoke(totp.credential_id)

    assert _try(world, world.enrol_totp().code(world.clock.now())) is None


def test_failures_make_the_subject_wait_longer_and_longer(world: World) -> None:
    totp = world.enrol_totp()
    for delay in FAILURE_DELAYS_SECONDS[:-1]:
        assert _try(world, _wrong(world, totp)) == "wrong_code"
        if delay:
            world.clock.advance(delay - 1)
            assert _try(world, totp.code(world.clock.now())) == "throttled"
            world.clock.advance(1)

    assert list(FAILURE_DELAYS_SECONDS) == sorted(FAILURE_DELAYS_SECONDS)


def test_an_attempt_during_the_wait_is_not_counted_and_does_not_prolong_it(world: World) -> None:
    totp = world.enrol_totp()
    _fail(world, totp, 4)
    for _ in range(20):
        assert _try(world, _wrong(world, totp)) == "throttled"
    world.clock.advance(FAILURE_DELAYS_SECONDS[3])

    assert _try(world, totp.code(world.clock.now())) is None


def test_200_guesses_at_once_stop_at_the_first_wait_and_a_right_one_after_them_gains_nothing(world: World) -> None:
    totp = world.enrol_totp()
    wrong = _wrong(world, totp)
    challenges = [world.challenge_id(session=f"sid-{number}") for number in range(200)]

    at_once(200, lambda number: world.respond_code(challenges[number], wrong))

    reasons = [record["reason"] for record in world.records("challenge.answered")]
    # The clock stands still, so the first real wait stops all that come after it.
    assert reasons.count("wrong_code") == FAILURE_DELAYS_SECONDS.index(1) + 1
    assert reasons.count("throttled") == 200 - reasons.count("wrong_code")
    assert _try(world, totp.code(world.clock.now())) == "throttled"


def test_a_right_code_during_a_wait_leaves_the_same_traces_as_a_wrong_one(world: World) -> None:
    totp = world.enrol_totp()
    right, wrong = world.challenge_id(), world.challenge_id()
    _fail(world, totp, 4)
    for _ in range(5):
        assert world.respond_code(right, totp.code(world.clock.now())).status == 403
        assert world.respond_code(wrong, _wrong(world, totp)).status == 403

    # Whether a challenge survives would otherwise tell whether its code was right.
    assert world.view(right).without_correlation() == world.view(wrong).without_correlation()


def test_a_failure_stays_counted_after_a_restart(world: World) -> None:
    totp = world.enrol_totp()
    _fail(world, totp, MAX_FAILURES)
    again = World(world.folder, clock=world.clock)

    assert _try(again, totp.code(world.clock.now())) == "throttled"
    again.close()


def test_success_resets_only_the_counter_of_the_factor_used(world: World) -> None:
    alice, bob = world.enrol_totp("alice"), world.enrol_totp("bob")
    _fail(world, bob, 3, subject="bob")
    _fail(world, alice, 3)
    world.clock.advance(FAILURE_DELAYS_SECONDS[2])
    assert _try(world, alice.code(world.clock.now())) is None
    world.clock.advance(60)

    _fail(world, alice, 2)
    assert _try(world, alice.code(world.clock.now())) is None
    assert _try(world, _wrong(world, bob), subject="bob") == "wrong_code"
    assert _try(world, bob.code(world.clock.now()), subject="bob") == "throttled"


@pytest.mark.parametrize("spelling", ["Alice", "alice ", "ALICE", "a\u0142ice", "\uff41lice"])
def test_another_spelling_of_a_subject_is_another_subject_without_factors(world: World, spelling: str) -> None:
    world.enrol_totp("alice")

    assert world.challenge(subject=spelling).body["error"] == "unmet_authentication_requirements"


def test_a_seed_moved_to_another_subject_does_not_open(world: World) -> None:
    mallory = world.enrol_totp("mallory")
    world.enrol_totp("alice")
    with world.store._transaction() as connection:  # type: ignore[attr-defined]
        connection.execute(
            "UPDATE credentials SET sealed_seed = (SELECT sealed_seed FROM credentials WHERE subject_id = 'mallory')"
        )

    answer = world.respond_code(world.challenge_id(subject="alice"), mallory.code(world.clock.now()))

    assert answer.status == 503
    assert world.last_reason("challenge.answered") == "seed_key"


def _try(world: World, code: str, *, subject: str = "alice", session: str = "sid-1") -> str | None:
    """Answer a fresh challenge with the code; return why it was refused, or None."""
    world.respond_code(world.challenge_id(subject=subject, session=session), code)
    answered = world.records("challenge.answered")[-1]
    assert (answered["outcome"] == "success") == (answered["reason"] is None)
    reason: str | None = answered["reason"]
    return reason


def _wrong(world: World, totp: Totp) -> str:
    right = {totp.code(world.clock.now(), steps=steps) for steps in (-1, 0, 1)}
    return next(code for code in ("000000", "111111", "222222", "333333") if code not in right)


def _fail(world: World, totp: Totp, count: int, *, subject: str = "alice") -> None:
    for number in range(count):
        if number:
            world.clock.advance(FAILURE_DELAYS_SECONDS[number - 1])
        assert _try(world, _wrong(world, totp), subject=subject) == "wrong_code"


@pytest.mark.parametrize("steps", [-1, 0, 1, 2])
def test_every_code_that_could_fit_is_compared_and_each_in_constant_time(
    world: World, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    first, _ = world.enrol_totp(), world.enrol_totp()
    compared: list[tuple[str, str]] = []

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return compare_digest(one, other)

    monkeypatch.setattr("keyrung_verifier.factors.totp.hmac.compare_digest", compare)
    code = first.code(world.clock.now(), steps=steps)
    world.respond_code(world.challenge_id(), code)

    # Two authenticators, three steps each, whichever fits and whether one fits at all.
    assert [other for _, other in compared if other == code] == [code] * 6


def test_time_comes_from_the_server_alone(world: World) -> None:
    totp = world.enrol_totp()
    challenge_id = world.challenge_id(time="2026-11-25T13:00:00Z")
    later = totp.code(world.clock.now() + timedelta(hours=1))

    assert world.respond_code(challenge_id, later).status == 403
    for stated in ({"time": 3600}, {"step": 120}, {"now": "2026-11-25T13:00:00Z"}):
        assert world.respond(challenge_id, {"factor": "otp", "code": later} | stated).status == 400


def test_the_factors_are_the_listed_ones_and_none_counts_events(world: World) -> None:
    names = {factor.name for factor in FACTOR_OF_ANSWER.values()}
    assert names == {"otp", TOKEN_FACTOR, "urn:keyrung:possession"}
    world.enrol_totp()
    for name in ("hotp", "sms", "email", "webauthn", ""):
        assert world.respond(world.challenge_id(), {"factor": name, "code": "000000"}).status == 400
