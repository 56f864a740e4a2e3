"""A document that cannot be taken gives nobody a right, and still takes away what it says is no longer active."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.aws_deployment import AwsDeployment, deploy, signing_key
from support.kms import put_kms_right
from support.lambda_events import SESSION_ARN
from support.verifier import SettableClock, evaluation
from support.verifier import challenge_body as challenge

from keyrung_verifier.aws.clients import AwsClients
from keyrung_verifier.aws.deployed import DeployedVerifier, DeploymentDocument
from keyrung_verifier.aws.endpoint import Endpoint
from keyrung_verifier.aws.published import POLL_SECONDS
from keyrung_verifier.entry import Reply, WebRequest, serve
from keyrung_verifier.errors import StoreError
from keyrung_verifier.limits import SAMPLED_WHOLE
from keyrung_verifier.metrics import Teller
from keyrung_verifier.service import Verifier
from keyrung_verifier.system import SystemRandom

# Parses, and cannot be put together: an ARN is no wildcard.
WRONG_CLIENTS = [{"client_id": "x", "audience": "https://x.example", "principal_arn": "*"}]


class Process:
    """One process of the verifier's function."""

    def __init__(self, deployment: AwsDeployment) -> None:
        self.clock = SettableClock(datetime.now(UTC))
        clients = AwsClients(deployment.environment(), clock=self.clock, random=SystemRandom())
        teller = Teller(lambda _line: None, function="test", clock=self.clock)
        document = DeploymentDocument(deployment.environment(), clients, clock=self.clock, teller=teller)
        self._deployed = DeployedVerifier(document, clients, clock=self.clock, random=SystemRandom())

    def current(self) -> Verifier:
        """Return the verifier after the next look at the document."""
        self.clock.advance(POLL_SECONDS + 1)
        return self._deployed.current()

    def post(self, path: str, body: object, *, principal: str | None = SESSION_ARN) -> Reply:
        data = json.dumps(body).encode()
        return serve(self.current(), WebRequest(method="POST", path=path, principal=principal, body=data))

    def step_up(self, deployment: AwsDeployment) -> Reply:
        totp = deployment.enrol_totp()
        made = self.post("/stepup/v1/challenges", challenge("profile.update"))
        assert made.status == 201, made.body
        answer = {"factor": "otp", "code": totp.code(self.clock.now() + timedelta(seconds=POLL_SECONDS + 1))}
        path = f"/stepup/v1/challenges/{json.loads(made.body)['challenge_id']}/response"
        return self.post(path, answer, principal=None)

    def published(self) -> list[str]:
        return [key["kid"] for key in self.current().jwks()["keys"]]


@pytest.fixture
def deployment(moto: Endpoint, monkeypatch: pytest.MonkeyPatch) -> AwsDeployment:
    put_kms_right(monkeypatch)
    return deploy(moto)


@pytest.fixture
def process(deployment: AwsDeployment) -> Process:
    made = Process(deployment)
    assert made.post("/access/v1/evaluation", evaluation("accounts.read")).status == 200
    return made


def in_state(keys: list[dict[str, Any]], state: str) -> list[dict[str, Any]]:
    return [key | {"state": state} for key in keys]


@pytest.mark.parametrize("state", ["compromised", "suspended", "destroyed", "unheard of"])
def test_a_key_that_a_refused_document_names_as_no_longer_active_signs_nothing(
    deployment: AwsDeployment, process: Process, state: str
) -> None:
    deployment.publish(assertion_keys=in_state(deployment.document["assertion_keys"], state), clients=WRONG_CLIENTS)

    assert process.published() == []
    assert process.step_up(deployment).status == 503
    assert process.post("/access/v1/evaluation", evaluation("accounts.read")).status == 200


def test_a_later_refused_document_does_not_bring_a_key_back(deployment: AwsDeployment, process: Process) -> None:
    keys: list[dict[str, Any]] = deployment.document["assertion_keys"]
    for state in ("compromised", "active", "deactivated"):
        deployment.publish(assertion_keys=in_state(keys, state), clients=WRONG_CLIENTS)
        assert process.published() == []


def test_a_generation_that_only_a_refused_document_names_is_not_used(
    deployment: AwsDeployment, process: Process
) -> None:
    old = deployment.document["assertion_keys"]
    new = signing_key(deployment.endpoint, "assertion-2", generation=2)
    deployment.publish(assertion_keys=[*old, new], clients=WRONG_CLIENTS)

    assert process.published() == [old[0]["thumbprint"]]
    assert process.step_up(deployment).status == 200


def test_seeds_under_a_key_that_a_refused_document_suspends_open_no_more(
    deployment: AwsDeployment, process: Process
) -> None:
    deployment.publish(seed_keys=in_state(deployment.document["seed_keys"], "suspended"), clients=WRONG_CLIENTS)

    assert process.step_up(deployment).status != 200


def test_a_policy_of_a_signer_whom_a_refused_document_does_not_trust_counts_no_more(
    deployment: AwsDeployment, process: Process
) -> None:
    policy: Mapping[str, Any] = deployment.document["policy"]
    deployment.publish(policy={**policy, "keys": {}}, clients=WRONG_CLIENTS)

    assert process.post("/access/v1/evaluation", evaluation("accounts.read")).status == 503


def test_a_good_document_is_taken_whole_again(deployment: AwsDeployment, process: Process) -> None:
    good = dict(deployment.document)
    deployment.publish(assertion_keys=in_state(good["assertion_keys"], "suspended"), clients=WRONG_CLIENTS)
    assert process.published() == []
    deployment.publish(**good)

    assert process.published() == [good["assertion_keys"][0]["thumbprint"]]


@pytest.mark.parametrize("lost", [False, True])
def test_refusals_that_were_only_counted_outlive_the_verifier_that_counted_them(
    deployment: AwsDeployment, process: Process, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    for _ in range(SAMPLED_WHOLE + 3):
        process.clock.advance(-POLL_SECONDS - 1)  # all of them within one window
        assert process.post("/access/v1/evaluation", {}, principal=None).status == 401
    if lost:
        monkeypatch.setattr(Verifier, "tell_counted", _fail)
    deployment.publish(issuer="https://other.example")

    assert process.post("/access/v1/evaluation", evaluation("accounts.read")).status == 200

    told = [line["detail"] for line in deployment.lines() if line["event"] == "refusals.counted"]
    assert ["3" in each.values() for each in told] == ([] if lost else [True])


def _fail(_verifier: Verifier) -> None:
    raise StoreError("the store is out of reach")
