"""How often an assertion pays, for which requests, and until when: as its rule says, and never more than that."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.verifier import World, at_once, unb64

POLICY = b"""
keyrung: policy/v1
default: deny
attributes:
  resource.amount_minor: {type: integer, min: 0}
levels:
  otp: {acr: "urn:keyrung:otp", any_of: [[otp]]}
  phr: {acr: phr, any_of: [[token-signature-origin-bound]], above: [otp]}
rules:
  - id: approve
    actions: [documents.approve]
    require: {level: otp, max_age: 5m, bind: [method], batch: {count: 10, within: 60s}}
  - id: approve-dear
    actions: [documents.approve]
    when: {resource.amount_minor: {gte: 100}}
    require: {level: otp, max_age: 5m, bind: [], batch: {count: 3, within: 60s}}
  - id: approve-dearer
    actions: [documents.approve]
    when: {resource.amount_minor: {gte: 1000}}
    require: {level: otp, max_age: 5m, bind: [method]}
  - id: approve-bound
    actions: [documents.approve]
    when: {resource.amount_minor: {gte: 10000}}
    require: {level: otp, max_age: 5m, bind: [uri]}
  - id: approve-dearest
    actions: [documents.approve]
    when: {resource.amount_minor: {gte: 100000}}
    require: {level: phr, max_age: 5m, bind: [method]}
  - id: read
    actions: [reports.read]
    require: {level: otp, max_age: 4m, bind: [], single_use: false}
  - id: read-many
    actions: [reports.read]
    when: {resource.amount_minor: {gte: 100}}
    require: {level: otp, max_age: 4m, bind: [], batch: {count: 5, within: 60s}}
  - id: read-now
    actions: [reports.read]
    when: {resource.amount_minor: {eq: 50}}
    require: {level: otp, max_age: 10s, bind: [], single_use: false}
  - id: open
    actions: [vault.open]
    require: {level: otp, max_age: 0s}
"""
BATCH = {"action": "documents.approve"}
REUSABLE = {"action": "reports.read"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, texts={"modes.yaml": POLICY})
    yield made
    made.close()


def asked(base: dict[str, Any], amount: int = 1, **changes: object) -> dict[str, Any]:
    return base | {"resource": {"amount_minor": amount}} | changes


def earn(world: World, base: dict[str, Any], amount: int = 1) -> str:
    return world.step_up(world.enrol_totp(), **asked(base, amount))


def claims_of(assertion: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(unb64(assertion.split(".")[1]))
    return claims


def refusal(world: World, assertion: str, request: dict[str, Any]) -> str | None:
    answer = world.spend(assertion, asked=request)
    assert (answer.status, answer.body["error"]) == (403, "assertion_refused")
    return world.last_reason("assertion.spent")


def test_an_evaluation_says_how_often_a_step_up_pays_and_where_it_begins(world: World) -> None:
    context = world.evaluate(**asked(BATCH)).body["context"]

    assert context["bind"] == ["method"]
    assert context["single_use"] is False
    assert context["batch"] == {"count": 10, "within_seconds": 60}
    assert context["challenge_endpoint"] == "https://verifier.example:8443/stepup/v1/challenges"
    assert "batch" not in world.evaluate(**asked(REUSABLE)).body["context"]


def test_a_batch_pays_for_exactly_its_count_of_requests_whoever_comes_at_once(world: World) -> None:
    assertion = earn(world, BATCH)

    answers = at_once(50, lambda number: world.spend(assertion, asked=asked(BATCH), body=str(number).encode()))

    assert sorted(answer.status for answer in answers) == [200] * 10 + [403] * 40
    assert [record["reason"] for record in world.records("assertion.spent")].count("used") == 40


@pytest.mark.parametrize(("seconds", "status"), [(59, 200), (60, 403)])
def test_the_time_of_a_batch_runs_from_the_issue_of_its_assertion_to_the_second(
    world: World, seconds: int, status: int
) -> None:
    assertion = earn(world, BATCH)
    world.clock.advance(seconds)

    assert world.spend(assertion, asked=asked(BATCH)).status == status


def test_an_assertion_states_its_mode_and_what_it_binds(world: World) -> None:
    batch, single = (
        claims_of(earn(world, BATCH)),
        claims_of(world.step_up(world.enrol_totp("b"), **asked({"action": "vault.open", "subject": "b"}))),
    )

    assert (batch["single_use"], batch["batch"], batch["bind"]) == (
        False,
        {"count": 10, "within_seconds": 60},
        ["method"],
    )
    assert "batch" not in single
    assert (single["single_use"], single["bind"]) == (True, ["method", "uri", "body"])
    assert batch["exp"] - batch["iat"] == 60


def test_a_batch_binds_what_its_rule_names_and_nothing_else_of_the_request(world: World) -> None:
    assertion = earn(world, BATCH)

    assert world.spend(assertion, asked=asked(BATCH), uri="https://api.example/other", body=b"other").status == 200
    assert world.spend(assertion, asked=asked(BATCH), method="PUT").status == 403
    assert world.last_reason("assertion.spent") == "request"


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"action": "reports.read"}, "action"), ({"subject": "mallory"}, "subject"), ({"session": "sid-2"}, "session")],
)
def test_action_subject_and_session_are_bound_in_every_mode(world: World, change: dict[str, Any], reason: str) -> None:
    assertion = earn(world, BATCH)

    assert refusal(world, assertion, asked(BATCH, **change)) == reason


def test_a_batch_may_not_pay_for_a_request_whose_rules_ask_for_more(world: World) -> None:
    assertion = earn(world, BATCH)

    assert refusal(world, assertion, asked(BATCH, 100000)) == "level"
    assert refusal(world, assertion, asked(BATCH, 10000)) == "binding"
    assert world.spend(assertion, asked=asked(BATCH)).status == 200, "a refused use costs nothing"


def test_a_stricter_request_counts_what_the_batch_has_paid_for_before(world: World) -> None:
    assertion = earn(world, BATCH)
    for _ in range(2):
        assert world.spend(assertion, asked=asked(BATCH)).status == 200

    assert world.spend(assertion, asked=asked(BATCH, 100)).status == 200, "the third of three"
    assert refusal(world, assertion, asked(BATCH, 100)) == "used"
    assert refusal(world, assertion, asked(BATCH, 1000)) == "used", "a single use comes first or never"
    assert world.spend(assertion, asked=asked(BATCH)).status == 200


def test_a_request_that_is_paid_once_is_not_paid_twice_by_a_batch(world: World) -> None:
    assertion = earn(world, BATCH)

    assert world.spend(assertion, asked=asked(BATCH, 1000)).status == 200
    assert refusal(world, assertion, asked(BATCH, 1000)) == "used"
    assert world.spend(assertion, asked=asked(BATCH)).status == 200


def test_a_reusable_assertion_pays_until_it_is_over(world: World) -> None:
    assertion = earn(world, REUSABLE)
    assert claims_of(assertion)["exp"] - claims_of(assertion)["iat"] == 240

    assert {world.spend(assertion, asked=asked(REUSABLE)).status for _ in range(20)} == {200}
    world.clock.advance(240)
    assert refusal(world, assertion, asked(REUSABLE)) == "expired"


def test_what_nobody_counted_pays_for_no_request_that_is_counted(world: World) -> None:
    assertion = earn(world, REUSABLE)

    assert refusal(world, assertion, asked(REUSABLE, 100)) == "use"


def test_a_reusable_assertion_too_old_for_a_request_is_refused_at_use(world: World) -> None:
    assertion = earn(world, REUSABLE)
    world.clock.advance(71)  # ten seconds, and the difference that clocks may have

    assert refusal(world, assertion, asked(REUSABLE, 50)) == "age"


def test_a_reusable_assertion_dies_with_its_credential(world: World) -> None:
    assertion = earn(world, REUSABLE)
    (held,) = world.credentials.list("alice")
    world.credentials.revoke(held.credential_id)

    assert refusal(world, assertion, asked(REUSABLE)) == "credential_revoked"


def test_a_max_age_of_zero_asks_for_a_new_step_up_each_time(world: World) -> None:
    request = asked({"action": "vault.open"})
    totp = world.enrol_totp()
    assertion = world.step_up(totp, **request)
    assert world.spend(assertion, asked=request).status == 200

    assert refusal(world, assertion, request) == "used"
    assert world.evaluate(**request).body["context"]["max_age"] == 0


def test_a_refused_use_leaves_a_record_that_names_subject_rules_and_reason(world: World) -> None:
    assertion = earn(world, BATCH)

    refusal(world, assertion, asked(BATCH, 100000))

    record = world.records("assertion.spent")[-1]
    assert (record["outcome"], record["reason"]) == ("refused", "level")
    assert sorted(record["rule_ids"]) == [
        "approve",
        "approve-bound",
        "approve-dear",
        "approve-dearer",
        "approve-dearest",
    ]
    assert record["subject"] == world.records("challenge.created")[-1]["subject"]
    assert record["jti"] == world.records("assertion.issued")[-1]["jti"]


def test_a_request_that_the_policy_allows_or_denies_uses_up_nothing(world: World) -> None:
    assertion = earn(world, BATCH)

    assert world.spend(assertion, asked=asked(BATCH, -1)).body["error"] == "access_denied"
    assert world.spend(assertion, asked=asked(BATCH)).status == 200
