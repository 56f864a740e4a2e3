"""The test double of the plugin `aws`: as strict as pulumi_aws about inputs, and a life of resources in the engine."""

import asyncio
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pulumi.provider.experimental.provider import CheckRequest
from support.aws_account import Account, AwsProject, running_account, small_project
from support.aws_plugin.provider import RESOURCES, AwsDouble
from support.aws_plugin.shapes import shape
from support.aws_plugin.values import UNKNOWN, wire_map

from keyrung_infra.tools import Tools

_TABLE = {
    "name": "t",
    "hashKey": "pk",
    "attributes": [{"name": "pk", "type": "S"}],
    "ttl": {"attributeName": "e", "enabled": True},
}
_PROGRAM = """
import pulumi, pulumi_aws as aws

config = pulumi.Config()
key = aws.kms.Key('seed', description=config.get("text") or "one", deletion_window_in_days=7)
alias = aws.kms.Alias("seed", name="alias/seed", target_key_id=key.id)
table = aws.dynamodb.Table(
    "store", hash_key="pk", attributes=[{"name": "pk", "type": "S"}], billing_mode="PAY_PER_REQUEST",
    deletion_protection_enabled=False,
)
role = aws.iam.Role("runs", assume_role_policy='{"Version": "2012-10-17", "Statement": []}')
function = aws.lambda_.Function(
    "runs", role=role.arn, runtime="python3.13", handler="a.b", code=pulumi.FileArchive("code.zip"), publish=True
)
pulumi.export("version", function.version)
pulumi.export("key", alias.target_key_arn)
pulumi.export("account", aws.get_caller_identity_output().account_id)
pulumi.export("table", table.name)
"""


def _refusals(token: str, inputs: Mapping[str, Any]) -> str:
    urn = f"urn:pulumi:test::small::{token}::it"
    answer = asyncio.run(AwsDouble().check(CheckRequest(urn, {}, wire_map(inputs), b"seed")))
    return "; ".join(failure.reason for failure in answer.failures or [])


@pytest.mark.parametrize("token", sorted(RESOURCES))
def test_whatever_the_double_has_code_for_is_in_pulumi_aws(token: str) -> None:
    resource, known = RESOURCES[token], shape(token)
    assert resource.inputs <= known.names
    assert resource.replaces <= resource.inputs
    assert {resource.named, resource.archive} - {None} <= resource.inputs
    assert resource.renewed <= known.state


@pytest.mark.parametrize(
    ("token", "inputs", "reason"),
    [
        ("aws:dynamodb/table:Table", _TABLE, ""),
        ("aws:dynamodb/table:Table", {**_TABLE, "name": UNKNOWN, "ttl": UNKNOWN}, ""),
        ("aws:dynamodb/table:Table", {**_TABLE, "hashkey": "pk"}, "hashkey is no property of TableArgs, hashKey is"),
        ("aws:dynamodb/table:Table", {**_TABLE, "ttl": {"attributName": "e"}}, "ttl.attributName is no property of"),
        ("aws:dynamodb/table:Table", {**_TABLE, "attributes": [{"name": "a"}]}, "attributes[0].type is missing"),
        ("aws:dynamodb/table:Table", {**_TABLE, "attributes": {"name": "a"}}, "attributes is no Sequence"),
        ("aws:dynamodb/table:Table", {**_TABLE, "streamEnabled": "true"}, "streamEnabled is no bool"),
        ("aws:dynamodb/table:Table", {**_TABLE, "tags": {"a": 1}}, "tags.a is no str"),
        ("aws:dynamodb/table:Table", {**_TABLE, "tableClass": "STANDARD"}, "has no code for tableClass"),
        ("aws:kms/alias:Alias", {"name": "alias/a"}, "targetKeyId is missing, and AliasArgs requires it"),
        ("aws:kms/key:Key", {"deletionWindowInDays": 7.5}, "deletionWindowInDays is no int"),
        ("aws:iam/rolePolicy:RolePolicy", {"role": "r", "policy": '{"Version": "2012-10-17"}'}, ""),
        ("aws:lambda/function:Function", {"role": "r", "code": "function.zip"}, "code is no Archive"),
    ],
)
def test_an_input_is_judged_by_the_classes_of_pulumi_aws(token: str, inputs: dict[str, Any], reason: str) -> None:
    assert reason in _refusals(token, inputs)
    assert bool(reason) == bool(_refusals(token, inputs))


def test_the_double_does_not_start_without_an_address_that_is_played(tools: Tools, tmp_path: Path) -> None:
    project = AwsProject(root=tmp_path, account=Account(endpoint=""), tools=tools)
    started = project.run(str(Path(__file__).parents[1] / "support/aws_plugin/pulumi-resource-aws"), check=False)
    assert started.returncode == 1
    assert "this is a test double" in started.stderr


@pytest.fixture
def account() -> Iterator[Account]:
    with running_account() as found:
        yield found


def _pack(project: AwsProject, text: str) -> None:
    with zipfile.ZipFile(project.root / "code.zip", "w") as made:
        made.writestr("a.py", text)


def test_resources_are_made_kept_changed_replaced_and_deleted(tools: Tools, account: Account, tmp_path: Path) -> None:
    project = small_project(tmp_path / "project", account, tools, _PROGRAM)
    _pack(project, "one")
    kms, dynamodb = account.client("kms"), account.client("dynamodb")
    project.pulumi("up", "--yes", "--skip-preview")
    outputs = project.pulumi_json("stack", "output", "--json")
    assert kms.describe_key(KeyId="alias/seed")["KeyMetadata"]["Arn"] == outputs["key"]
    assert outputs["account"] == outputs["key"].split(":")[4]

    project.pulumi("up", "--yes", "--skip-preview", "--refresh", "--expect-no-changes")

    project.pulumi("config", "set", "text", "two")  # changed in place: the same key, another version of the code
    _pack(project, "two")
    project.pulumi("up", "--yes")
    changed = kms.describe_key(KeyId="alias/seed")["KeyMetadata"]
    assert (changed["Arn"], changed["Description"]) == (outputs["key"], "two")

    assert (outputs["version"], project.pulumi_json("stack", "output", "--json")["version"]) == ("1", "2")

    program = (project.root / "__main__.py").read_text()
    signing = "customer_master_key_spec='ECC_NIST_P256', key_usage='SIGN_VERIFY'"
    (project.root / "__main__.py").write_text(program.replace("aws.kms.Key('seed'", f"aws.kms.Key('seed', {signing}"))
    dynamodb.delete_table(TableName=outputs["table"])  # by hand: what is gone is made again
    project.pulumi("up", "--yes", "--refresh")
    replaced = kms.describe_key(KeyId="alias/seed")["KeyMetadata"]
    assert replaced["KeySpec"] == "ECC_NIST_P256"
    assert kms.describe_key(KeyId=outputs["key"])["KeyMetadata"]["KeyState"] == "PendingDeletion"
    assert dynamodb.list_tables()["TableNames"] == [project.resources()["store"]["outputs"]["name"]]

    project.pulumi("destroy", "--yes")
    assert dynamodb.list_tables()["TableNames"] == []
    assert kms.describe_key(KeyId=replaced["KeyId"])["KeyMetadata"]["KeyState"] == "PendingDeletion"
