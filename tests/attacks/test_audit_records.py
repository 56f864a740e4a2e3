"""What the log holds of every decision: all that it was about, of refusals as of successes, and one line each."""

import re

import pytest
from support.verifier import CLIENT, OTHER_CLIENT, World

HASH = re.compile(r"[0-9a-f]{64}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def test_each_step_of_a_step_up_is_recorded_with_all_that_it_was_about(world: World) -> None:
    totp = world.enrol_totp()
    world.evaluate("profile.update")
    world.spend(world.step_up(totp))

    records = {record["event"]: record for record in world.records()}
    evaluated, created = records["access.evaluated"], records["challenge.created"]
    answered, issued, spent = (records[name] for name in ("challenge.answered", "assertion.issued", "assertion.spent"))
    for record in (evaluated, created, answered, issued, spent):
        assert TIME.fullmatch(record["time"])
        assert HASH.fullmatch(record["subject"])
        assert HASH.fullmatch(record["session"])
        assert (record["action"], record["policy_version"]) == ("profile.update", 1)
        assert record["policy_digest"].startswith("sha-256:")
        assert record["rule_ids"] == ["change-profile"]
        assert record["correlation_id"]
    assert (evaluated["outcome"], evaluated["actor"]) == ("step_up", CLIENT.client_id)
    assert {record["request_digest"] for record in (created, answered, issued, spent)} == {created["request_digest"]}
    assert {answered["factor"], issued["factor"]} == {"otp"}
    assert answered["credential_id"] == issued["credential_id"] == totp.credential_id
    assert issued["key"].keys() == {"uri", "generation", "state", "thumbprint"}
    assert issued["jti"] == spent["jti"]
    assert [record["seq"] for record in world.records()] == list(range(len(world.records())))


@pytest.mark.parametrize("attempt", ["no client", "wrong code", "stolen challenge", "foreign client", "replay"])
def test_a_refusal_is_recorded_like_a_success(world: World, attempt: str) -> None:
    totp = world.enrol_totp()
    assertion = world.step_up(totp)
    assert world.spend(assertion).status == 200
    challenge_id = world.challenge_id()
    before = len(world.records())

    refused = {
        "no client": lambda: world.http("POST", "/access/v1/evaluation", {}),
        "wrong code": lambda: world.respond_code(challenge_id, "000000"),
        "stolen challenge": lambda: world.view("stolen"),
        "foreign client": lambda: world.spend(assertion, client=OTHER_CLIENT),
        "replay": lambda: world.spend(assertion),
    }[attempt]()

    assert refused.status in {401, 403}
    (record,) = world.records()[before:]
    assert (record["outcome"], record["correlation_id"]) == ("refused", refused.body["correlation_id"])
    assert record["reason"]
