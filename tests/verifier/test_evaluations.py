"""Several evaluations in one request, as section 7 of the AuthZEN Authorization API 1.0 has them."""

from typing import Any

import pytest
from support.verifier import CLIENT, LARGE_TRANSFER, ORIGIN, Answer, World, evaluation

READ: dict[str, Any] = {"action": {"name": "accounts.read"}}
UPDATE: dict[str, Any] = {"action": {"name": "profile.update"}}
CLOSE: dict[str, Any] = {"action": {"name": "accounts.close"}}


def ask(world: World, body: object, **more: Any) -> Answer:
    return world.http("POST", "/access/v1/evaluations", body, client=CLIENT, **more)


def outcomes(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    return [one["context"]["outcome"] for one in answer.body["evaluations"]]


def several(*items: dict[str, Any], semantic: str | None = None) -> dict[str, Any]:
    options = {} if semantic is None else {"options": {"evaluations_semantic": semantic}}
    return evaluation("accounts.read") | {"evaluations": list(items)} | options


def test_every_evaluation_is_answered_in_order_and_leaves_a_record_of_its_own(world: World) -> None:
    answer = ask(world, several(READ, UPDATE, CLOSE))

    assert outcomes(answer) == ["allow", "step_up", "deny"]
    assert [one["decision"] for one in answer.body["evaluations"]] == [True, False, False]
    records = world.records("access.evaluated")
    assert [(record["action"], record["outcome"]) for record in records] == [
        ("accounts.read", "allow"),
        ("profile.update", "step_up"),
        ("accounts.close", "deny"),
    ]
    assert len({record["correlation_id"] for record in records}) == 1


def test_what_an_evaluation_leaves_out_is_taken_from_the_request_and_what_it_states_replaces_it_whole(
    world: World,
) -> None:
    machine = {"subject": {"type": "user", "id": "robot", "properties": {"kind": "machine"}}}
    nobody = {"subject": {"type": "user", "id": "alice"}}
    asked = evaluation("customers.export") | {"evaluations": [{}, machine, nobody]}

    assert outcomes(ask(world, asked)) == ["step_up", "deny", "deny"], "kind is not taken over into another subject"
    assert len({record["subject"] for record in world.records("access.evaluated")}) == 2


def test_a_step_up_says_what_is_needed_and_where_it_begins(world: World) -> None:
    transfer = {
        "action": {"name": "payments.transfer"},
        "resource": {"type": "t", "id": "1", "properties": LARGE_TRANSFER},
    }

    context = ask(world, several(transfer)).body["evaluations"][0]["context"]

    assert (context["acr_values"], context["max_age"]) == (["phr"], 300)
    assert context["challenge_endpoint"] == f"{ORIGIN}/stepup/v1/challenges"


@pytest.mark.parametrize(
    ("semantic", "items", "expected"),
    [
        ("execute_all", [CLOSE, READ, CLOSE], ["deny", "allow", "deny"]),
        ("deny_on_first_deny", [READ, CLOSE, READ], ["allow", "deny"]),
        ("deny_on_first_deny", [READ, UPDATE, READ], ["allow", "step_up"]),
        ("deny_on_first_deny", [READ, READ], ["allow", "allow"]),
        ("permit_on_first_permit", [CLOSE, READ, CLOSE], ["deny", "allow"]),
        ("permit_on_first_permit", [CLOSE, UPDATE], ["deny", "step_up"]),
    ],
)
def test_the_semantic_says_after_which_decision_the_rest_is_not_looked_at(
    world: World, semantic: str, items: list[dict[str, Any]], expected: list[str]
) -> None:
    answer = ask(world, several(*items, semantic=semantic))

    assert outcomes(answer) == expected
    assert len(world.records("access.evaluated")) == len(expected), "what was not decided leaves no record"


def test_an_option_of_somebody_elses_changes_nothing(world: World) -> None:
    asked = several(READ) | {"options": {"another_option": "value"}}

    assert outcomes(ask(world, asked)) == ["allow"]


@pytest.mark.parametrize("body", [evaluation("accounts.read"), several()])
def test_without_a_list_the_answer_is_that_of_a_single_evaluation(world: World, body: dict[str, Any]) -> None:
    answer = ask(world, body)

    assert (answer.status, answer.body["decision"], answer.body["context"]["outcome"]) == (200, True, "allow")
    assert "evaluations" not in answer.body


def test_an_evaluation_that_lacks_an_entity_is_denied_in_its_place_and_recorded(world: World) -> None:
    whole = evaluation("accounts.read")
    body = {"evaluations": [whole, {"action": {"name": "accounts.read"}}, whole]}

    answer = ask(world, body)

    assert outcomes(answer) == ["allow", "deny", "allow"]
    assert answer.body["evaluations"][1]["context"]["error"]["status"] == 400
    assert [record["reason"] for record in world.records("access.evaluated")] == [
        "rule-allows",
        "entity_missing",
        "rule-allows",
    ]


def test_an_evaluation_with_a_malformed_session_is_denied_and_ends_what_stops_at_a_denial(world: World) -> None:
    items = [{"context": {"session": {"id": ""}}}, READ]

    assert outcomes(ask(world, several(*items, semantic="deny_on_first_deny"))) == ["deny"]
    assert outcomes(ask(world, several(*items))) == ["deny", "allow"]


@pytest.mark.parametrize(
    "body",
    [
        several(*[READ] * 51),
        several(READ, semantic="first_come"),
        several(READ) | {"evaluations": {"0": READ}},
        several({"action": {"name": "x", "surprise": 1}}),
        several({"evaluations": [READ]}),
        several({"options": {}}),
        {"evaluations": []},
        {},
        several(READ) | {"options": []},
    ],
)
def test_a_payload_of_another_shape_is_refused_whole(world: World, body: dict[str, Any]) -> None:
    refused = ask(world, body)

    assert (refused.status, refused.body["error"]) == (400, "invalid_request")


def test_fifty_evaluations_are_one_commit_and_fifty_records(world: World) -> None:
    before = len(world.records())

    assert outcomes(ask(world, several(*[READ] * 50))) == ["allow"] * 50
    assert len(world.records()) - before == 50 + 1, "and the policy that was loaded first"


def test_the_request_of_the_specification_that_overrides_a_default_is_answered(world: World) -> None:
    request = {
        "subject": {"type": "user", "id": "alice@example.com"},
        "context": {"time": "2024-05-31T15:22-07:00"},
        "action": {"name": "can_read"},
        "evaluations": [
            {"resource": {"type": "document", "id": "boxcarring.md"}},
            {"resource": {"type": "document", "id": "subject-search.md"}},
            {"action": {"name": "can_edit"}, "resource": {"type": "document", "id": "resource-search.md"}},
        ],
    }

    assert outcomes(ask(world, request)) == ["deny", "deny", "deny"]


def test_a_stranger_is_told_nothing(world: World) -> None:
    answer = world.http("POST", "/access/v1/evaluations", several(READ))

    assert (answer.status, answer.body["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("path", ["/access/v1/evaluation", "/access/v1/evaluations", "/healthz", "/nowhere"])
def test_a_request_id_comes_back_with_every_reply(world: World, path: str) -> None:
    for body in (evaluation("accounts.read"), {}):
        answer = world.http("POST", path, body, client=CLIENT, request_id="bfe9eb29-ab87-4ca3-be83-a1d5d8305716")
        assert answer.headers["X-Request-ID"] == "bfe9eb29-ab87-4ca3-be83-a1d5d8305716"


@pytest.mark.parametrize("request_id", ["a\r\nSet-Cookie: x=1", "a b", "", "x" * 129, "\u00e9", "\x7f"])
def test_a_request_id_that_could_be_more_than_one_word_is_not_repeated(world: World, request_id: str) -> None:
    answer = world.http(
        "POST", "/access/v1/evaluation", evaluation("accounts.read"), client=CLIENT, request_id=request_id
    )

    assert answer.status == 200
    assert "X-Request-ID" not in answer.headers
