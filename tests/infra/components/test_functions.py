"""The two functions and what stands before and behind them: rights, versions, routes, the archive, alarms."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.pulumi_mocks import ACCOUNT, REGION, Deployment, deploy, statements

from keyrung_infra.components.account import current_account
from keyrung_infra.components.audit_trail import AuditTrail, AuditTrailArgs, LockMode
from keyrung_infra.components.function import FunctionArgs, execution_role
from keyrung_infra.components.step_up_store import StepUpStore, StepUpStoreArgs
from keyrung_infra.components.verifier_api import CALLER_ROUTES, PUBLIC_ROUTES, Front, VerifierApi, VerifierApiArgs
from keyrung_infra.components.verifier_function import VerifierFunction, VerifierFunctionArgs
from keyrung_infra.components.watch import Watch, WatchArgs
from keyrung_infra.errors import InfraError
from keyrung_infra.packaging.bundle import Architecture
from keyrung_verifier import paths
from keyrung_verifier.entry import Reply
from keyrung_verifier.errors import UnavailableError
from keyrung_verifier.openapi import openapi_document
from keyrung_verifier.request_log import Served, line_of
from keyrung_verifier.store.dynamodb_table import VERIFIER_ACTIONS

_PACKAGE = Path(__file__)
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_FUNCTION, _ROUTE = "aws:lambda/function:Function", "aws:apigatewayv2/route:Route"
_LIVE = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:verifier:live"


def _function_args(**options: Any) -> FunctionArgs:
    common: dict[str, Any] = {
        "package": _PACKAGE,
        "handler": "module.function",
        "role": execution_role("role"),
        "statements": [],
        "logs_key_arn": "arn:logs-key",
        "environment": {"KEYRUNG_CONFIG": "s3://config/deployment.json"},
    }
    return FunctionArgs(**{**common, **options})


def _verifier(*, provisioned_concurrency: int | None = None, **options: Any) -> VerifierFunction:
    return VerifierFunction(
        "verifier",
        VerifierFunctionArgs(
            function=_function_args(**options),
            table_arn="arn:table",
            store_key_arn="arn:store-key",
            assertion_key_arns=["arn:assertion-key"],
            seed_key_arns=["arn:seed-key"],
            provisioned_concurrency=provisioned_concurrency,
        ),
    )


def _deploy(make: Callable[[], Any]) -> Deployment:
    def program() -> Mapping[str, Any]:
        made = make()
        return {name: getattr(made, name) for name in ("url", "caller_policy") if hasattr(made, name)}

    return deploy(program)


def _rights(deployment: Deployment, name: str) -> dict[str, dict[str, Any]]:
    return {each["Sid"]: each for each in deployment.documents("aws:iam/rolePolicy:RolePolicy")[name]}


def test_the_verifier_is_a_published_version_behind_an_alias() -> None:
    deployment = _deploy(_verifier)

    function = deployment.one(_FUNCTION).inputs
    assert (function["runtime"], function["architectures"], function["publish"]) == ("python3.13", ["arm64"], True)
    assert function["environment"] == {"variables": {"KEYRUNG_CONFIG": "s3://config/deployment.json"}}
    alias = deployment.one("aws:lambda/alias:Alias").inputs
    assert (alias["name"], alias["functionVersion"]) == ("live", "1")


def test_the_verifier_signs_assertions_opens_seeds_and_uses_its_table_and_that_is_all() -> None:
    rights = _rights(_deploy(_verifier), "verifier")

    assert {sid: (each["Action"], each["Resource"]) for sid, each in rights.items() if each["Effect"] == "Allow"} == {
        "Log": (
            ["logs:CreateLogStream", "logs:PutLogEvents"],
            [f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:verifier:log-stream:*"],
        ),
        "SignAssertions": (["kms:Sign"], ["arn:assertion-key"]),
        "OpenSeeds": (["kms:Decrypt"], ["arn:seed-key"]),
        "UseTheStore": (sorted(VERIFIER_ACTIONS), ["arn:table"]),
        "DecryptTheStore": (["kms:Decrypt"], ["arn:store-key"]),
    }
    assert {sid for sid, each in rights.items() if each["Effect"] == "Deny"} == {"TrustNobodyAnew", "KeepTheLog"}


def test_a_function_waits_for_its_rights_and_logs_where_it_is_encrypted_and_forgotten() -> None:
    deployment = _deploy(lambda: _verifier(log_retention_days=30))

    log = deployment.one("aws:cloudwatch/logGroup:LogGroup").inputs
    assert (log["kmsKeyId"], log["retentionInDays"]) == ("arn:logs-key", 30)
    function = deployment.one(_FUNCTION)
    assert function.inputs["loggingConfig"] == {"logFormat": "JSON", "logGroup": "verifier"}
    assert deployment.one("aws:iam/rolePolicy:RolePolicy").urn in function.depends_on
    trust = statements(deployment.one("aws:iam/role:Role").inputs["assumeRolePolicy"])
    assert [each["Principal"] for each in trust] == [{"Service": ["lambda.amazonaws.com"]}]


def test_size_processor_and_concurrency_are_options() -> None:
    options = {"architecture": Architecture.X86_64, "memory_mb": 1024, "timeout_seconds": 5, "reserved_concurrency": 50}
    deployment = _deploy(lambda: _verifier(provisioned_concurrency=3, **options))

    function = deployment.one(_FUNCTION).inputs
    assert (function["architectures"], function["memorySize"], function["timeout"]) == (["x86_64"], 1024, 5)
    assert function["reservedConcurrentExecutions"] == 50
    warm = deployment.one("aws:lambda/provisionedConcurrencyConfig:ProvisionedConcurrencyConfig").inputs
    assert (warm["provisionedConcurrentExecutions"], warm["qualifier"]) == (3, "live")
    assert not _deploy(_verifier).of("aws:lambda/provisionedConcurrencyConfig:ProvisionedConcurrencyConfig")


@pytest.mark.parametrize(("warm", "reserved"), [(0, None), (6, 5)])
def test_more_warm_instances_than_may_run_are_refused(warm: int, reserved: int | None) -> None:
    with pytest.raises(InfraError, match=f"provisioned_concurrency is {warm}"):
        _deploy(lambda: _verifier(provisioned_concurrency=warm, reserved_concurrency=reserved))


def _api(**options: Any) -> Deployment:
    return _deploy(
        lambda: VerifierApi(
            "api",
            VerifierApiArgs(account=current_account(), verifier=_verifier(), logs_key_arn="arn:logs-key", **options),
        )
    )


def test_iam_authenticates_applications_and_people_come_with_their_challenge() -> None:
    kinds = {each.inputs["routeKey"]: each.inputs["authorizationType"] for each in _api().of(_ROUTE)}

    assert kinds == {**dict.fromkeys(CALLER_ROUTES, "AWS_IAM"), **dict.fromkeys(PUBLIC_ROUTES, "NONE")}


def test_the_routes_are_those_of_the_verifier_and_no_application_route_is_open() -> None:
    documented = {
        f"{method.upper()} {path}": bool(operation.get("security"))
        for path, methods in openapi_document()["paths"].items()
        for method, operation in methods.items()
        if method in {"get", "post"}
    }

    def shape(route: str) -> str:
        return "/".join("{}" if part.startswith("{") else part for part in route.split("/"))

    assert {shape(route) for route, secured in documented.items() if secured} == set(map(shape, CALLER_ROUTES))
    public = {shape(route) for route, secured in documented.items() if not secured}
    assert public | {f"GET {paths.OPENAPI}"} == set(map(shape, PUBLIC_ROUTES))  # the document does not list itself


def test_the_api_calls_the_alias_throttles_and_logs_no_header_and_no_body() -> None:
    deployment = _api(requests_per_second=7, burst_requests=9, log_retention_days=5)

    integration = deployment.one("aws:apigatewayv2/integration:Integration").inputs
    assert _LIVE in integration["integrationUri"]
    assert integration["payloadFormatVersion"] == "2.0"
    stage = deployment.one("aws:apigatewayv2/stage:Stage").inputs
    throttle = stage["defaultRouteSettings"]
    assert (throttle["throttlingRateLimit"], throttle["throttlingBurstLimit"]) == (7, 9)
    logged = json.loads(stage["accessLogSettings"]["format"])
    assert not [name for name in logged.values() if "header" in name or "querystring" in name or "path" in name]
    permission = deployment.one("aws:lambda/permission:Permission").inputs
    assert (permission["qualifier"], permission["principal"]) == ("live", "apigateway.amazonaws.com")
    assert permission["sourceArn"] == f"arn:aws:execute-api:{REGION}:{ACCOUNT}:api/*/*"
    assert deployment.one("aws:cloudwatch/logGroup:LogGroup", "api-access").inputs["retentionInDays"] == 5


def test_an_application_needs_one_right_on_the_routes_of_applications() -> None:
    (right,) = statements(_api().returned["caller_policy"])

    assert right["Action"] == ["execute-api:Invoke"]
    assert [arn.partition("$default/")[2] for arn in right["Resource"]] == [
        route.replace(" ", "") for route in CALLER_ROUTES
    ]


def test_a_function_url_asks_iam_on_every_route() -> None:
    deployment = _api(front=Front.FUNCTION_URL)

    url = deployment.one("aws:lambda/functionUrl:FunctionUrl").inputs
    assert (url["authorizationType"], url["qualifier"]) == ("AWS_IAM", "live")
    assert not deployment.of("aws:apigatewayv2/api:Api")
    assert deployment.returned["url"] == "https://api.lambda-url.aws"
    url_right, through = statements(deployment.returned["caller_policy"])
    assert (url_right["Action"], url_right["Resource"]) == (["lambda:InvokeFunctionUrl"], [_LIVE])
    assert through["Condition"] == {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}


def _trail(**options: Any) -> Deployment:
    def make() -> AuditTrail:
        account = current_account()
        store = StepUpStore("stepup", StepUpStoreArgs(account=account))
        return AuditTrail(
            "stepup",
            AuditTrailArgs(
                account=account,
                table=store.table,
                store_key_arn=store.key.arn,
                audit_key_arns=["arn:audit-key"],
                archiver=_function_args(),
                log_bucket="access-logs",
                **options,
            ),
        )

    return _deploy(make)


def test_the_archive_is_locked_encrypted_and_written_by_the_archiver_alone() -> None:
    deployment = _trail()

    lock = deployment.one("aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration").inputs
    assert lock["rule"] == {"defaultRetention": {"mode": "GOVERNANCE", "days": 365}}
    bucket = deployment.one("aws:s3/bucket:Bucket")
    assert (bucket.inputs["objectLockEnabled"], bucket.protect) == (True, True)
    assert deployment.one("aws:s3/bucketLogging:BucketLogging").inputs["targetBucket"] == "access-logs"
    writer = deployment.documents("aws:s3/bucketPolicy:BucketPolicy")["stepup-archive"][1]
    assert writer["Condition"] == {"ArnNotEquals": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/role"}}


def test_lock_and_retention_are_options_within_what_s3_offers() -> None:
    deployment = _trail(lock_mode=LockMode.COMPLIANCE, retention_days=2555, protect=False)

    lock = deployment.one("aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration").inputs
    assert lock["rule"] == {"defaultRetention": {"mode": "COMPLIANCE", "days": 2555}}
    assert not deployment.one("aws:s3/bucket:Bucket").protect
    with pytest.raises(InfraError, match="retention_days is 0"):
        _trail(retention_days=0)


def test_the_stream_is_archived_from_its_beginning_and_what_fails_is_kept() -> None:
    deployment = _trail()

    mapping = deployment.one("aws:lambda/eventSourceMapping:EventSourceMapping").inputs
    assert mapping["startingPosition"] == "TRIM_HORIZON"
    assert mapping["eventSourceArn"].startswith(f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/stepup-store/stream/")
    assert mapping["functionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["bisectBatchOnFunctionError"] is True
    assert (
        3600 <= mapping["maximumRecordAgeInSeconds"] <= 12 * 3600
    )  # outlasts an outage, and ends before the stream does
    (only,) = mapping["filterCriteria"]["filters"]
    assert json.loads(only["pattern"]) == {"dynamodb": {"Keys": {"pk": {"S": [{"prefix": "audit#"}]}}}}
    queue = deployment.one("aws:sqs/queue:Queue")
    assert queue.inputs["sqsManagedSseEnabled"] is True
    destination = mapping["destinationConfig"]["onFailure"]["destinationArn"]
    assert destination == f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue.name}"


def test_the_archiver_reads_the_stream_writes_the_archive_and_signs_checkpoints() -> None:
    rights = _rights(_trail(), "stepup-archiver")

    assert (rights["SignCheckpoints"]["Action"], rights["SignCheckpoints"]["Resource"]) == (
        ["kms:Sign"],
        ["arn:audit-key"],
    )
    assert rights["WriteTheArchive"]["Resource"] == ["arn:aws:s3:::stepup-archive/*"]
    actions = {action for each in rights.values() for action in each["Action"]}
    assert not {action for action in actions if action.startswith("dynamodb:Put") or "Delete" in action}


def _watch(**options: Any) -> Deployment:
    names: dict[str, Any] = {name: name for name in ("verifier", "archiver", "table", "dead_letters")}
    return _deploy(
        lambda: Watch("stepup", WatchArgs(account=current_account(), topic_key_arn="arn:logs-key", **names, **options))
    )


def test_what_goes_wrong_is_told_and_shown() -> None:
    deployment = _watch(api_id="api", emails=["security@example.com"], slow_milliseconds=900, archive_lag_seconds=60)

    alarms = {
        each.name.removeprefix("stepup-"): each.inputs
        for each in deployment.of("aws:cloudwatch/metricAlarm:MetricAlarm")
    }
    assert set(alarms) == {
        "verifier-errors",
        "verifier-throttles",
        "verifier-slow",
        "archiver-errors",
        "archiver-late",
        "archiver-gave-up",
        "store-reads-throttled",
        "store-writes-throttled",
        "out-of-reach",
        "many-refusals",
        "deployment-refused",
        "log-altered",
        "api-errors",
    }
    reply = Reply(status=503, body=b"", error=UnavailableError.error)
    served = Served(function="verifier", operation="evaluate", reply=reply, duration_ms=1, cold=False)
    line = json.loads(line_of(served, now=_NOW))
    (metrics,) = line["_aws"]["CloudWatchMetrics"]
    for name, dimensions in (("out-of-reach", ["function", "error"]), ("many-refusals", ["function"])):
        assert sorted(alarms[name]["dimensions"]) == sorted(dimensions)
        assert dimensions in metrics["Dimensions"]
        assert (alarms[name]["namespace"], alarms[name]["metricName"]) == (metrics["Namespace"], "Refusals")
    assert alarms["out-of-reach"]["dimensions"]["error"] == line["error"]
    assert all(alarm["alarmActions"] and alarm["alarmDescription"] for alarm in alarms.values())
    assert (alarms["verifier-slow"]["extendedStatistic"], alarms["verifier-slow"]["threshold"]) == ("p99", 900)
    assert alarms["archiver-late"]["threshold"] == 60_000
    dashboard = json.loads(deployment.one("aws:cloudwatch/dashboard:Dashboard").inputs["dashboardBody"])
    assert {each["properties"]["title"] for each in dashboard["widgets"]} == set(alarms)
    subscription = deployment.one("aws:sns/topicSubscription:TopicSubscription").inputs
    assert (subscription["protocol"], subscription["endpoint"]) == ("email", "security@example.com")


def test_only_alarms_of_this_account_publish_and_the_topic_is_encrypted() -> None:
    deployment = _watch()

    assert deployment.one("aws:sns/topic:Topic").inputs["kmsMasterKeyId"] == "arn:logs-key"
    (publishing,) = deployment.documents("aws:sns/topicPolicy:TopicPolicy")["stepup-alarms"]
    assert publishing["Principal"] == {"Service": ["cloudwatch.amazonaws.com"]}
    assert publishing["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    assert "stepup-api-errors" not in {each.name for each in deployment.of("aws:cloudwatch/metricAlarm:MetricAlarm")}
