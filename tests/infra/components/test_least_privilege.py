"""Least privilege, over every policy document of a whole deployment: what is allowed, on what, to whom."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.pulumi_mocks import ACCOUNT, DEPLOYER, Deployment, deploy, statements

from keyrung_infra.components import StepUp, StepUpArgs
from keyrung_infra.components.verifier_api import Front
from keyrung_infra.components.verifier_function import TRUSTED_ATTRIBUTES
from keyrung_verifier.aws.kms import KmsSealer, KmsSigner
from keyrung_verifier.aws.s3 import Bucket
from keyrung_verifier.store.dynamodb_items import credential_item
from keyrung_verifier.store.dynamodb_table import OPERATOR_ACTIONS, VERIFIER_ACTIONS
from keyrung_verifier.store.protocol import Credential

_VERIFIER, _ARCHIVER = (f"arn:aws:iam::{ACCOUNT}:role/stepup-{name}" for name in ("verifier", "archiver"))
_KEY, _BUCKET_POLICY, _ROLE_POLICY = (
    "aws:kms/key:Key",
    "aws:s3/bucketPolicy:BucketPolicy",
    "aws:iam/rolePolicy:RolePolicy",
)
_LOGGING = {"logs:CreateLogStream", "logs:PutLogEvents"}
# What the code calls, and what a service does in its name: read a stream for it, open a table or a bucket for it.
_CALLED = {
    "stepup-verifier": {
        *_LOGGING,
        *KmsSigner.ACTIONS,
        *KmsSealer.OPEN_ACTIONS,
        *Bucket.GET_ACTIONS,
        *VERIFIER_ACTIONS,
    },
    "stepup-archiver": {
        *_LOGGING,
        *KmsSigner.ACTIONS,
        *Bucket.GET_ACTIONS,
        *Bucket.PUT_ACTIONS,
        *("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"),
        *("kms:Decrypt", "kms:GenerateDataKey", "sqs:SendMessage"),
    },
}
_WITHOUT_RESOURCES = {"dynamodb:ListStreams"}  # IAM offers none for it (Service Authorization Reference)

_NEWER_THAN_THE_LINTER = "lambda:InvokedViaFunctionUrl"


@pytest.fixture(scope="module", params=list(Front))
def deployment(request: pytest.FixtureRequest) -> Deployment:
    def program() -> Mapping[str, Any]:
        args = StepUpArgs(policy="{}", package=Path(__file__), key_generation=2, front=request.param)
        step_up = StepUp("stepup", args)
        return {"caller": step_up.caller_policy, "operator": step_up.operator_policy}

    return deploy(program)


def _documents(deployment: Deployment) -> Iterator[tuple[str, str]]:
    """Yield every policy document with the type of what it stands on."""
    for each in deployment.resources:
        for name in ("policy", "assumeRolePolicy"):
            if each.type.startswith("aws:") and name in each.inputs:
                yield (each.type if name == "policy" else "trust"), each.inputs[name]
    yield from deployment.returned.items()


def _all_statements(deployment: Deployment) -> list[tuple[str, dict[str, Any]]]:
    return [(kind, each) for kind, document in _documents(deployment) for each in statements(document)]


def _signers(deployment: Deployment, key: str) -> set[str]:
    """Return who may sign with a key: the key's own policy decides, since it leaves no use of it to IAM."""
    allowed = [each for each in statements(deployment.one(_KEY, key).inputs["policy"]) if each["Effect"] == "Allow"]
    return {arn for each in allowed if "kms:Sign" in each["Action"] for arn in each["Principal"]["AWS"]}


def test_every_document_is_looked_at(deployment: Deployment) -> None:
    kinds = [kind for kind, _ in _documents(deployment)]

    assert (kinds.count(_KEY), kinds.count(_BUCKET_POLICY), kinds.count("trust")) == (11, 3, 2)
    assert kinds.count(_ROLE_POLICY) == 2
    assert "aws:sns/topicPolicy:TopicPolicy" in kinds


def test_no_action_is_a_pattern(deployment: Deployment) -> None:
    allowed = [each for _, each in _all_statements(deployment) if each["Effect"] == "Allow"]

    assert not [action for each in allowed for action in each["Action"] if "*" in action]


def test_no_resource_is_everything_where_iam_knows_a_narrower_one(deployment: Deployment) -> None:
    for kind, each in _all_statements(deployment):
        if each["Effect"] == "Allow" and kind not in {"trust", _KEY} and "*" in each["Resource"]:
            assert set(each["Action"]) <= _WITHOUT_RESOURCES, each["Sid"]


def test_no_principal_is_everybody(deployment: Deployment) -> None:
    for _, each in _all_statements(deployment):
        principals = [name for names in each.get("Principal", {}).values() for name in names]
        assert each["Effect"] == "Deny" or not [name for name in principals if "*" in name], each["Sid"]


def test_a_service_acts_for_this_account_only(deployment: Deployment) -> None:
    for kind, each in _all_statements(deployment):
        if "Service" in each.get("Principal", {}) and kind != "trust":  # which Lambda takes on for its own functions
            assert ACCOUNT in json.dumps(each["Condition"]), each["Sid"]


@pytest.mark.parametrize("role", _CALLED)
def test_a_role_may_do_exactly_what_its_code_calls(deployment: Deployment, role: str) -> None:
    allowed = [each for each in deployment.documents(_ROLE_POLICY)[role] if each["Effect"] == "Allow"]
    granted = {action for each in allowed for action in each["Action"]}

    assert granted == _CALLED[role]


def test_each_signing_key_has_one_signer(deployment: Deployment) -> None:
    for generation in (1, 2):
        assert _signers(deployment, f"stepup-assertion-signing-g{generation}") == {_VERIFIER}
        assert _signers(deployment, f"stepup-policy-signing-g{generation}") == {DEPLOYER}
        assert _signers(deployment, f"stepup-audit-signing-g{generation}") == {_ARCHIVER}


def test_the_verifiers_rights_name_the_assertion_keys_and_no_other_signing_key(deployment: Deployment) -> None:
    signing = [each for each in deployment.documents(_ROLE_POLICY)["stepup-verifier"] if "kms:Sign" in each["Action"]]

    assert [arn.rpartition("/")[2] for each in signing for arn in each["Resource"]] == [
        "stepup-assertion-signing-g1",
        "stepup-assertion-signing-g2",
    ]


def test_the_verifier_writes_neither_policy_nor_configuration_nor_archive(deployment: Deployment) -> None:
    rights = deployment.documents(_ROLE_POLICY)["stepup-verifier"]
    on_buckets = [
        (action, arn) for each in rights for action in each["Action"] for arn in each["Resource"] if ":s3:" in arn
    ]
    assert {action for action, _ in on_buckets} == {"s3:GetObject"}
    assert {arn for _, arn in on_buckets} == {
        "arn:aws:s3:::stepup-config/deployment.json",
        "arn:aws:s3:::stepup-config/policy-bundle.json",
    }

    writers = {"stepup-config": DEPLOYER, "stepup-archive": _ARCHIVER}
    for bucket, writer in writers.items():
        deny = next(each for each in deployment.documents(_BUCKET_POLICY)[bucket] if each["Sid"] == "OneWriter")
        assert (deny["Effect"], deny["Condition"]) == ("Deny", {"ArnNotEquals": {"aws:PrincipalArn": writer}})
        assert {"s3:PutObject", "s3:ReplicateObject", "s3:ReplicateDelete"} <= set(deny["Action"])


def test_nobody_puts_another_object_under_a_name_of_the_archive_not_even_the_archiver(deployment: Deployment) -> None:
    rules = {each["Sid"]: each for each in deployment.documents(_BUCKET_POLICY)["stepup-archive"]}

    deny = rules["WriteOnce"]
    assert (deny["Effect"], deny["Action"], deny["Principal"]) == ("Deny", ["s3:PutObject"], {"AWS": ["*"]})
    assert deny["Resource"] == ["arn:aws:s3:::stepup-archive/*"]
    assert deny["Condition"] == {"Null": {"s3:if-none-match": "true"}}


def test_the_verifier_cannot_make_a_credential_or_change_what_it_trusts_in_one(deployment: Deployment) -> None:
    rights = {each["Sid"]: each for each in deployment.documents(_ROLE_POLICY)["stepup-verifier"]}

    deny = rights["TrustNobodyAnew"]
    assert (deny["Effect"], set(deny["Action"])) == ("Deny", {"dynamodb:PutItem", "dynamodb:UpdateItem"})
    refused = deny["Condition"]["ForAnyValue:StringEquals"]["dynamodb:Attributes"]
    made = credential_item(
        Credential(
            credential_id="c",
            subject_id="s",
            factor="otp",
            sealed_seed="sealed",
            public_jwk={},
            created_at_seconds=0,
        )
    )
    assert set(refused) == set(TRUSTED_ATTRIBUTES) <= set(made)


def test_the_verifier_neither_deletes_nor_changes_a_line_of_the_log(deployment: Deployment) -> None:
    rights = {each["Sid"]: each for each in deployment.documents(_ROLE_POLICY)["stepup-verifier"]}

    assert "dynamodb:DeleteItem" not in rights["UseTheStore"]["Action"]
    deny = rights["KeepTheLog"]
    assert (deny["Effect"], deny["Action"]) == ("Deny", ["dynamodb:UpdateItem"])
    assert deny["Condition"] == {"ForAnyValue:StringLike": {"dynamodb:LeadingKeys": ["audit#*"]}}


def test_an_operator_seals_and_writes_credentials_and_opens_nothing(deployment: Deployment) -> None:
    rights = {each["Sid"]: each for each in statements(deployment.returned["operator"])}

    assert set(rights["KeepCredentials"]["Action"]) == OPERATOR_ACTIONS
    assert set(rights["SealSeeds"]["Action"]) == KmsSealer.SEAL_ACTIONS
    seed_keys = set(rights["SealSeeds"]["Resource"])
    assert not seed_keys & {
        arn for each in rights.values() if "kms:Decrypt" in each["Action"] for arn in each["Resource"]
    }


def test_the_verifier_has_no_right_on_the_inventory(deployment: Deployment) -> None:
    rights = deployment.documents(_ROLE_POLICY)["stepup-verifier"]

    assert not [arn for each in rights for arn in each["Resource"] if "inventory" in arn]


def test_who_seals_seeds_cannot_open_them_and_the_verifier_cannot_seal(deployment: Deployment) -> None:
    for document in (deployment.documents(_KEY)[f"stepup-credential-seed-g{number}"] for number in (1, 2)):
        by_sid = {each["Sid"]: each for each in document}
        assert by_sid["Seal"]["Principal"]["AWS"] == [DEPLOYER]
        assert by_sid["Open"]["Principal"]["AWS"] == [_VERIFIER]


_LINTER = """
import json, sys, warnings
warnings.simplefilter("ignore")  # about packages that it uses
import parliament
for document in json.load(sys.stdin):
    for found in parliament.analyze_policy_string(document).findings:
        print(f"{found.issue}: {found.detail} {found.location}")
"""


def _lint(documents: list[str]) -> str:
    done = subprocess.run([sys.executable, "-c", _LINTER], input=json.dumps(documents), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_linter_finds_nothing(deployment: Deployment) -> None:
    # A trust policy has no resource, which the linter takes for a mistake.
    documents = [document for kind, document in _documents(deployment) if kind != "trust"]

    # A resource that is everything is judged above, where the meaning of a key policy's is known.
    known = ("RESOURCE_STAR", f"UNKNOWN_CONDITION_FOR_ACTION: Unknown condition {_NEWER_THAN_THE_LINTER} ")
    assert [line for line in _lint(documents).splitlines() if not line.startswith(known)] == []


def test_the_linter_would_find_a_misspelt_action() -> None:
    wrong = {"Effect": "Allow", "Action": ["kms:Sing"], "Resource": ["arn:aws:kms:eu-central-1:123456789012:key/k"]}

    assert "UNKNOWN_ACTION" in _lint([json.dumps({"Version": "2012-10-17", "Statement": [wrong]})])
