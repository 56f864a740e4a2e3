"""From a deployment to its archive: the independent reader finds the log whole, and what was taken away."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.aws_deployment import AwsDeployment, deploy, signing_key
from support.kms import put_kms_right
from support.lambda_events import SESSION_ARN
from support.verifier import challenge_body, evaluation

from keyrung_audit import Report, public_key_from_jwk, read_checkpoints, read_log, verify
from keyrung_verifier.aws.archiver import Archiver
from keyrung_verifier.aws.clients import AwsClients
from keyrung_verifier.aws.deployed import DeployedVerifier, DeploymentDocument
from keyrung_verifier.aws.endpoint import Endpoint
from keyrung_verifier.entry import WebRequest, serve
from keyrung_verifier.metrics import Teller
from keyrung_verifier.system import SystemClock, SystemRandom


class Process:
    """One process of the deployment's functions."""

    def __init__(self, deployment: AwsDeployment) -> None:
        clock, random = SystemClock(), SystemRandom()
        clients = AwsClients(deployment.environment(), clock=clock, random=random)
        teller = Teller(lambda _line: None, function="test", clock=clock)
        document = DeploymentDocument(deployment.environment(), clients, clock=clock, teller=teller)
        self.verifier = DeployedVerifier(document, clients, clock=clock, random=random)
        self.archiver = Archiver(document, clients, clock=clock, teller=teller)

    def post(self, path: str, body: object, *, principal: str | None = SESSION_ARN) -> dict[str, Any]:
        data = json.dumps(body).encode()
        reply = serve(self.verifier.current(), WebRequest(method="POST", path=path, principal=principal, body=data))
        assert reply.status in {200, 201}, reply.body
        found: dict[str, Any] = json.loads(reply.body)
        return found


@pytest.fixture
def deployment(moto: Endpoint, monkeypatch: pytest.MonkeyPatch) -> AwsDeployment:
    """A deployment in which a step-up was made and spent, over two processes and a rotation of the assertion key."""
    put_kms_right(monkeypatch)
    made = deploy(moto)
    first = Process(made)
    totp = made.enrol_totp()
    first.post("/access/v1/evaluation", evaluation("profile.update"))
    challenge_id = first.post("/stepup/v1/challenges", challenge_body("profile.update"))["challenge_id"]
    answer = {"factor": "otp", "code": totp.code(datetime.now(UTC))}
    issued = first.post(f"/stepup/v1/challenges/{challenge_id}/response", answer, principal=None)
    made.publish(
        assertion_keys=[
            made.document["assertion_keys"][0] | {"state": "deactivated"},
            signing_key(moto, "assertion-2", generation=2),
        ]
    )
    second = Process(made)
    spend = challenge_body("profile.update") | {"assertion": issued["assertion"]}
    second.post("/stepup/v1/assertions/spend", spend)
    return made


def check(deployment: AwsDeployment, folder: Path, *, without: str | None = None) -> Report:
    """Copy the archive, but for the objects whose names hold `without`, and verify it as somebody else would."""
    for name, body in deployment.archived("").items():
        if without is None or without not in name:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(body)
    keys = [public_key_from_jwk(jwk) for jwk in deployment.document["audit"]["keys"]]
    return verify(read_log(folder), read_checkpoints(folder), keys)


def test_the_archive_of_a_deployment_verifies(deployment: AwsDeployment, tmp_path: Path) -> None:
    records = deployment.stream()
    for start in range(0, len(records), 20):
        assert Process(deployment).archiver.archive({"Records": records[start : start + 25]}) == {
            "batchItemFailures": []
        }

    report = check(deployment, tmp_path)

    assert report.findings == ()
    assert report.records_count == len(deployment.lines())


def test_a_chain_that_is_taken_out_of_the_archive_is_missed(deployment: AwsDeployment, tmp_path: Path) -> None:
    Process(deployment).archiver.archive({"Records": deployment.stream()})

    assert check(deployment, tmp_path, without="/07/").findings != ()


def test_a_key_ended_when_that_was_seen_and_not_when_it_began(deployment: AwsDeployment) -> None:
    at = {line["event"]: line["detail"]["at"] for line in deployment.lines() if line["event"].startswith("key.")}
    issued = next(line["time"] for line in deployment.lines() if line["event"] == "assertion.issued")

    assert at["key.deactivated"] > issued > at["key.activated"]
