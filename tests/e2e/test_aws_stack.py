"""The whole stack `aws` in the real engine, by the commands of the README, over an account that moto plays.

`KEYRUNG_AWS_ACCOUNT_TESTS=1 pytest tests/e2e/test_aws_stack.py` runs the same in the real account that the AWS
credentials of the environment belong to, with the real plugin; `pulumi destroy` at the end leaves keys that KMS deletes
after seven days, and an archive whose objects stay locked for a day.
"""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from support.aws_account import REAL
from support.aws_stack import DeployedStack, readme_commands

from keyrung_policies.bundle import open_bundle

pytestmark = pytest.mark.xdist_group("aws-stack")  # deployed once

_PURPOSES = {"assertion-signing", "audit-signing", "credential-seed", "policy-signing"}


def test_the_commands_of_the_readme_deploy_everything_and_a_second_up_changes_nothing(aws_stack: DeployedStack) -> None:
    assert list(aws_stack.seconds) == list(dict.fromkeys(readme_commands()))
    assert set(aws_stack.outputs["keys"]) == _PURPOSES
    assert aws_stack.outputs["policyVersion"] > 0
    aws_stack.project.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
    print({command: f"{seconds:.1f} s" for command, seconds in aws_stack.seconds.items()})


def test_each_key_stands_behind_its_alias_with_a_policy_and_evidence_of_its_own(aws_stack: DeployedStack) -> None:
    kms = aws_stack.account.client("kms")
    listed = json.loads(aws_stack.keyrung("key", "list", "--json").stdout)["keys"]
    assert {key["purpose"]: key["uri"] for key in listed} == aws_stack.outputs["keys"]
    policies = set()
    for key in listed:
        found = kms.describe_key(KeyId=f"alias/{key['uri'].rpartition('=')[2]}")["KeyMetadata"]
        assert (found["KeyState"], found["Origin"], key["state"]) == ("Enabled", "AWS_KMS", "active")
        policies.add(kms.get_key_policy(KeyId=found["KeyId"], PolicyName="default")["Policy"])
    assert len(policies) == len(_PURPOSES)


def test_the_published_document_names_the_keys_and_a_policy_that_verifies(aws_stack: DeployedStack) -> None:
    document, policy = aws_stack.published()
    keys = {key["thumbprint"] for key in document["assertion_keys"]}
    listed = json.loads(aws_stack.keyrung("key", "list", "--json").stdout)["keys"]
    assert keys == {key["thumbprint"] for key in listed if key["purpose"] == "assertion-signing"}
    assert document["store"] == aws_stack.outputs["store"]
    bundle = open_bundle(policy, trusted_keys=document["policy"]["keys"], now=datetime.now(UTC))
    assert bundle.version == aws_stack.outputs["policyVersion"]


def test_an_inventory_restored_to_a_moment_knows_the_same_keys(aws_stack: DeployedStack) -> None:
    dynamodb = aws_stack.account.client("dynamodb")
    table = aws_stack.outputs["inventory"].partition("table=")[2].partition(";")[0]
    recovery = dynamodb.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    assert recovery["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    dynamodb.restore_table_to_point_in_time(
        SourceTableName=table, TargetTableName=f"{table}-restored", UseLatestRestorableTime=True
    )
    restored = aws_stack.outputs["inventory"].replace(table, f"{table}-restored")
    before, after = (
        json.loads(aws_stack.project.keyrung("key", "list", "--json", "--inventory", place).stdout)["keys"]
        for place in (aws_stack.outputs["inventory"], restored)
    )
    assert [key["thumbprint"] for key in after] == [key["thumbprint"] for key in before]
    dynamodb.delete_table(TableName=f"{table}-restored")


def test_the_doctor_finds_nothing_wrong_but_what_is_not_played(aws_stack: DeployedStack) -> None:
    """Moto runs no functions and serves no HTTP API; nobody subscribes to the alarms of a test."""
    told = aws_stack.project.keyrung("doctor", "-s", "aws", "--json", check=False)
    checks = {check["check"]: check["findings"] for check in json.loads(told.stdout)["checks"]}
    assert told.returncode == 1
    not_played = set() if REAL else {"tls", "clock", "key set", "policy"}
    assert {name for name, findings in checks.items() if findings} == {"alarms"} | not_played
    assert [found["text"].partition(" to ")[0] for found in checks["alarms"]] == ["nobody is subscribed"]


def test_the_doctor_finds_what_was_changed_in_aws(aws_stack: DeployedStack) -> None:
    kms, watch, s3 = (aws_stack.account.client(name) for name in ("kms", "cloudwatch", "s3"))
    key = kms.describe_key(KeyId=f"alias/{aws_stack.alias('credential-seed')}")["KeyMetadata"]["KeyId"]
    alarm = watch.describe_alarms()["MetricAlarms"][0]["AlarmName"]
    bucket, document = aws_stack.document()
    kms.disable_key(KeyId=key)
    watch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="tried")
    s3.put_object(Bucket=bucket, Key="deployment.json", Body=document + b" ")
    try:
        told = aws_stack.project.keyrung("doctor", "-s", "aws", "--json", check=False)
    finally:
        kms.enable_key(KeyId=key)
        watch.set_alarm_state(AlarmName=alarm, StateValue="OK", StateReason="tried")
        s3.put_object(Bucket=bucket, Key="deployment.json", Body=document)
    found = {
        check["check"]: " ".join(each["text"] for each in check["findings"])
        for check in json.loads(told.stdout)["checks"]
    }
    assert "is not enabled in KMS" in found["keys"]
    assert f"the alarm {alarm} rings" in found["alarms"]
    assert "deployment.json is not as it was deployed" in found["configuration"]


def test_what_must_not_be_lost_is_refused_to_be_destroyed(aws_stack: DeployedStack) -> None:
    refused = aws_stack.project.pulumi("destroy", "--yes", check=False)
    assert refused.returncode != 0
    assert "protected" in refused.stdout + refused.stderr
    assert aws_stack.resources() == aws_stack.deployed


def test_a_key_that_was_replaced_behind_its_alias_fails_the_refresh_with_both_thumbprints(
    aws_stack: DeployedStack,
) -> None:
    kms = aws_stack.account.client("kms")
    alias = f"alias/{aws_stack.alias('audit-signing')}"
    before = kms.describe_key(KeyId=alias)["KeyMetadata"]["KeyId"]
    other = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY", MultiRegion=False)["KeyMetadata"]["KeyId"]
    kms.update_alias(AliasName=alias, TargetKeyId=other)
    try:
        refused = aws_stack.project.pulumi(
            "refresh", "--yes", "--target", aws_stack.urn("stepup-audit-signing"), check=False
        )
    finally:
        kms.update_alias(AliasName=alias, TargetKeyId=before)
        kms.schedule_key_deletion(KeyId=other, PendingWindowInDays=7)
    assert refused.returncode != 0
    assert "holds another key" in _joined(refused)


def _joined(done: Any) -> str:
    return " ".join((done.stdout + done.stderr).split())
