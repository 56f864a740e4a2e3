"""The real bundle in the real emulator of the runtime, against AWS as moto plays it: a step-up, and what may fail."""

import json
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from moto.core.exceptions import JsonRESTError
from moto.kms.models import KmsBackend
from support.aws import url
from support.aws_deployment import DOCUMENT, POLICY, AwsDeployment, deploy, signing_key
from support.kms import put_kms_right
from support.lambda_emulator import Emulator, emulated, unpack_bundle
from support.lambda_events import ROLE_ARN, SESSION_ARN, http_event
from support.tcp_proxy import TcpProxy
from support.verifier import Totp, challenge_body, evaluation

from keyrung_verifier.aws.endpoint import Endpoint
from keyrung_verifier.aws.published import POLL_SECONDS

CHALLENGES, SPEND = "/stepup/v1/challenges", "/stepup/v1/assertions/spend"
XRAY = "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="session")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def deployment(moto: Endpoint, monkeypatch: pytest.MonkeyPatch) -> AwsDeployment:
    put_kms_right(monkeypatch)
    return deploy(moto)


@pytest.fixture
def function(deployment: AwsDeployment, task: Path, tmp_path: Path) -> Iterator[Emulator]:
    with running(deployment, task, tmp_path) as found:
        yield found


def running(
    deployment: AwsDeployment, task: Path, folder: Path, *, handler: str = "http", **environment: str
) -> AbstractContextManager[Emulator]:
    name = f"keyrung_verifier.handler.{handler}"
    return emulated(folder, task, name, environment=deployment.environment() | environment)


def evaluate(function: Emulator, action: str = "profile.update") -> tuple[int, dict[str, Any], dict[str, str]]:
    return function.http(http_event("POST", "/access/v1/evaluation", evaluation(action), principal=SESSION_ARN))


def challenge(function: Emulator) -> str:
    event = http_event("POST", CHALLENGES, challenge_body("profile.update"), principal=SESSION_ARN)
    status, body, _ = function.http(event)
    assert status == 201, body
    return str(body["challenge_id"])


def respond(function: Emulator, challenge_id: str, totp: Totp) -> tuple[int, dict[str, Any], dict[str, str]]:
    answer = {"factor": "otp", "code": totp.code(datetime.now(UTC))}
    return function.http(http_event("POST", f"{CHALLENGES}/{challenge_id}/response", answer))


def spend(function: Emulator, assertion: str) -> tuple[int, dict[str, Any], dict[str, str]]:
    body = challenge_body("profile.update") | {"assertion": assertion}
    return function.http(http_event("POST", SPEND, body, principal=SESSION_ARN))


def test_a_step_up_from_evaluation_to_spend(deployment: AwsDeployment, function: Emulator) -> None:
    totp = deployment.enrol_totp()

    status, decision, _ = evaluate(function)
    assert (status, decision["context"]["outcome"]) == (200, "step_up")
    challenge_id = challenge(function)
    status, view, _ = function.http(http_event("GET", f"{CHALLENGES}/{challenge_id}"))
    assert status == 200
    assert [offer["type"] for offer in view["factors"]] == ["otp"]
    status, issued, _ = respond(function, challenge_id, totp)
    assert status == 200, issued
    assert spend(function, issued["assertion"])[0] == 200
    assert spend(function, issued["assertion"])[0] == 403
    assert respond(function, challenge_id, totp)[0] == 403
    status, keys, _ = function.http(http_event("GET", "/.well-known/jwks.json"))
    assert [key["kid"] for key in keys["keys"]] == [deployment.document["assertion_keys"][0]["thumbprint"]]

    events = [record["event"] for record in deployment.lines()]
    assert {"log.opened", "verifier.started", "access.evaluated", "challenge.created"} <= set(events)
    assert events.count("assertion.issued") == 1
    lines = function.lines()
    assert [line["operation"] for line in lines] == [
        "evaluate", "challenge", "read-challenge", "respond", "spend", "spend", "respond", "read-keys",
    ]  # fmt: skip
    assert [line["StepUps"] for line in lines] == [0, 0, 0, 1, 0, 0, 0, 0]
    assert [line.get("error") for line in lines].count(None) == 6
    assert [line["cold_start"] for line in lines] == [True] + [False] * 7
    said = function.log.read_text()
    for secret in (challenge_id, issued["assertion"], totp.code(datetime.now(UTC)), "alice", "sid-1"):
        assert secret not in said


def test_a_call_can_be_followed_by_its_ids(deployment: AwsDeployment, function: Emulator) -> None:
    status, refused, headers = function.http(
        http_event("POST", SPEND, "{}", principal=SESSION_ARN, headers={"traceparent": TRACEPARENT})
    )

    line = function.lines()[-1]
    assert status == line["status"] == 400
    assert line["correlation_id"] == refused["correlation_id"]
    assert line["traceparent"] == TRACEPARENT
    assert len(line["request_id"]) == 36
    assert "secret" not in headers


def test_only_the_role_of_a_client_is_answered(deployment: AwsDeployment, function: Emulator) -> None:
    for principal in (None, SESSION_ARN.replace("sample-api", "another")):
        event = http_event("POST", "/access/v1/evaluation", evaluation("accounts.read"), principal=principal)
        assert function.http(event)[0] == 401


def test_a_direct_invocation_is_answered_for_the_application_that_the_deployment_names(
    deployment: AwsDeployment, task: Path, tmp_path: Path
) -> None:
    event = {"method": "POST", "path": "/access/v1/evaluation", "body": json.dumps(evaluation("accounts.read"))}

    with running(deployment, task, tmp_path, handler="direct", KEYRUNG_PRINCIPAL=ROLE_ARN) as function:
        answer = function.call(event)
        assert answer["status"] == 200
        assert json.loads(answer["body"])["decision"] is True
        assert function.call(http_event("GET", "/healthz"))["status"] == 400
    with running(deployment, task, tmp_path, handler="direct") as function:
        assert function.call(event)["status"] == 401


def test_what_a_later_deployment_says_acts_without_a_restart(deployment: AwsDeployment, function: Emulator) -> None:
    assert evaluate(function)[0] == 200
    old = deployment.document["assertion_keys"][0]
    new = signing_key(deployment.endpoint, "assertion-2", generation=2)
    deployment.publish(assertion_keys=[old | {"state": "compromised"}, new])
    time.sleep(POLL_SECONDS + 0.1)

    _, keys, _ = function.http(http_event("GET", "/.well-known/jwks.json"))

    assert [key["kid"] for key in keys["keys"]] == [new["thumbprint"]]


def test_without_a_document_everything_is_refused(deployment: AwsDeployment, function: Emulator) -> None:
    deployment.remove(DOCUMENT)

    status, body, headers = evaluate(function, "accounts.read")

    assert (status, body["error"], headers["Retry-After"]) == (503, "temporarily_unavailable", "2")


def test_a_damaged_document_is_none_at_first_and_the_last_good_one_later(
    deployment: AwsDeployment, function: Emulator
) -> None:
    deployment.put(DOCUMENT, b"")
    assert evaluate(function, "accounts.read")[0] == 503
    deployment.publish()
    time.sleep(POLL_SECONDS + 0.1)
    assert evaluate(function, "accounts.read")[0] == 200
    damaged = (b"", b"{", b"[]", b'{"issuer": "https://x.example"}')
    for content in damaged:
        deployment.put(DOCUMENT, content)
        time.sleep(POLL_SECONDS + 0.1)
        assert evaluate(function, "accounts.read")[0] == 200
    assert sum(line.get("RefusedDeployments", 0) for line in function.lines()) == 1 + len(damaged)


def test_without_a_policy_everything_is_denied_and_the_last_good_one_outlives_its_object(
    deployment: AwsDeployment, function: Emulator
) -> None:
    deployment.remove(POLICY)
    assert evaluate(function, "accounts.read")[0] == 503
    deployment.publish_policy()
    time.sleep(POLL_SECONDS + 0.1)
    assert evaluate(function, "accounts.read")[0] == 200
    deployment.put(POLICY, b"damaged")
    time.sleep(POLL_SECONDS + 0.1)
    assert evaluate(function, "accounts.read")[0] == 200


def test_a_throttled_key_store_is_said_to_be_busy_and_nothing_is_issued(
    deployment: AwsDeployment, function: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def throttle(*_args: Any, **_kwargs: Any) -> Any:
        raise JsonRESTError("ThrottlingException", "Rate exceeded")

    totp = deployment.enrol_totp()
    challenge_id = challenge(function)
    monkeypatch.setattr(KmsBackend, "sign", throttle)

    status, body, headers = respond(function, challenge_id, totp)

    assert (status, body["error"], headers["Retry-After"]) == (503, "temporarily_unavailable", "2")
    assert [record["outcome"] for record in deployment.lines() if record["event"] == "assertion.issued"] == ["refused"]


def test_a_store_that_hangs_is_given_up_in_time_to_say_so(
    deployment: AwsDeployment, task: Path, tmp_path: Path, proxy: TcpProxy
) -> None:
    deployment.enrol_totp()  # the log is open, so the first call is a short one
    slow = deployment.environment() | {"AWS_ENDPOINT_URL_DYNAMODB": url(proxy.endpoint)}
    name = "keyrung_verifier.handler.http"
    with emulated(tmp_path, task, name, environment=slow, timeout_seconds=6) as function:
        # A cold start on a busy machine may itself take the 6 s.
        assert any(evaluate(function, "accounts.read")[0] == 200 for _ in range(5))
        proxy.hang = True
        proxy.cut()

        status, body, _ = evaluate(function, "accounts.read")  # the platform would have answered after its 6 s

        assert (status, body["error"]) == (503, "temporarily_unavailable")
        assert function.lines()[-1]["Latency"] < 6_000
        proxy.hang = False
        proxy.cut()
        assert evaluate(function, "accounts.read")[0] == 200


def test_a_deployment_that_makes_no_sense_is_counted_and_changes_nothing(
    deployment: AwsDeployment, function: Emulator
) -> None:
    assert evaluate(function, "accounts.read")[0] == 200
    deployment.publish(clients=[{"client_id": "x", "audience": "https://x.example", "principal_arn": "*"}])
    time.sleep(POLL_SECONDS + 0.1)

    assert [evaluate(function, "accounts.read")[0] for _ in range(3)] == [200] * 3
    assert sum(line.get("RefusedDeployments", 0) for line in function.lines()) == 1


def test_a_key_store_that_hangs_is_given_up_in_time_and_nothing_is_issued(
    deployment: AwsDeployment, task: Path, tmp_path: Path, proxy: TcpProxy
) -> None:
    totp = deployment.enrol_totp()
    slow = deployment.environment() | {"AWS_ENDPOINT_URL_KMS": url(proxy.endpoint)}
    with emulated(tmp_path, task, "keyrung_verifier.handler.http", environment=slow, timeout_seconds=8) as function:
        challenge_id = challenge(function)
        proxy.hang = True

        status, body, _ = respond(function, challenge_id, totp)

        assert (status, body["error"]) == (503, "temporarily_unavailable")
        assert function.lines()[-1]["Latency"] < 8_000
    assert not [record for record in deployment.lines() if record["event"] == "assertion.issued"]
