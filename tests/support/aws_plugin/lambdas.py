"""Lambda: functions, aliases, what calls them and who may."""

from typing import Any

from support.aws_plugin.resource import Aws, Plain, Resource, given, names
from support.aws_plugin.values import content


def _configuration(inputs: Plain) -> dict[str, Any]:
    further: dict[str, Any] = {}
    if "environment" in inputs:
        further["Environment"] = {"Variables": inputs["environment"].get("variables", {})}
    if "loggingConfig" in inputs:
        logging = inputs["loggingConfig"]
        further["LoggingConfig"] = given(logging, LogFormat="logFormat", LogGroup="logGroup")
    return further | given(
        inputs, Role="role", Handler="handler", Runtime="runtime", MemorySize="memorySize", Timeout="timeout"
    )


def _create(aws: Aws, inputs: Plain) -> str:
    aws.client("lambda").create_function(
        FunctionName=inputs["name"],
        Code={"ZipFile": content(inputs["code"])},
        Publish=inputs.get("publish", False),
        Tags=inputs.get("tags", {}),
        **given(inputs, Architectures="architectures"),
        **_configuration(inputs),
    )
    _reserve(aws, inputs["name"], inputs)
    return str(inputs["name"])


def _reserve(aws: Aws, name: str, inputs: Plain) -> None:
    reserved = inputs.get("reservedConcurrentExecutions")
    if reserved is not None:
        aws.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=reserved)


def _read(aws: Aws, name: str, state: Plain) -> dict[str, Any] | None:
    client = aws.client("lambda")
    try:
        found = client.get_function(FunctionName=name)["Configuration"]
    except client.exceptions.ResourceNotFoundException:
        return None
    versions = [each["Version"] for each in client.list_versions_by_function(FunctionName=name)["Versions"]]
    version = str(max((int(each) for each in versions if each.isdigit()), default="$LATEST"))
    arn = aws.arn("lambda", f"function:{name}")
    return {
        "arn": arn,
        "qualifiedArn": f"{arn}:{version}",
        "invokeArn": _invoke_arn(aws, arn),
        "version": version,
        "codeSha256": found["CodeSha256"],
        "lastModified": found["LastModified"],
        "tagsAll": state.get("tags", {}),
    }


def _invoke_arn(aws: Aws, arn: str) -> str:
    return f"arn:aws:apigateway:{aws.region}:lambda:path/2015-03-31/functions/{arn}/invocations"


def _update(aws: Aws, name: str, _old: Plain, new: Plain) -> None:
    client = aws.client("lambda")
    client.update_function_configuration(FunctionName=name, **_configuration(new))
    client.update_function_code(FunctionName=name, ZipFile=content(new["code"]), Publish=new.get("publish", False))
    _reserve(aws, name, new)


def _delete(aws: Aws, name: str, _state: Plain) -> None:
    if _read(aws, name, {}) is not None:
        aws.client("lambda").delete_function(FunctionName=name)


def _alias(inputs: Plain) -> dict[str, Any]:
    return {
        "FunctionName": inputs["functionName"],
        "Name": inputs["name"],
        "FunctionVersion": inputs["functionVersion"],
    }


def _create_alias(aws: Aws, inputs: Plain) -> str:
    return str(aws.client("lambda").create_alias(**_alias(inputs))["AliasArn"])


def _read_alias(aws: Aws, arn: str, _state: Plain) -> dict[str, Any] | None:
    client = aws.client("lambda")
    function, name = arn.split(":")[-2:]
    try:
        found = client.get_alias(FunctionName=function, Name=name)
    except client.exceptions.ResourceNotFoundException:
        return None
    return {"arn": arn, "invokeArn": _invoke_arn(aws, arn), "functionVersion": found["FunctionVersion"]}


def _delete_alias(aws: Aws, arn: str, _state: Plain) -> None:
    if _read_alias(aws, arn, {}) is not None:
        function, name = arn.split(":")[-2:]
        aws.client("lambda").delete_alias(FunctionName=function, Name=name)


def _update_alias(aws: Aws, _arn: str, _old: Plain, new: Plain) -> None:
    aws.client("lambda").update_alias(**_alias(new))


def _create_mapping(aws: Aws, inputs: Plain) -> str:
    failure = inputs.get("destinationConfig", {}).get("onFailure")
    destination = {} if failure is None else {"OnFailure": {"Destination": failure["destinationArn"]}}
    filters = [{"Pattern": each["pattern"]} for each in inputs.get("filterCriteria", {}).get("filters", [])]
    made = aws.client("lambda").create_event_source_mapping(
        DestinationConfig=destination,
        FilterCriteria={"Filters": filters},
        **given(
            inputs,
            EventSourceArn="eventSourceArn",
            FunctionName="functionName",
            StartingPosition="startingPosition",
            BatchSize="batchSize",
            MaximumBatchingWindowInSeconds="maximumBatchingWindowInSeconds",
            BisectBatchOnFunctionError="bisectBatchOnFunctionError",
            FunctionResponseTypes="functionResponseTypes",
            MaximumRecordAgeInSeconds="maximumRecordAgeInSeconds",
        ),
    )
    return str(made["UUID"])


def _read_mapping(aws: Aws, uuid: str, _state: Plain) -> dict[str, Any] | None:
    client = aws.client("lambda")
    try:
        found = client.get_event_source_mapping(UUID=uuid)
    except client.exceptions.ResourceNotFoundException:
        return None
    return {"uuid": uuid, "functionArn": found["FunctionArn"], "state": found.get("State", "Enabled")}


def _delete_mapping(aws: Aws, uuid: str, _state: Plain) -> None:
    if _read_mapping(aws, uuid, {}) is not None:
        aws.client("lambda").delete_event_source_mapping(UUID=uuid)


def _permit(aws: Aws, inputs: Plain) -> str:
    aws.client("lambda").add_permission(
        FunctionName=inputs["function"],
        StatementId=inputs["statementId"],
        Action=inputs["action"],
        Principal=inputs["principal"],
        **given(inputs, SourceArn="sourceArn", Qualifier="qualifier"),
    )
    return str(inputs["statementId"])


def _read_permission(_aws: Aws, _name: str, _state: Plain) -> dict[str, Any] | None:
    return {}


def _forbid(aws: Aws, name: str, state: Plain) -> None:
    if _read(aws, state["function"], {}) is not None:
        aws.client("lambda").remove_permission(
            FunctionName=state["function"], StatementId=name, **given(state, Qualifier="qualifier")
        )


def _create_url(aws: Aws, inputs: Plain) -> str:
    aws.client("lambda").create_function_url_config(
        FunctionName=inputs["functionName"],
        AuthType=inputs["authorizationType"],
        **given(inputs, Qualifier="qualifier"),
    )
    return f"{inputs['functionName']}/{inputs.get('qualifier', '')}"


def _read_url(aws: Aws, _resource_id: str, state: Plain) -> dict[str, Any] | None:
    client = aws.client("lambda")
    try:
        found = client.get_function_url_config(
            FunctionName=state["functionName"], **given(state, Qualifier="qualifier")
        )
    except client.exceptions.ResourceNotFoundException:
        return None
    return {"functionUrl": found["FunctionUrl"], "functionArn": found["FunctionArn"]}


def _delete_url(aws: Aws, resource_id: str, state: Plain) -> None:
    if _read_url(aws, resource_id, state) is not None:
        aws.client("lambda").delete_function_url_config(
            FunctionName=state["functionName"], **given(state, Qualifier="qualifier")
        )


RESOURCES = (
    Resource(
        token="aws:lambda/function:Function",
        create=_create,
        read=_read,
        update=_update,
        delete=_delete,
        inputs=names(
            "name role handler runtime code architectures memorySize timeout environment loggingConfig publish tags"
            " reservedConcurrentExecutions"
        ),
        replaces=names("name architectures"),
        named="name",
        renewed=names("version qualifiedArn codeSha256 lastModified"),
        archive="code",
    ),
    Resource(
        token="aws:lambda/alias:Alias",
        create=_create_alias,
        read=_read_alias,
        update=_update_alias,
        delete=_delete_alias,
        inputs=names("name functionName functionVersion"),
        replaces=names("name functionName"),
    ),
    Resource(
        token="aws:lambda/eventSourceMapping:EventSourceMapping",
        create=_create_mapping,
        read=_read_mapping,
        delete=_delete_mapping,
        inputs=names(
            "eventSourceArn functionName startingPosition batchSize maximumBatchingWindowInSeconds"
            " bisectBatchOnFunctionError functionResponseTypes maximumRecordAgeInSeconds filterCriteria"
            " destinationConfig"
        ),
        replaces=names("eventSourceArn functionName startingPosition"),
    ),
    Resource(
        token="aws:lambda/permission:Permission",
        create=_permit,
        read=_read_permission,
        delete=_forbid,
        inputs=names("action function principal sourceArn qualifier statementId"),
        replaces=names("action function principal sourceArn qualifier statementId"),
        named="statementId",
    ),
    Resource(
        token="aws:lambda/functionUrl:FunctionUrl",
        create=_create_url,
        read=_read_url,
        delete=_delete_url,
        inputs=names("functionName authorizationType qualifier"),
        replaces=names("functionName authorizationType qualifier"),
    ),
)
