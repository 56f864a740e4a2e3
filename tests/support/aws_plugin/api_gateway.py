"""API Gateway, version 2: HTTP APIs."""

from typing import Any

from support.aws_plugin.resource import Aws, Plain, Resource, given, names

_OF_ROUTE = {"RouteKey": "routeKey", "AuthorizationType": "authorizationType", "Target": "target"}
_OF_INTEGRATION = {
    "IntegrationType": "integrationType",
    "IntegrationUri": "integrationUri",
    "IntegrationMethod": "integrationMethod",
    "PayloadFormatVersion": "payloadFormatVersion",
}


def _create_api(aws: Aws, inputs: Plain) -> str:
    made = aws.client("apigatewayv2").create_api(
        Name=inputs["name"],
        ProtocolType=inputs["protocolType"],
        Tags=inputs.get("tags", {}),
        **given(inputs, Description="description", DisableExecuteApiEndpoint="disableExecuteApiEndpoint"),
    )
    return str(made["ApiId"])


def _read_api(aws: Aws, api_id: str, state: Plain) -> dict[str, Any] | None:
    client = aws.client("apigatewayv2")
    try:
        client.get_api(ApiId=api_id)
    except client.exceptions.NotFoundException:
        return None
    return {
        "apiEndpoint": f"https://{api_id}.execute-api.{aws.region}.amazonaws.com",
        "arn": f"arn:aws:apigateway:{aws.region}::/apis/{api_id}",
        "executionArn": aws.arn("execute-api", api_id),
        "tagsAll": state.get("tags", {}),
    }


def _delete_api(aws: Aws, api_id: str, _state: Plain) -> None:
    if _read_api(aws, api_id, {}) is not None:
        aws.client("apigatewayv2").delete_api(ApiId=api_id)


def _create_integration(aws: Aws, inputs: Plain) -> str:
    made = aws.client("apigatewayv2").create_integration(ApiId=inputs["apiId"], **given(inputs, **_OF_INTEGRATION))
    return str(made["IntegrationId"])


def _read_integration(aws: Aws, integration_id: str, state: Plain) -> dict[str, Any] | None:
    client = aws.client("apigatewayv2")
    try:
        client.get_integration(ApiId=state["apiId"], IntegrationId=integration_id)
    except client.exceptions.NotFoundException:
        return None
    return {}


def _delete_integration(aws: Aws, integration_id: str, state: Plain) -> None:
    if _read_integration(aws, integration_id, state) is not None:
        aws.client("apigatewayv2").delete_integration(ApiId=state["apiId"], IntegrationId=integration_id)


def _update_integration(aws: Aws, integration_id: str, _old: Plain, new: Plain) -> None:
    aws.client("apigatewayv2").update_integration(
        ApiId=new["apiId"], IntegrationId=integration_id, **given(new, **_OF_INTEGRATION)
    )


def _create_route(aws: Aws, inputs: Plain) -> str:
    return str(aws.client("apigatewayv2").create_route(ApiId=inputs["apiId"], **given(inputs, **_OF_ROUTE))["RouteId"])


def _read_route(aws: Aws, route_id: str, state: Plain) -> dict[str, Any] | None:
    client = aws.client("apigatewayv2")
    try:
        client.get_route(ApiId=state["apiId"], RouteId=route_id)
    except client.exceptions.NotFoundException:
        return None
    return {}


def _delete_route(aws: Aws, route_id: str, state: Plain) -> None:
    if _read_route(aws, route_id, state) is not None:
        aws.client("apigatewayv2").delete_route(ApiId=state["apiId"], RouteId=route_id)


def _update_route(aws: Aws, route_id: str, _old: Plain, new: Plain) -> None:
    aws.client("apigatewayv2").update_route(ApiId=new["apiId"], RouteId=route_id, **given(new, **_OF_ROUTE))


def _stage(inputs: Plain) -> dict[str, Any]:
    log, routes = inputs.get("accessLogSettings"), inputs.get("defaultRouteSettings")
    further: dict[str, Any] = {}
    if log is not None:
        further["AccessLogSettings"] = {"DestinationArn": log["destinationArn"], "Format": log["format"]}
    if routes is not None:
        further["DefaultRouteSettings"] = given(
            routes,
            ThrottlingRateLimit="throttlingRateLimit",
            ThrottlingBurstLimit="throttlingBurstLimit",
            DetailedMetricsEnabled="detailedMetricsEnabled",
        )
    return {"ApiId": inputs["apiId"], "StageName": inputs["name"], **further, **given(inputs, AutoDeploy="autoDeploy")}


def _create_stage(aws: Aws, inputs: Plain) -> str:
    aws.client("apigatewayv2").create_stage(**_stage(inputs))
    return str(inputs["name"])


def _read_stage(aws: Aws, name: str, state: Plain) -> dict[str, Any] | None:
    client = aws.client("apigatewayv2")
    try:
        client.get_stage(ApiId=state["apiId"], StageName=name)
    except client.exceptions.NotFoundException:
        return None
    host = f"{state['apiId']}.execute-api.{aws.region}.amazonaws.com"
    return {
        "arn": f"arn:aws:apigateway:{aws.region}::/apis/{state['apiId']}/stages/{name}",
        "invokeUrl": f"wss://{host}" if name != "$default" else f"https://{host}/",
        "executionArn": aws.arn("execute-api", f"{state['apiId']}/{name}"),
    }


def _delete_stage(aws: Aws, name: str, state: Plain) -> None:
    if _read_stage(aws, name, state) is not None:
        aws.client("apigatewayv2").delete_stage(ApiId=state["apiId"], StageName=name)


RESOURCES = (
    Resource(
        token="aws:apigatewayv2/api:Api",
        create=_create_api,
        read=_read_api,
        delete=_delete_api,
        inputs=names("name protocolType description disableExecuteApiEndpoint tags"),
        replaces=names("protocolType name"),
        named="name",
    ),
    Resource(
        token="aws:apigatewayv2/integration:Integration",
        create=_create_integration,
        read=_read_integration,
        update=_update_integration,
        delete=_delete_integration,
        inputs=names("apiId integrationType integrationUri integrationMethod payloadFormatVersion"),
        replaces=names("apiId integrationType"),
    ),
    Resource(
        token="aws:apigatewayv2/route:Route",
        create=_create_route,
        read=_read_route,
        update=_update_route,
        delete=_delete_route,
        inputs=names("apiId routeKey authorizationType target"),
        replaces=names("apiId"),
    ),
    Resource(
        token="aws:apigatewayv2/stage:Stage",
        create=_create_stage,
        read=_read_stage,
        delete=_delete_stage,
        inputs=names("apiId name autoDeploy accessLogSettings defaultRouteSettings"),
        replaces=names("apiId name"),
        named="name",
    ),
)
