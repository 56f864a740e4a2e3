"""The whole deployment: five lines declare it, and no role can do what is another's."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.pulumi_mocks import ACCOUNT, DEPLOYER, Deployment, deploy

from keyrung_infra.components import Client, StepUp, StepUpArgs

_PACKAGE = Path(__file__)
_OPERATOR = f"arn:aws:iam::{ACCOUNT}:role/operator"
_CLIENT = Client(
    client_id="payments",
    audience="https://payments.example.com",
    principal_arn=f"arn:aws:iam::{ACCOUNT}:role/payments",
)


def _deploy(*, preview: bool = False, **options: Any) -> Deployment:
    def program() -> Mapping[str, Any]:
        step_up = StepUp("stepup", StepUpArgs(policy="{}", package=_PACKAGE, **options))
        return {"url": step_up.url, "keys": step_up.keys, "store": step_up.store, "inventory": step_up.inventory}

    return deploy(program, preview=preview)


@pytest.fixture(scope="module")
def default() -> Deployment:
    return _deploy()


def _document(deployment: Deployment) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        deployment.one("aws:s3/bucketObjectv2:BucketObjectv2", "stepup-config-deployment").inputs["content"]
    )
    return found


def test_the_document_tells_the_verifier_of_keys_store_policy_and_clients(default: Deployment) -> None:
    document = _document(default)

    assert document["issuer"] == default.returned["url"]
    assert document["store"] == default.returned["store"] == "dynamodb:table=stepup-store;region=eu-central-1;shards=16"
    assert document["policy"]["bundle"] == "s3://stepup-config/policy-bundle.json"
    for name in ("assertion_keys", "audit_keys", "seed_keys"):
        assert [key["uri"].partition("alias=")[2] for key in document[name]]
    assert [client["principal_arn"] for client in document["clients"]] == [DEPLOYER]


def test_applications_and_the_public_url_are_told_to_the_verifier() -> None:
    document = _document(_deploy(clients=[_CLIENT], issuer="https://stepup.example.com"))

    assert document["issuer"] == "https://stepup.example.com"
    assert [client["client_id"] for client in document["clients"]] == ["payments"]


def test_the_signed_policy_is_published_as_it_was_signed(default: Deployment) -> None:
    signed = default.one("keyrung:index:PolicySet")
    assert "path" not in signed.inputs
    published = default.one("aws:s3/bucketObjectv2:BucketObjectv2", "stepup-config-policy-bundle")
    assert published.inputs["content"] == '{"signed": "bundle"}'
    assert signed.urn in published.depends_on


def test_the_keys_wait_for_their_inventory(default: Deployment) -> None:
    provider = default.one("pulumi:providers:keyrung")

    assert provider.inputs["inventory"] == default.returned["inventory"]
    assert default.one("aws:dynamodb/table:Table", "stepup-inventory").urn in provider.depends_on


def test_no_two_keys_are_used_by_the_same_role_to_sign(default: Deployment) -> None:
    signers = {
        name: [arn for each in document if "kms:Sign" in each["Action"] for arn in each["Principal"]["AWS"]]
        for name, document in default.documents("aws:kms/key:Key").items()
    }

    assert {name: found for name, found in signers.items() if found} == {
        "stepup-assertion-signing-g1": [f"arn:aws:iam::{ACCOUNT}:role/stepup-verifier"],
        "stepup-policy-signing-g1": [DEPLOYER],
        "stepup-audit-signing-g1": [f"arn:aws:iam::{ACCOUNT}:role/stepup-archiver"],
    }


def test_operators_and_the_deployer_can_be_named() -> None:
    deployment = _deploy(operator_arns=[_OPERATOR], deployer_arn="arn:aws:iam::123456789012:role/pipeline")

    seed = {each["Sid"]: each for each in deployment.documents("aws:kms/key:Key")["stepup-credential-seed-g1"]}
    assert seed["Seal"]["Principal"] == {"AWS": [_OPERATOR]}
    policy = {each["Sid"]: each for each in deployment.documents("aws:kms/key:Key")["stepup-policy-signing-g1"]}
    assert policy["Sign"]["Principal"] == {"AWS": ["arn:aws:iam::123456789012:role/pipeline"]}


def test_a_rotation_keeps_the_verifiers_right_to_the_old_key_and_gives_it_the_new_one() -> None:
    deployment = _deploy(key_generation=2)

    rights = {each["Sid"]: each for each in deployment.documents("aws:iam/rolePolicy:RolePolicy")["stepup-verifier"]}
    assert [arn.rpartition("/")[2] for arn in rights["SignAssertions"]["Resource"]] == [
        "stepup-assertion-signing-g1",
        "stepup-assertion-signing-g2",
    ]


def test_what_holds_data_is_protected_until_it_is_said_otherwise(default: Deployment) -> None:
    stateful = {"aws:s3/bucket:Bucket", "aws:dynamodb/table:Table", "keyrung:index:Key"}

    assert all(each.protect for each in default.resources if each.type in stateful)
    assert not any(each.protect for each in _deploy(protect=False).resources)


def test_a_preview_knows_every_resource_before_anything_is_there(default: Deployment) -> None:
    def names(deployment: Deployment) -> set[str]:
        return {each.urn for each in deployment.resources}

    assert names(_deploy(preview=True)) == names(default)


def test_no_secret_stands_in_what_is_declared(default: Deployment) -> None:
    for document in (_document(default), *(each.inputs for each in default.of("aws:lambda/function:Function"))):
        assert not {"secret", "token", "pin", "password"} & set(_names(document))


def _names(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [str(name) for name in value] + [inner for each in value.values() for inner in _names(each)]
    if isinstance(value, list):
        return [inner for each in value for inner in _names(each)]
    return []
