"""DynamoDB: tables."""

from typing import Any

from support.aws_plugin.resource import Aws, Plain, Resource, names, tag_list


def _create(aws: Aws, inputs: Plain) -> str:
    keys = [("HASH", inputs["hashKey"])] + ([("RANGE", inputs["rangeKey"])] if "rangeKey" in inputs else [])
    sse = inputs.get("serverSideEncryption")
    further: dict[str, Any] = {}
    if inputs.get("streamEnabled"):
        further["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": inputs["streamViewType"]}
    if sse is not None:
        key = {"KMSMasterKeyId": sse["kmsKeyArn"]} if "kmsKeyArn" in sse else {}
        further["SSESpecification"] = {"Enabled": sse["enabled"], "SSEType": "KMS", **key}
    aws.client("dynamodb").create_table(
        TableName=inputs["name"],
        BillingMode=inputs.get("billingMode", "PROVISIONED"),
        KeySchema=[{"AttributeName": name, "KeyType": kind} for kind, name in keys],
        AttributeDefinitions=[
            {"AttributeName": each["name"], "AttributeType": each["type"]} for each in inputs["attributes"]
        ],
        DeletionProtectionEnabled=inputs.get("deletionProtectionEnabled", False),
        Tags=tag_list(inputs),
        **further,
    )
    aws.client("dynamodb").get_waiter("table_exists").wait(TableName=inputs["name"])
    _set(aws, inputs["name"], {}, inputs)
    return str(inputs["name"])


def _set(aws: Aws, name: str, old: Plain, new: Plain) -> None:
    """Have what is set by calls of their own."""
    client = aws.client("dynamodb")
    ttl, recovery = new.get("ttl"), new.get("pointInTimeRecovery")
    if ttl is not None and ttl != old.get("ttl"):
        client.update_time_to_live(
            TableName=name,
            TimeToLiveSpecification={"AttributeName": ttl["attributeName"], "Enabled": ttl["enabled"]},
        )
    if recovery is not None and recovery != old.get("pointInTimeRecovery"):
        days = {"RecoveryPeriodInDays": recovery["recoveryPeriodInDays"]} if "recoveryPeriodInDays" in recovery else {}
        client.update_continuous_backups(
            TableName=name,
            PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": recovery["enabled"], **days},
        )


def _read(aws: Aws, name: str, state: Plain) -> dict[str, Any] | None:
    try:
        found = aws.client("dynamodb").describe_table(TableName=name)["Table"]
    except aws.client("dynamodb").exceptions.ResourceNotFoundException:
        return None
    answer = {
        "arn": found["TableArn"],
        "streamArn": found.get("LatestStreamArn", ""),
        "streamLabel": found.get("LatestStreamLabel", ""),
        "tagsAll": state.get("tags", {}),
    }
    if "deletionProtectionEnabled" in state:
        answer["deletionProtectionEnabled"] = found["DeletionProtectionEnabled"]
    return answer


def _update(aws: Aws, name: str, old: Plain, new: Plain) -> None:
    protected = new.get("deletionProtectionEnabled", False)
    if protected != old.get("deletionProtectionEnabled", False):
        aws.client("dynamodb").update_table(TableName=name, DeletionProtectionEnabled=protected)
    _set(aws, name, old, new)


def _delete(aws: Aws, name: str, _state: Plain) -> None:
    if _read(aws, name, {}) is not None:
        aws.client("dynamodb").delete_table(TableName=name)


RESOURCES = (
    Resource(
        token="aws:dynamodb/table:Table",
        create=_create,
        read=_read,
        update=_update,
        delete=_delete,
        inputs=names(
            "name hashKey rangeKey attributes billingMode streamEnabled streamViewType serverSideEncryption ttl"
            " pointInTimeRecovery deletionProtectionEnabled tags"
        ),
        replaces=names("name hashKey rangeKey attributes streamViewType serverSideEncryption"),
        named="name",
    ),
)
