"""Tables, buckets and the published configuration: encrypted, recoverable, protected, and written by one identity."""

from collections.abc import Mapping
from typing import Any

from support.pulumi_mocks import ACCOUNT, DEPLOYER, REGION, Deployment, deploy, statements

from keyrung_infra.components.account import current_account
from keyrung_infra.components.private_bucket import PrivateBucket, PrivateBucketArgs, receiving_access_logs
from keyrung_infra.components.published_config import PublishedConfig, PublishedConfigArgs
from keyrung_infra.components.step_up_store import StepUpStore, StepUpStoreArgs

_TABLE, _BUCKET = "aws:dynamodb/table:Table", "aws:s3/bucket:Bucket"


def _store(**options: Any) -> Deployment:
    def program() -> None:
        StepUpStore("stepup", StepUpStoreArgs(account=current_account(), **options))

    return deploy(program)


def _bucket(**options: Any) -> Deployment:
    def program() -> None:
        PrivateBucket("files", PrivateBucketArgs(**options))

    return deploy(program)


def _config() -> Deployment:
    def program() -> Mapping[str, Any]:
        args = PublishedConfigArgs(deployer_arn=DEPLOYER, log_bucket="access-logs")
        config = PublishedConfig("config", args)
        config.publish(document="{}", policy="[]")
        return {"uri": config.uri, "policy": config.policy_uri}

    return deploy(program)


def test_both_tables_are_on_demand_encrypted_recoverable_and_protected() -> None:
    deployment = _store()

    for table in deployment.of(_TABLE):
        inputs = table.inputs
        assert inputs["billingMode"] == "PAY_PER_REQUEST"
        assert inputs["serverSideEncryption"] == {
            "enabled": True,
            "kmsKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/stepup-store",
        }
        assert inputs["pointInTimeRecovery"] == {"enabled": True, "recoveryPeriodInDays": 35}
        assert inputs["deletionProtectionEnabled"] is True
        assert table.protect
        assert (inputs["hashKey"], inputs["rangeKey"]) == ("pk", "sk")


def test_only_the_store_forgets_and_streams_its_new_items() -> None:
    store = _store().one(_TABLE, "stepup-store").inputs
    assert store["ttl"] == {"attributeName": "expires_at", "enabled": True}
    assert (store["streamEnabled"], store["streamViewType"]) == (True, "NEW_IMAGE")

    inventory = _store().one(_TABLE, "stepup-inventory").inputs
    assert "ttl" not in inventory
    assert "streamEnabled" not in inventory


def test_the_key_of_the_tables_is_used_through_dynamodb_only_and_renewed() -> None:
    key = _store().one("aws:kms/key:Key")

    assert key.inputs["enableKeyRotation"] is True
    at_rest = next(each for each in statements(key.inputs["policy"]) if each["Sid"] == "AtRest")
    assert at_rest["Condition"] == {"StringEquals": {"kms:ViaService": f"dynamodb.{REGION}.amazonaws.com"}}


def test_an_unprotected_store_can_go() -> None:
    deployment = _store(protect=False, recovery_days=7)

    assert {each.inputs["deletionProtectionEnabled"] for each in deployment.of(_TABLE)} == {False}
    assert not any(each.protect for each in deployment.resources)
    assert deployment.one(_TABLE, "stepup-store").inputs["pointInTimeRecovery"]["recoveryPeriodInDays"] == 7


def test_a_bucket_is_closed_versioned_encrypted_and_reached_over_tls_only() -> None:
    deployment = _bucket()

    closed = deployment.one("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock").inputs
    assert {closed[name] for name in closed if name != "bucket"} == {True}
    versioning = deployment.one("aws:s3/bucketVersioning:BucketVersioning").inputs
    assert versioning["versioningConfiguration"] == {"status": "Enabled"}
    kind = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    rule = deployment.one(kind).inputs["rules"][0]
    assert rule == {"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}
    (tls,) = statements(deployment.one("aws:s3/bucketPolicy:BucketPolicy").inputs["policy"])
    assert (tls["Effect"], tls["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    assert tls["Resource"] == ["arn:aws:s3:::files", "arn:aws:s3:::files/*"]
    assert deployment.one(_BUCKET).protect


def test_a_bucket_can_have_a_key_a_lock_a_log_and_an_expiry() -> None:
    deployment = _bucket(
        kms_key_arn="arn:key",
        log_bucket="access-logs",
        expire_days=30,
        expire_replaced_days=10,
        object_lock=True,
        protect=False,
    )

    kind = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    assert deployment.one(kind).inputs["rules"][0] == {
        "applyServerSideEncryptionByDefault": {"kmsMasterKeyId": "arn:key", "sseAlgorithm": "aws:kms"},
        "bucketKeyEnabled": True,
    }
    logging = deployment.one("aws:s3/bucketLogging:BucketLogging").inputs
    assert (logging["targetBucket"], logging["targetPrefix"]) == ("access-logs", "files/")
    kind = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
    (rule,) = deployment.one(kind).inputs["rules"]
    assert (rule["expiration"], rule["noncurrentVersionExpiration"]) == ({"days": 30}, {"noncurrentDays": 10})
    bucket = deployment.one(_BUCKET)
    assert (bucket.inputs["objectLockEnabled"], bucket.protect) == (True, False)


def test_only_s3_itself_delivers_access_logs_and_only_of_this_account() -> None:
    def program() -> None:
        account = current_account()
        PrivateBucket("logs", PrivateBucketArgs(), statements=lambda arn: [receiving_access_logs(arn, account)])

    delivery = deploy(program).documents("aws:s3/bucketPolicy:BucketPolicy")["logs"][1]
    assert delivery["Principal"] == {"Service": ["logging.s3.amazonaws.com"]}
    assert delivery["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    assert delivery["Resource"] == ["arn:aws:s3:::logs/*"]


def test_the_configuration_is_two_objects_that_only_the_deployer_writes() -> None:
    deployment = _config()

    assert deployment.returned == {
        "uri": "s3://config/deployment.json",
        "policy": "s3://config/policy-bundle.json",
    }
    objects = {each.inputs["key"]: each for each in deployment.of("aws:s3/bucketObjectv2:BucketObjectv2")}
    assert {key: each.inputs["content"] for key, each in objects.items()} == {
        "deployment.json": "{}",
        "policy-bundle.json": "[]",
    }
    policy = deployment.one("aws:s3/bucketPolicy:BucketPolicy")
    writer = statements(policy.inputs["policy"])[1]
    assert (writer["Effect"], writer["Principal"]) == ("Deny", {"AWS": ["*"]})
    assert writer["Condition"] == {"ArnNotEquals": {"aws:PrincipalArn": DEPLOYER}}
    assert set(writer["Action"]) == {
        "s3:PutObject",
        "s3:DeleteObject",
        "s3:DeleteObjectVersion",
        "s3:ReplicateObject",
        "s3:ReplicateDelete",
    }
    assert all(policy.urn in each.depends_on for each in objects.values())


def test_the_configuration_is_protected() -> None:
    assert _config().one(_BUCKET).protect
