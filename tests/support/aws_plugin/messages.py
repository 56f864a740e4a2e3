"""SNS topics and SQS queues."""

from typing import Any

from botocore.exceptions import ClientError
from support.aws_plugin.resource import Aws, Plain, Resource, names, tag_list


def _create_topic(aws: Aws, inputs: Plain) -> str:
    attributes = {"KmsMasterKeyId": inputs["kmsMasterKeyId"]} if "kmsMasterKeyId" in inputs else {}
    made = aws.client("sns").create_topic(Name=inputs["name"], Attributes=attributes, Tags=tag_list(inputs))
    return str(made["TopicArn"])


def _read_topic(aws: Aws, arn: str, state: Plain) -> dict[str, Any] | None:
    try:
        aws.client("sns").get_topic_attributes(TopicArn=arn)
    except aws.client("sns").exceptions.NotFoundException:
        return None
    return {"arn": arn, "owner": aws.account, "tagsAll": state.get("tags", {})}


def _delete_topic(aws: Aws, arn: str, _state: Plain) -> None:
    if _read_topic(aws, arn, {}) is not None:
        aws.client("sns").delete_topic(TopicArn=arn)


def _set_policy(aws: Aws, inputs: Plain) -> str:
    aws.client("sns").set_topic_attributes(
        TopicArn=inputs["arn"], AttributeName="Policy", AttributeValue=inputs["policy"]
    )
    return str(inputs["arn"])


def _change_policy(aws: Aws, _arn: str, _old: Plain, new: Plain) -> None:
    _set_policy(aws, new)


def _read_policy(aws: Aws, arn: str, _state: Plain) -> dict[str, Any] | None:
    return None if _read_topic(aws, arn, {}) is None else {"owner": aws.account}


def _subscribe(aws: Aws, inputs: Plain) -> str:
    made = aws.client("sns").subscribe(
        TopicArn=inputs["topic"],
        Protocol=inputs["protocol"],
        Endpoint=inputs["endpoint"],
        ReturnSubscriptionArn=True,
    )
    return str(made["SubscriptionArn"])


def _read_subscription(aws: Aws, arn: str, _state: Plain) -> dict[str, Any] | None:
    try:
        aws.client("sns").get_subscription_attributes(SubscriptionArn=arn)
    except aws.client("sns").exceptions.NotFoundException:
        return None
    return {"arn": arn}


def _unsubscribe(aws: Aws, arn: str, _state: Plain) -> None:
    if _read_subscription(aws, arn, {}) is not None:
        aws.client("sns").unsubscribe(SubscriptionArn=arn)


def _create_queue(aws: Aws, inputs: Plain) -> str:
    attributes = {}
    if "messageRetentionSeconds" in inputs:
        attributes["MessageRetentionPeriod"] = str(inputs["messageRetentionSeconds"])
    if "sqsManagedSseEnabled" in inputs:
        attributes["SqsManagedSseEnabled"] = str(inputs["sqsManagedSseEnabled"]).lower()
    made = aws.client("sqs").create_queue(QueueName=inputs["name"], Attributes=attributes, tags=inputs.get("tags", {}))
    return str(made["QueueUrl"])


def _read_queue(aws: Aws, url: str, state: Plain) -> dict[str, Any] | None:
    try:
        found = aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    except ClientError as error:
        if "NonExistentQueue" in error.response["Error"]["Code"]:
            return None
        raise
    return {"arn": found["QueueArn"], "url": url, "tagsAll": state.get("tags", {})}


def _delete_queue(aws: Aws, url: str, _state: Plain) -> None:
    if _read_queue(aws, url, {}) is not None:
        aws.client("sqs").delete_queue(QueueUrl=url)


RESOURCES = (
    Resource(
        token="aws:sns/topic:Topic",
        create=_create_topic,
        read=_read_topic,
        delete=_delete_topic,
        inputs=names("name kmsMasterKeyId tags"),
        replaces=names("name kmsMasterKeyId tags"),
        named="name",
    ),
    Resource(
        token="aws:sns/topicPolicy:TopicPolicy",
        create=_set_policy,
        read=_read_policy,
        update=_change_policy,
        delete=lambda _aws, _arn, _state: None,  # it ends with the topic
        inputs=names("arn policy"),
        replaces=names("arn"),
    ),
    Resource(
        token="aws:sns/topicSubscription:TopicSubscription",
        create=_subscribe,
        read=_read_subscription,
        delete=_unsubscribe,
        inputs=names("topic protocol endpoint"),
        replaces=names("topic protocol endpoint"),
    ),
    Resource(
        token="aws:sqs/queue:Queue",
        create=_create_queue,
        read=_read_queue,
        delete=_delete_queue,
        inputs=names("name messageRetentionSeconds sqsManagedSseEnabled tags"),
        replaces=names("name messageRetentionSeconds sqsManagedSseEnabled tags"),
        named="name",
    ),
)
