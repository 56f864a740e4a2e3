"""What somebody may try with an assertion: forge it, bend it, use it twice or for something else."""

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest
from support.verifier import (
    OTHER_CLIENT,
    World,
    at_once,
    b64,
    bundle_bytes,
    catalog_texts,
    spend_many,
    unb64,
)

TRIES = 200
PROCESSES = 4


@pytest.fixture
def assertion(world: World) -> str:
    return world.step_up(world.enrol_totp())


def test_one_assertion_spent_200_times_at_once_by_threads_is_spent_once(world: World, assertion: str) -> None:
    answers = at_once(TRIES, lambda _: world.spend(assertion))

    assert sorted(answer.status for answer in answers) == [200] + [403] * (TRIES - 1)
    spent = world.records("assertion.spent")
    assert len(spent) == TRIES
    assert [record["reason"] for record in spent].count("used") == TRIES - 1


def test_one_assertion_spent_200_times_at_once_by_processes_is_spent_once(world: World, assertion: str) -> None:
    with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as pool:
        tasks = [pool.submit(spend_many, world.folder, assertion, TRIES // PROCESSES) for _ in range(PROCESSES)]
        statuses = [status for task in tasks for status in task.result()]

    assert sorted(statuses) == [200] + [403] * (TRIES - 1)
    assert len(world.records("assertion.spent")) == TRIES


def test_a_spent_assertion_stays_spent_until_it_is_long_over(world: World, assertion: str) -> None:
    assert world.spend(assertion).status == 200
    for seconds in (119, 1, 120):
        world.clock.advance(seconds)
        world.verifier.maintain()
        assert world.spend(assertion).status == 403


@pytest.mark.parametrize("hours", [0, 1, 20])
def test_a_clock_set_back_after_housekeeping_does_not_revive_a_spent_assertion(
    world: World, assertion: str, hours: int
) -> None:
    assert world.spend(assertion).status == 200
    world.clock.advance(250 + hours * 3600)
    world.verifier.maintain()
    world.clock.advance(-200 - hours * 3600)

    assert world.spend(assertion).status == 403
    assert world.last_reason("assertion.spent") == "used"


def test_a_clock_set_back_does_not_revive_a_spent_assertion(world: World, assertion: str) -> None:
    assert world.spend(assertion).status == 200
    world.clock.advance(-30)

    assert world.spend(assertion).status == 403
    assert world.last_reason("assertion.spent") == "used"


@pytest.mark.parametrize(
    "changed",
    [
        {"body": b'{"email":"mallory@example"}'},
        {"method": "PUT"},
        {"uri": "https://api.example/profile?x=1"},
        {"uri": "https://api.example/profile/"},
        {"uri": "http://api.example/profile"},
        {"uri": "https://api.example:443/profile"},
        {"uri": "https://api.example/Profile"},
    ],
)
def test_an_assertion_for_one_request_is_refused_for_another(
    world: World, assertion: str, changed: dict[str, Any]
) -> None:
    assert world.spend(assertion, **changed).status == 403
    assert world.last_reason("assertion.spent") == "request"
    assert world.spend(assertion).status == 200


def test_an_assertion_of_one_session_is_refused_in_another(world: World, assertion: str) -> None:
    assert world.spend(assertion, asked={"session": "sid-2"}).status == 403
    assert world.last_reason("assertion.spent") == "session"


def test_an_assertion_for_one_audience_is_refused_for_another(world: World, assertion: str) -> None:
    assert world.spend(assertion, client=OTHER_CLIENT).status == 403
    assert world.last_reason("assertion.spent") == "audience"


def test_an_assertion_made_under_another_policy_is_refused(world: World, assertion: str) -> None:
    texts = {name: text.replace(b"max_age: 5m", b"max_age: 4m") for name, text in catalog_texts().items()}
    world.bundle_path.write_bytes(bundle_bytes(version=2, texts=texts))

    assert world.spend(assertion).status == 403
    assert world.last_reason("assertion.spent") == "policy_changed"


@pytest.mark.parametrize(("seconds", "status"), [(119, 200), (120, 403), (121, 403)])
def test_an_assertion_is_expired_exactly_at_its_end(world: World, assertion: str, seconds: int, status: int) -> None:
    world.clock.advance(seconds)

    assert world.spend(assertion).status == status


def _parts(assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, payload, _ = assertion.split(".")
    return json.loads(unb64(header)), json.loads(unb64(payload))


def test_the_level_in_an_assertion_is_the_one_reached_not_the_one_asked_for(world: World) -> None:
    # The request may be answered with something stronger too; the code reaches what it reaches.
    _, payload = _parts(world.step_up(world.enrol_totp()))

    assert payload["acr"] == "urn:keyrung:otp"
    assert payload["amr"] == ["otp"]
    assert payload["auth_time"] == int(world.clock.now().timestamp())


def test_a_software_token_is_not_called_hardware(world: World) -> None:
    key = world.enrol_token(hardware=False)
    challenge_id = world.challenge_id()
    (offer,) = world.view(challenge_id).body["factors"]
    signature = b64(key.sign(unb64(offer["signing_input"])))
    answer = world.respond(
        challenge_id,
        {
            "factor": offer["type"],
            "credential_id": offer["credential_id"],
            "origin": "https://verifier.example:8443",
            "signature": signature,
        },
    )

    _, payload = _parts(answer.body["assertion"])
    assert payload["amr"] == ["swk", "pop"]
