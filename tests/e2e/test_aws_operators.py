"""A step-up on the deployed stack: the verifier's code in AWS's emulator, over the keys, tables and objects of `up`."""

import json
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from support.aws_account import REAL, REGION
from support.aws_stack import DeployedStack
from support.lambda_emulator import Emulator, emulated, unpack_bundle
from support.lambda_events import http_event
from support.serving import REQUEST, app_of, question, unused_code

pytestmark = [
    pytest.mark.xdist_group("aws-stack"),
    pytest.mark.skipif(REAL, reason="in a real account Lambda runs the function"),
]


@pytest.fixture(scope="module")
def function(aws_stack: DeployedStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """The verifier, told of its deployment as Lambda tells it."""
    environment = {**aws_stack.account.environment(), "KEYRUNG_CONFIG": aws_stack.outputs["config"]}
    folder = tmp_path_factory.mktemp("function")
    with emulated(folder, unpack_bundle(folder), "keyrung_verifier.handler.http", environment=environment) as made:
        yield made


def _caller(stack: DeployedStack) -> str:
    """Return the identity that deploys: the only client of a stack that names none."""
    return str(stack.published()[0]["clients"][0]["principal_arn"])


def _operate(stack: DeployedStack, *arguments: str) -> Any:
    """Run a `keyrung credential` command on the deployment."""
    environment = {"KEYRUNG_CONFIG": stack.outputs["config"], "AWS_REGION": REGION}
    command = ("credential", *arguments, "--json")
    return json.loads(stack.project.keyrung(*command, environment=environment).stdout)


def test_an_operator_adds_a_credential_that_the_verifier_asks_for_lists_and_revokes_it(
    aws_stack: DeployedStack, function: Emulator
) -> None:
    added, caller = _operate(aws_stack, "add", "totp", "bea"), _caller(aws_stack)
    asked = function.http(http_event("POST", "/access/v1/evaluation", question("bea"), principal=caller))
    assert (asked[0], asked[1]["decision"], asked[1]["context"]["outcome"]) == (200, False, "step_up")
    order = {**question("bea"), "request": REQUEST}
    assert function.http(http_event("POST", "/stepup/v1/challenges", order, principal=caller))[0] == 201
    assert [each["state"] for each in _operate(aws_stack, "list", "bea")["credentials"]] == ["active"]
    _operate(aws_stack, "revoke", added["credential_id"])
    assert [each["state"] for each in _operate(aws_stack, "list", "bea")["credentials"]] == ["revoked"]


def test_a_step_up_is_answered_with_a_code_and_spent_once(aws_stack: DeployedStack, function: Emulator) -> None:
    caller, order = _caller(aws_stack), {**question("cleo"), "request": REQUEST}
    app = app_of(_operate(aws_stack, "add", "totp", "cleo")["otpauth_uri"])
    asked = function.http(http_event("POST", "/access/v1/evaluation", question("cleo"), principal=caller))
    assert asked[1]["context"]["outcome"] == "step_up"
    challenge = function.http(http_event("POST", "/stepup/v1/challenges", order, principal=caller))[1]["challenge_id"]

    answer = {"factor": "otp", "code": unused_code(app)}
    responding = http_event("POST", f"/stepup/v1/challenges/{challenge}/response", answer)
    status, issued, _ = function.http(responding)
    assert status == 200, function.lines()[-1]
    spending = http_event(
        "POST", "/stepup/v1/assertions/spend", {**order, "assertion": issued["assertion"]}, principal=caller
    )

    assert [function.http(each)[0] for each in (spending, spending, responding)] == [200, 403, 403]
    keys = function.http(http_event("GET", "/.well-known/jwks.json"))[1]
    key = jwt.PyJWKSet.from_dict(keys)[jwt.get_unverified_header(issued["assertion"])["kid"]]
    audience = aws_stack.published()[0]["clients"][0]["audience"]
    claims = jwt.decode(issued["assertion"], key, algorithms=["ES256"], audience=audience)
    assert claims["sub"] == "cleo"


def test_a_stranger_may_not_ask(aws_stack: DeployedStack, function: Emulator) -> None:
    stranger = "arn:aws:iam::123456789012:role/stranger"
    for principal in (stranger, None):
        status, told, _ = function.http(
            http_event("POST", "/access/v1/evaluation", question("alice"), principal=principal)
        )
        assert status in {401, 403}, told
