"""The component `StepUp` in the provider: each field is an input, described, and a wrong one is told."""

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.provider import ConstructRequest, GetSchemaRequest
from pulumi.runtime.rpc import UNKNOWN as UNKNOWN_ON_THE_WIRE
from support.pulumi_mocks import deploy

from keyrung_infra.components import StepUp, StepUpArgs
from keyrung_infra.errors import InfraError
from keyrung_infra.provider import provider as provider_module
from keyrung_infra.provider.provider import KeyrungProvider
from keyrung_infra.provider.step_up import StepUpComponent
from keyrung_infra.provider.values import from_plain, to_plain


def _schema(provider: KeyrungProvider) -> dict[str, Any]:
    answer = asyncio.run(provider.get_schema(GetSchemaRequest(0, None, None)))
    found: dict[str, Any] = json.loads(answer.schema or "")
    return found


def _snake(name: str) -> str:
    return "".join(f"_{each.lower()}" if each.isupper() else each for each in name)


def test_every_field_is_an_input_with_a_description(provider: KeyrungProvider) -> None:
    component = _schema(provider)["resources"]["keyrung:index:StepUp"]

    assert component["isComponent"] is True
    inputs = component["inputProperties"]
    assert {_snake(name) for name in inputs} == {field.name for field in dataclasses.fields(StepUpArgs)}
    assert all(rule["description"] for rule in inputs.values())
    assert component["requiredInputs"] == ["policy", "package"]


def test_the_defaults_are_those_of_the_class(provider: KeyrungProvider) -> None:
    inputs = _schema(provider)["resources"]["keyrung:index:StepUp"]["inputProperties"]

    plain = StepUpArgs(policy="", package=Path())
    told = {_snake(name): rule["default"] for name, rule in inputs.items() if "default" in rule}
    assert told == {name: getattr(plain, name) for name in told}
    assert {"protect", "front", "key_generation", "audit_retention_days"} <= told.keys()


def test_a_client_is_a_type_of_its_own(provider: KeyrungProvider) -> None:
    schema = _schema(provider)

    clients = schema["resources"]["keyrung:index:StepUp"]["inputProperties"]["clients"]
    assert clients["items"] == {"$ref": "#/types/keyrung:index:Client"}
    assert schema["types"]["keyrung:index:Client"]["required"] == ["clientId", "audience", "principalArn"]


def test_every_output_is_an_attribute_of_the_class() -> None:
    annotated = StepUp.__annotations__

    assert {_snake(name) for name in StepUpComponent().outputs} == set(annotated)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a project in which the package was built."""
    (tmp_path / "Pulumi.yaml").touch()
    (tmp_path / "verifier.zip").touch()
    monkeypatch.chdir(tmp_path)


def _construct(**inputs: PropertyValue) -> dict[str, Any]:
    """Return the state that the component answers with, and what it registered, for these inputs."""
    given = {"policy": PropertyValue("{}"), "package": PropertyValue("verifier.zip"), **inputs}
    request = ConstructRequest(StepUpComponent.token, "stepup", given, pulumi.ResourceOptions())

    async def made() -> dict[str, Any]:
        answer = await StepUpComponent().construct(request)
        return {name: (to_plain(value), value.dependencies) for name, value in answer.state.items()}

    deployment = deploy(lambda: {"state": asyncio.ensure_future(made())})
    return {"state": deployment.returned["state"], "deployment": deployment}


def test_it_answers_with_its_outputs_and_what_they_depend_on() -> None:
    state = _construct()["state"]

    url, dependencies = state["url"]
    assert url.startswith("https://")
    assert any("apigatewayv2" in urn for urn in dependencies)
    assert sorted(state["keys"][0]) == ["assertion-signing", "audit-signing", "credential-seed", "policy-signing"]


def test_its_inputs_reach_the_deployment() -> None:
    client = {"clientId": "api", "audience": "https://api.example.com", "principalArn": "arn:aws:iam::1:role/api"}
    deployment = _construct(
        clients=from_plain([dict(client)]),
        front=PropertyValue("function-url"),
        reservedConcurrency=PropertyValue(5.0),
        auditLockMode=PropertyValue("COMPLIANCE"),
        importedKeys=from_plain(["policy-signing"]),
        protect=PropertyValue(False),
    )["deployment"]

    assert deployment.one("aws:lambda/functionUrl:FunctionUrl")
    functions = deployment.of("aws:lambda/function:Function")
    assert 5 in {each.inputs.get("reservedConcurrentExecutions") for each in functions}
    assert deployment.one("aws:kms/externalKey:ExternalKey")
    lock = deployment.one("aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration")
    assert lock.inputs["rule"]["defaultRetention"]["mode"] == "COMPLIANCE"
    document = deployment.one("aws:s3/bucketObjectv2:BucketObjectv2", "stepup-config-deployment")
    made = {"client_id": "api", "audience": "https://api.example.com", "principal_arn": "arn:aws:iam::1:role/api"}
    assert json.loads(document.inputs["content"])["clients"] == [made]


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({"architectur": PropertyValue("arm64")}, "no input called architectur; did you mean architecture?"),
        ({"architecture": PropertyValue("sparc")}, "architecture must be one of arm64, x86_64, not 'sparc'"),
        ({"keyDeletionDays": PropertyValue(3.0)}, "deletion_window_days is 3: KMS waits 7 to 30 days"),
        ({"clients": from_plain([{"clientId": "api"}])}, "clients.audience is missing"),
        ({"clients": from_plain(["api"])}, "clients must be of type array"),
        ({"importedKeys": from_plain(["kek-2"])}, "importedKeys"),
        ({"package": PropertyValue("nowhere.zip")}, "package names nowhere.zip, which is not in the project"),
        ({"front": PropertyValue(UNKNOWN_ON_THE_WIRE)}, "front is not known yet"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(inputs: dict[str, PropertyValue], told: str) -> None:
    with pytest.raises(InfraError) as refused:
        _construct(**inputs)

    assert told in str(refused.value)


def test_a_local_stack_does_without_the_classes_of_aws(
    provider: KeyrungProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_module, "find_spec", lambda _name: None)

    assert "keyrung:index:StepUp" not in _schema(provider)["resources"]
