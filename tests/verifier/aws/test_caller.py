"""A guard on AWS signs each call to the verifier as its role, as botocore would."""

import json
from collections.abc import Mapping
from typing import Any, Literal

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from support.guarded import MODES_ROUTES, guard_of
from support.verifier import START, SettableClock, World

from keyrung_verifier.aws.caller import role_signature
from keyrung_verifier.errors import ConfigurationError
from keyrung_verifier.guard.messages import Answer, Call
from keyrung_verifier.guard.model import Head, Session

ROLE = {"AWS_ACCESS_KEY_ID": "ASIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "x" * 40, "AWS_SESSION_TOKEN": "token"}
REGION = "eu-central-1"
SESSION = Session(subject_id="alice", session_id="s")
MAY_BE_REUSED = {"outcome": "step_up", "policy_digest": "d", "acr_values": ["x"], "max_age": 300, "single_use": False}


def by_botocore(call: Call, service: str) -> str:
    request = AWSRequest(method=call.method, url=call.url, data=call.body)
    request.context["timestamp"] = START.strftime("%Y%m%dT%H%M%SZ")
    request.headers["X-Amz-Date"] = request.context["timestamp"]
    request.headers["X-Amz-Security-Token"] = ROLE["AWS_SESSION_TOKEN"]
    role = Credentials(ROLE["AWS_ACCESS_KEY_ID"], ROLE["AWS_SECRET_ACCESS_KEY"], ROLE["AWS_SESSION_TOKEN"])
    auth = SigV4Auth(role, service, REGION)
    return str(auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request))


def calls(world: World, service: Literal["execute-api", "lambda"]) -> list[Call]:
    """Return the calls for a request with an assertion that may be reused: a question with a body, and the keys."""
    signature = role_signature(ROLE, region=REGION, service=service, clock=SettableClock(START))
    guard = guard_of(world, authenticate=signature, routes=MODES_ROUTES)
    headers = [("step-up-assertion", "a.b.c")]
    arrival = guard.arrive(Head(method="GET", path="/reports/1990", target="/reports/1990", headers=headers), SESSION)
    steps = guard.admit(arrival, b"")
    question = next(steps)
    answer: Mapping[str, Any] = {"decision": False, "context": MAY_BE_REUSED}
    return [question, steps.send(Answer(status=200, content=json.dumps(answer).encode()))]


@pytest.mark.parametrize("service", ["execute-api", "lambda"])
def test_every_call_is_signed_as_botocore_signs_it(world: World, service: Literal["execute-api", "lambda"]) -> None:
    made = calls(world, service)

    assert [call.url.partition(":8443")[2] for call in made] == ["/access/v1/evaluation", "/.well-known/jwks.json"]
    for call in made:
        assert call.headers["authorization"].endswith(f"Signature={by_botocore(call, service)}")
        assert call.headers["x-amz-security-token"] == "token"
        assert call.headers["host"] == "verifier.example:8443"


def test_the_body_is_part_of_the_signature(world: World) -> None:
    question, _ = calls(world, "execute-api")
    other = Call(method="POST", url=question.url, headers={}, body=question.body.replace(b"alice", b"bobby"))

    assert not question.headers["authorization"].endswith(f"Signature={by_botocore(other, 'execute-api')}")


def test_an_environment_without_a_role_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="role"):
        role_signature({}, region=REGION, service="lambda")
