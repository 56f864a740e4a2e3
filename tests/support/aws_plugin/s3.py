"""S3: buckets, what is set on them, and objects."""

import json
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError
from support.aws_plugin.resource import Aws, Plain, Resource, names

_GONE = frozenset({"404", "NoSuchBucket", "NoSuchKey", "NotFound"})


def _create_bucket(aws: Aws, inputs: Plain) -> str:
    aws.client("s3").create_bucket(
        Bucket=inputs["bucket"],
        CreateBucketConfiguration={"LocationConstraint": aws.region},
        ObjectLockEnabledForBucket=inputs.get("objectLockEnabled", False),
    )
    return str(inputs["bucket"])


def _read_bucket(aws: Aws, name: str, state: Plain) -> dict[str, Any] | None:
    try:
        aws.client("s3").head_bucket(Bucket=name)
    except ClientError as error:
        if error.response["Error"]["Code"] in _GONE:
            return None
        raise
    return {
        "arn": f"arn:aws:s3:::{name}",
        "bucketDomainName": f"{name}.s3.amazonaws.com",
        "bucketRegionalDomainName": f"{name}.s3.{aws.region}.amazonaws.com",
        "bucketRegion": aws.region,
        "tagsAll": state.get("tags", {}),
    }


def _delete_bucket(aws: Aws, name: str, state: Plain) -> None:
    if _read_bucket(aws, name, {}) is None:
        return
    if state.get("forceDestroy"):
        for page in aws.client("s3").get_paginator("list_object_versions").paginate(Bucket=name):
            for found in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                aws.client("s3").delete_object(Bucket=name, Key=found["Key"], VersionId=found["VersionId"])
    aws.client("s3").delete_bucket(Bucket=name)


def _setting(
    token: str, put: str, inputs: str, parameters: Callable[[Plain], dict[str, Any]], delete: str = ""
) -> Resource:
    """Return a resource that is one setting of a bucket; without ``delete`` it ends with the bucket."""

    def apply(aws: Aws, given: Plain) -> str:
        getattr(aws.client("s3"), put)(Bucket=given["bucket"], **parameters(given))
        return str(given["bucket"])

    def read(aws: Aws, name: str, _state: Plain) -> dict[str, Any] | None:
        return None if _read_bucket(aws, name, {}) is None else {}

    def remove(aws: Aws, name: str, _state: Plain) -> None:
        if delete and _read_bucket(aws, name, {}) is not None:
            getattr(aws.client("s3"), delete)(Bucket=name)

    def change(aws: Aws, _name: str, _old: Plain, new: Plain) -> None:
        apply(aws, new)

    return Resource(
        token=token,
        create=apply,
        read=read,
        update=change,
        delete=remove,
        inputs=names(f"bucket {inputs}"),
        replaces=names("bucket"),
    )


def _encryption(given: Plain) -> dict[str, Any]:
    rules = []
    for rule in given["rules"]:
        by = rule["applyServerSideEncryptionByDefault"]
        key = {"KMSMasterKeyID": by["kmsMasterKeyId"]} if "kmsMasterKeyId" in by else {}
        rules.append(
            {
                "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": by["sseAlgorithm"], **key},
                "BucketKeyEnabled": rule.get("bucketKeyEnabled", False),
            }
        )
    return {"ServerSideEncryptionConfiguration": {"Rules": rules}}


def _as_stored(policy: Any) -> Any:
    """Return a policy as S3 gives it back, and looks at it: a list of one is that one."""
    if isinstance(policy, dict):
        return {
            name: _as_stored(value) if name != "Statement" else [_as_stored(each) for each in value]
            for name, value in policy.items()
        }
    if isinstance(policy, list):
        return _as_stored(policy[0]) if len(policy) == 1 else [_as_stored(each) for each in policy]
    return policy


def _lifecycle(given: Plain) -> dict[str, Any]:
    rules = []
    for rule in given["rules"]:
        made: dict[str, Any] = {
            "ID": rule["id"],
            "Status": rule["status"],
            "Filter": {"Prefix": rule["filter"]["prefix"]},
        }
        if "expiration" in rule:
            made["Expiration"] = {"Days": rule["expiration"]["days"]}
        if "noncurrentVersionExpiration" in rule:
            days = rule["noncurrentVersionExpiration"]["noncurrentDays"]
            made["NoncurrentVersionExpiration"] = {"NoncurrentDays": days}
        rules.append(made)
    return {"LifecycleConfiguration": {"Rules": rules}}


def _object_lock(given: Plain) -> dict[str, Any]:
    kept = given["rule"]["defaultRetention"]
    rule = {"DefaultRetention": {"Mode": kept["mode"], "Days": kept["days"]}}
    return {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled", "Rule": rule}}


def _put_object(aws: Aws, inputs: Plain) -> str:
    aws.client("s3").put_object(
        Bucket=inputs["bucket"],
        Key=inputs["key"],
        Body=str(inputs["content"]).encode("utf-8"),
        ContentType=inputs.get("contentType", "application/octet-stream"),
    )
    return f"{inputs['bucket']}/{inputs['key']}"


def _change_object(aws: Aws, _resource_id: str, _old: Plain, new: Plain) -> None:
    _put_object(aws, new)


def _read_object(aws: Aws, resource_id: str, _state: Plain) -> dict[str, Any] | None:
    bucket, _, key = resource_id.partition("/")
    try:
        found = aws.client("s3").head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] in _GONE:
            return None
        raise
    return {"arn": f"arn:aws:s3:::{bucket}/{key}", "versionId": found.get("VersionId", "")}


def _delete_object(aws: Aws, resource_id: str, _state: Plain) -> None:
    bucket, _, key = resource_id.partition("/")
    if _read_object(aws, resource_id, {}) is not None:
        for page in aws.client("s3").get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=key):
            for found in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                aws.client("s3").delete_object(Bucket=bucket, Key=found["Key"], VersionId=found["VersionId"])


RESOURCES = (
    Resource(
        token="aws:s3/bucket:Bucket",
        create=_create_bucket,
        read=_read_bucket,
        update=lambda _aws, _name, _old, _new: None,  # forceDestroy and tags matter to this double only
        delete=_delete_bucket,
        inputs=names("bucket objectLockEnabled forceDestroy tags"),
        replaces=names("bucket objectLockEnabled"),
        named="bucket",
    ),
    _setting(
        "aws:s3/bucketVersioning:BucketVersioning",
        "put_bucket_versioning",
        "versioningConfiguration",
        lambda given: {"VersioningConfiguration": {"Status": given["versioningConfiguration"]["status"]}},
    ),
    _setting(
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
        "put_public_access_block",
        "blockPublicAcls blockPublicPolicy ignorePublicAcls restrictPublicBuckets",
        lambda given: {
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": given.get("blockPublicAcls", False),
                "BlockPublicPolicy": given.get("blockPublicPolicy", False),
                "IgnorePublicAcls": given.get("ignorePublicAcls", False),
                "RestrictPublicBuckets": given.get("restrictPublicBuckets", False),
            }
        },
        delete="delete_public_access_block",
    ),
    _setting(
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        "put_bucket_encryption",
        "rules",
        _encryption,
        delete="delete_bucket_encryption",
    ),
    _setting(
        "aws:s3/bucketPolicy:BucketPolicy",
        "put_bucket_policy",
        "policy",
        lambda given: {"Policy": json.dumps(_as_stored(json.loads(given["policy"])))},
        delete="delete_bucket_policy",
    ),
    _setting(
        "aws:s3/bucketLogging:BucketLogging",
        "put_bucket_logging",
        "targetBucket targetPrefix",
        lambda given: {
            "BucketLoggingStatus": {
                "LoggingEnabled": {"TargetBucket": given["targetBucket"], "TargetPrefix": given["targetPrefix"]}
            }
        },
    ),
    _setting(
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        "put_bucket_lifecycle_configuration",
        "rules",
        _lifecycle,
        delete="delete_bucket_lifecycle",
    ),
    _setting(
        "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration",
        "put_object_lock_configuration",
        "rule",
        _object_lock,
    ),
    Resource(
        token="aws:s3/bucketObjectv2:BucketObjectv2",
        create=_put_object,
        read=_read_object,
        update=_change_object,
        delete=_delete_object,
        inputs=names("bucket key content contentType"),
        replaces=names("bucket key"),
        renewed=names("versionId"),
    ),
)
