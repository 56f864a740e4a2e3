"""The verifier's public address: an HTTP API, or the function's own URL."""

import json
from dataclasses import dataclass
from enum import StrEnum

import pulumi
import pulumi_aws as aws

from keyrung_infra.components.account import Account
from keyrung_infra.components.function import log_group
from keyrung_infra.components.policy_document import Statement, policy_document
from keyrung_infra.components.verifier_function import VerifierFunction
from keyrung_verifier import paths

# Who asks here is an application: IAM authenticates it.
CALLER_ROUTES = tuple(f"POST {path}" for path in (paths.EVALUATION, paths.EVALUATIONS, paths.CHALLENGES, paths.SPEND))
# Who asks here is a person or a stranger: the challenge's name is the right to answer it, the rest is public.
PUBLIC_ROUTES = (
    f"GET {paths.CHALLENGES}/{{challenge}}",
    f"POST {paths.CHALLENGES}/{{challenge}}/response",
    f"GET {paths.JWKS}",
    f"GET {paths.AUTHZEN_CONFIGURATION}",
    f"GET {paths.HEALTH}",
    f"GET {paths.OPENAPI}",
)
_STAGE = "$default"  # the stage without a path of its own
# What is written of each request: nothing that a caller sends but method and route.
_ACCESS_LOG = {
    "time": "$context.requestTime",
    "id": "$context.requestId",
    "address": "$context.identity.sourceIp",
    "principal": "$context.identity.userArn",
    "route": "$context.routeKey",
    "status": "$context.status",
    "milliseconds": "$context.responseLatency",
    "error": "$context.error.messageString",
}


class Front(StrEnum):
    """What stands before the function."""

    HTTP_API = "http-api"  # IAM for applications, open routes for people
    FUNCTION_URL = "function-url"  # IAM for everything: behind a proxy of yours


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierApiArgs:
    """What the address is like.

    Attributes:
        account: Where it is.
        verifier: What answers.
        logs_key_arn: KMS key that encrypts the access log.
        front: An HTTP API or the function's URL, which has neither access log nor throttling of its own.
        requests_per_second: Above which an HTTP API answers 429.
        burst_requests: How many may come at once before that.
        log_retention_days: One of the periods that CloudWatch offers.
    """

    account: Account
    verifier: VerifierFunction
    logs_key_arn: pulumi.Input[str]
    front: Front = Front.HTTP_API
    requests_per_second: int = 100
    burst_requests: int = 200
    log_retention_days: int = 90


class VerifierApi(pulumi.ComponentResource):
    """Where the verifier is reached.

    Attributes:
        url: The origin, without a slash at the end.
        api_id: Of the HTTP API; None for a function URL.
        caller_policy: An IAM policy document (JSON) for the roles of applications: what they need to ask.
    """

    url: pulumi.Output[str]
    api_id: pulumi.Output[str] | None
    caller_policy: pulumi.Output[str]

    def __init__(self, name: str, args: VerifierApiArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the address."""
        super().__init__("keyrung:index:VerifierApi", name, None, opts)
        self._name, self._args = name, args
        self._opts = pulumi.ResourceOptions(parent=self)
        if args.front is Front.HTTP_API:
            self._http_api()
        else:
            self._function_url()
        self.register_outputs({"url": self.url})

    def _http_api(self) -> None:
        name, args, verifier = self._name, self._args, self._args.verifier
        api = aws.apigatewayv2.Api(name, protocol_type="HTTP", opts=self._opts)
        integration = aws.apigatewayv2.Integration(
            name,
            api_id=api.id,
            integration_type="AWS_PROXY",
            integration_uri=verifier.alias.invoke_arn,
            payload_format_version="2.0",
            opts=self._opts,
        )
        target = pulumi.Output.format("integrations/{0}", integration.id)
        routes = [
            aws.apigatewayv2.Route(
                f"{name} {route}",
                api_id=api.id,
                route_key=route,
                authorization_type=kind,
                target=target,
                opts=self._opts,
            )
            for kind, found in (("AWS_IAM", CALLER_ROUTES), ("NONE", PUBLIC_ROUTES))
            for route in found
        ]
        log = log_group(f"{name}-access", args.logs_key_arn, args.log_retention_days, opts=self._opts)
        aws.apigatewayv2.Stage(
            name,
            api_id=api.id,
            name=_STAGE,
            auto_deploy=True,
            access_log_settings={"destination_arn": log.arn, "format": json.dumps(_ACCESS_LOG)},
            default_route_settings={
                "throttling_rate_limit": args.requests_per_second,
                "throttling_burst_limit": args.burst_requests,
                "detailed_metrics_enabled": True,
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=routes),
        )
        aws.lambda_.Permission(
            name,
            action="lambda:InvokeFunction",
            function=verifier.function.name,
            qualifier=verifier.alias.name,
            principal="apigateway.amazonaws.com",
            source_arn=pulumi.Output.format("{0}/*/*", api.execution_arn),
            opts=self._opts,
        )
        self.url, self.api_id = api.api_endpoint, api.id
        asked = [
            pulumi.Output.format("{0}/{1}/{2}", api.execution_arn, _STAGE, route.replace(" ", ""))
            for route in CALLER_ROUTES
        ]
        self.caller_policy = policy_document(
            [Statement(sid="AskTheVerifier", actions=("execute-api:Invoke",), resources=asked)]
        )

    def _function_url(self) -> None:
        verifier = self._args.verifier
        made = aws.lambda_.FunctionUrl(
            self._name,
            function_name=verifier.function.name,
            qualifier=verifier.alias.name,
            authorization_type="AWS_IAM",
            opts=self._opts,
        )
        self.url, self.api_id = made.function_url.apply(lambda url: str(url).rstrip("/")), None
        self.caller_policy = policy_document(
            [
                Statement(sid="AskTheVerifier", actions=("lambda:InvokeFunctionUrl",), resources=(verifier.alias.arn,)),
                Statement(  # a URL asks for this right as well; invoking past the URL stays refused
                    sid="ThroughTheUrl",
                    actions=("lambda:InvokeFunction",),
                    resources=(verifier.alias.arn,),
                    conditions={"Bool": {"lambda:InvokedViaFunctionUrl": "true"}},
                ),
            ]
        )
