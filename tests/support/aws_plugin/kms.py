"""KMS: keys, keys of imported material, aliases."""

from contextlib import suppress
from typing import Any

from support.aws_plugin.resource import Aws, Plain, Resource, given, names, tag_list

_DELETION_DAYS = 30  # what the real plugin waits for, if it is not told


def _create(aws: Aws, inputs: Plain, *, spec: str, origin: str) -> str:
    made = aws.client("kms").create_key(
        KeySpec=inputs.get(spec, "SYMMETRIC_DEFAULT"),
        KeyUsage=inputs.get("keyUsage", "ENCRYPT_DECRYPT"),
        MultiRegion=inputs.get("multiRegion", False),
        Origin=origin,
        Tags=tag_list(inputs, key="TagKey", value="TagValue"),
        **given(inputs, Description="description", Policy="policy"),
    )["KeyMetadata"]
    key_id = str(made["KeyId"])
    if inputs.get("enableKeyRotation"):
        aws.client("kms").enable_key_rotation(KeyId=key_id)
    return key_id


def _read(aws: Aws, key_id: str, state: Plain) -> dict[str, Any] | None:
    try:
        found = aws.client("kms").describe_key(KeyId=key_id)["KeyMetadata"]
    except aws.client("kms").exceptions.NotFoundException:
        return None
    if found["KeyState"] == "PendingDeletion":
        return None
    answer = {"arn": found["Arn"], "keyId": key_id, "tagsAll": state.get("tags", {})}
    if "description" in state:
        answer["description"] = found["Description"]
    if "isEnabled" in state:
        answer["isEnabled"] = found["Enabled"]
    if "enableKeyRotation" in state:
        answer["enableKeyRotation"] = aws.client("kms").get_key_rotation_status(KeyId=key_id)["KeyRotationEnabled"]
    if "policy" in state:
        answer["policy"] = aws.client("kms").get_key_policy(KeyId=key_id, PolicyName="default")["Policy"]
    return answer


def _update(aws: Aws, key_id: str, old: Plain, new: Plain) -> None:
    kms = aws.client("kms")
    kms.update_key_description(KeyId=key_id, Description=new.get("description", ""))
    if new.get("policy") != old.get("policy"):
        kms.put_key_policy(KeyId=key_id, PolicyName="default", Policy=new["policy"])
    if new.get("enableKeyRotation") != old.get("enableKeyRotation"):
        turn = kms.enable_key_rotation if new.get("enableKeyRotation") else kms.disable_key_rotation
        turn(KeyId=key_id)
    if new.get("isEnabled", True) != old.get("isEnabled", True):
        (kms.enable_key if new.get("isEnabled", True) else kms.disable_key)(KeyId=key_id)
    kms.untag_resource(KeyId=key_id, TagKeys=list(old.get("tags", {})))
    kms.tag_resource(KeyId=key_id, Tags=tag_list(new, key="TagKey", value="TagValue"))


def _delete(aws: Aws, key_id: str, state: Plain) -> None:
    if _read(aws, key_id, {}) is not None:
        days = state.get("deletionWindowInDays", _DELETION_DAYS)
        aws.client("kms").schedule_key_deletion(KeyId=key_id, PendingWindowInDays=days)


def _create_alias(aws: Aws, inputs: Plain) -> str:
    aws.client("kms").create_alias(AliasName=inputs["name"], TargetKeyId=inputs["targetKeyId"])
    return str(inputs["name"])


def _read_alias(aws: Aws, name: str, _state: Plain) -> dict[str, Any] | None:
    for page in aws.client("kms").get_paginator("list_aliases").paginate():
        for entry in page["Aliases"]:
            if entry["AliasName"] == name:
                target = aws.client("kms").describe_key(KeyId=name)["KeyMetadata"]
                return {"arn": entry["AliasArn"], "targetKeyArn": target["Arn"], "targetKeyId": target["KeyId"]}
    return None


def _update_alias(aws: Aws, name: str, _old: Plain, new: Plain) -> None:
    aws.client("kms").update_alias(AliasName=name, TargetKeyId=new["targetKeyId"])


def _delete_alias(aws: Aws, name: str, _state: Plain) -> None:
    with suppress(aws.client("kms").exceptions.NotFoundException):
        aws.client("kms").delete_alias(AliasName=name)


RESOURCES = (
    Resource(
        token="aws:kms/key:Key",
        create=lambda aws, inputs: _create(aws, inputs, spec="customerMasterKeySpec", origin="AWS_KMS"),
        read=_read,
        update=_update,
        delete=_delete,
        inputs=names(
            "customerMasterKeySpec keyUsage multiRegion description policy enableKeyRotation isEnabled"
            " deletionWindowInDays tags"
        ),
        replaces=names("customerMasterKeySpec keyUsage multiRegion"),
    ),
    Resource(
        token="aws:kms/externalKey:ExternalKey",
        create=lambda aws, inputs: _create(aws, inputs, spec="keySpec", origin="EXTERNAL"),
        read=_read,
        update=_update,
        delete=_delete,
        inputs=names("keySpec keyUsage multiRegion description policy deletionWindowInDays tags"),
        replaces=names("keySpec keyUsage multiRegion"),
    ),
    Resource(
        token="aws:kms/alias:Alias",
        create=_create_alias,
        read=_read_alias,
        update=_update_alias,
        delete=_delete_alias,
        inputs=names("name targetKeyId"),
        replaces=names("name"),
    ),
)
