"""CloudWatch: log groups, alarms, dashboards."""

from typing import Any

from support.aws_plugin.resource import Aws, Plain, Resource, given, names, tag_list

_OF_ALARM = {
    "AlarmName": "name",
    "AlarmDescription": "alarmDescription",
    "AlarmActions": "alarmActions",
    "OKActions": "okActions",
    "MetricName": "metricName",
    "Namespace": "namespace",
    "Statistic": "statistic",
    "ExtendedStatistic": "extendedStatistic",
    "Period": "period",
    "EvaluationPeriods": "evaluationPeriods",
    "Threshold": "threshold",
    "ComparisonOperator": "comparisonOperator",
    "TreatMissingData": "treatMissingData",
}


def _create_group(aws: Aws, inputs: Plain) -> str:
    aws.client("logs").create_log_group(
        logGroupName=inputs["name"], tags=inputs.get("tags", {}), **given(inputs, kmsKeyId="kmsKeyId")
    )
    _retain(aws, inputs)
    return str(inputs["name"])


def _retain(aws: Aws, inputs: Plain) -> None:
    if "retentionInDays" in inputs:
        aws.client("logs").put_retention_policy(logGroupName=inputs["name"], retentionInDays=inputs["retentionInDays"])


def _read_group(aws: Aws, name: str, state: Plain) -> dict[str, Any] | None:
    found = aws.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    if not any(each["logGroupName"] == name for each in found):
        return None
    return {"arn": aws.arn("logs", f"log-group:{name}"), "tagsAll": state.get("tags", {})}


def _update_group(aws: Aws, _name: str, _old: Plain, new: Plain) -> None:
    _retain(aws, new)


def _delete_group(aws: Aws, name: str, _state: Plain) -> None:
    if _read_group(aws, name, {}) is not None:
        aws.client("logs").delete_log_group(logGroupName=name)


def _put_alarm(aws: Aws, inputs: Plain) -> str:
    dimensions = [{"Name": name, "Value": value} for name, value in sorted(inputs.get("dimensions", {}).items())]
    aws.client("cloudwatch").put_metric_alarm(
        Dimensions=dimensions, Tags=tag_list(inputs), **given(inputs, **_OF_ALARM)
    )
    return str(inputs["name"])


def _read_alarm(aws: Aws, name: str, state: Plain) -> dict[str, Any] | None:
    found = aws.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return {"arn": found[0]["AlarmArn"], "tagsAll": state.get("tags", {})} if found else None


def _change_alarm(aws: Aws, _name: str, _old: Plain, new: Plain) -> None:
    _put_alarm(aws, new)


def _delete_alarm(aws: Aws, name: str, _state: Plain) -> None:
    aws.client("cloudwatch").delete_alarms(AlarmNames=[name])


def _put_dashboard(aws: Aws, inputs: Plain) -> str:
    aws.client("cloudwatch").put_dashboard(DashboardName=inputs["dashboardName"], DashboardBody=inputs["dashboardBody"])
    return str(inputs["dashboardName"])


def _read_dashboard(aws: Aws, name: str, _state: Plain) -> dict[str, Any] | None:
    found = aws.client("cloudwatch").list_dashboards(DashboardNamePrefix=name)["DashboardEntries"]
    known = any(each["DashboardName"] == name for each in found)
    return {"dashboardArn": f"arn:aws:cloudwatch::{aws.account}:dashboard/{name}"} if known else None


def _change_dashboard(aws: Aws, _name: str, _old: Plain, new: Plain) -> None:
    _put_dashboard(aws, new)


def _delete_dashboard(aws: Aws, name: str, _state: Plain) -> None:
    aws.client("cloudwatch").delete_dashboards(DashboardNames=[name])


RESOURCES = (
    Resource(
        token="aws:cloudwatch/logGroup:LogGroup",
        create=_create_group,
        read=_read_group,
        update=_update_group,
        delete=_delete_group,
        inputs=names("name kmsKeyId retentionInDays tags"),
        replaces=names("name kmsKeyId"),
        named="name",
    ),
    Resource(
        token="aws:cloudwatch/metricAlarm:MetricAlarm",
        create=_put_alarm,
        read=_read_alarm,
        update=_change_alarm,
        delete=_delete_alarm,
        inputs=names("dimensions tags") | frozenset(_OF_ALARM.values()),
        replaces=names("name"),
        named="name",
    ),
    Resource(
        token="aws:cloudwatch/dashboard:Dashboard",
        create=_put_dashboard,
        read=_read_dashboard,
        update=_change_dashboard,
        delete=_delete_dashboard,
        inputs=names("dashboardName dashboardBody"),
        replaces=names("dashboardName"),
    ),
)
