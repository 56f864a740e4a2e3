"""A Pulumi program run against the SDK's mocks: no engine, no plugin, no cloud; what it registers is recorded.

The values that a cloud would give (ARNs, names, endpoints) are made up from a table, so that documents built of them
can be read by a test as AWS would read them.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pulumi
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pulumi.runtime import rpc
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks, set_mocks
from pulumi.runtime.settings import SETTINGS, set_root_resource
from pulumi.runtime.stack import run_pulumi_func

ACCOUNT = "123456789012"
REGION = "eu-central-1"
DEPLOYER = f"arn:aws:iam::{ACCOUNT}:role/deployer"
_PEM = (
    ec.generate_private_key(ec.SECP256R1())
    .public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """One resource as the engine would hear of it.

    Attributes:
        inputs: As they go over the wire (camelCase).
        depends_on: URNs, of properties and of the option `depends_on`.
    """

    type: str
    name: str
    urn: str
    parent: str
    inputs: Mapping[str, Any]
    depends_on: frozenset[str]
    protect: bool


@dataclass(slots=True)
class Deployment:
    """Everything that a program registered, and what it returned."""

    resources: list[Registered] = field(default_factory=list)
    returned: dict[str, Any] = field(default_factory=dict)

    def of(self, kind: str) -> list[Registered]:
        """Return the resources of the type ``kind``, such as `aws:kms/key:Key`, in the order of their names."""
        return sorted((each for each in self.resources if each.type == kind), key=lambda each: each.name)

    def documents(self, kind: str) -> dict[str, list[dict[str, Any]]]:
        """Return the statements of the policy document on each resource of the type, by its name."""
        return {each.name: statements(each.inputs["policy"]) for each in self.of(kind)}

    def one(self, kind: str, name: str | None = None) -> Registered:
        """Return the only resource of the type, or the only one of that name."""
        found = [each for each in self.of(kind) if name is None or each.name == name]
        assert len(found) == 1, f"{kind} {name or ''}: {[each.name for each in self.of(kind)]}"
        return found[0]


def statements(document: str) -> list[dict[str, Any]]:
    """Return the statements of a policy document."""
    found: list[dict[str, Any]] = json.loads(document)["Statement"]
    return found


def deploy(
    program: Callable[[], Mapping[str, Any] | None],
    *,
    config: Mapping[str, str] | None = None,
    preview: bool = False,
) -> Deployment:
    """Run ``program`` to its end and return what it registered; outputs that it returns are resolved."""
    monitor = _Recorder()

    async def run() -> None:
        for name, value in (program() or {}).items():
            output = pulumi.Output.from_input(value)
            known = await output.is_known()
            monitor.seen.returned[name] = await output.future() if known else None

    with _event_loop() as loop:
        SETTINGS.rpc_manager.clear()
        set_root_resource(None)  # type: ignore[arg-type]  # that of another run belongs to its loop
        set_mocks(monitor.mocks, project="stepup", stack="aws", preview=preview, monitor=monitor)
        pulumi.runtime.config.set_all_config(dict(config or {}))
        loop.run_until_complete(run_pulumi_func(run))
        loop.run_until_complete(loop.shutdown_default_executor())
    return monitor.seen


class _Recorder(MockMonitor):
    """Notes parents, dependencies and protection, which the SDK's mocks drop."""

    def __init__(self) -> None:
        super().__init__(_Cloud())
        self.seen = Deployment()

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the name of the RPC
        with _event_loop():
            answer = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        self.seen.resources.append(
            Registered(
                type=request.type,
                name=request.name,
                urn=answer.urn,
                parent=request.parent,
                inputs=dict(_plain(rpc.deserialize_properties(request.object))),
                depends_on=frozenset(_dependencies(request)),
                protect=bool(request.protect),
            )
        )
        return answer

    def Invoke(self, request: Any) -> Any:  # noqa: N802 - the name of the RPC
        with _event_loop():
            return super().Invoke(request)  # type: ignore[no-untyped-call]


@contextmanager
def _event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Give this thread a loop of its own, which the SDK would make and leave open."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield loop
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _dependencies(request: Any) -> Iterator[str]:
    yield from request.dependencies
    for found in request.propertyDependencies.values():
        yield from found.urns


def _plain(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in values.items() if value is not None)


class _Cloud(Mocks):
    """Answers as AWS and the provider `keyrung` would, as far as names go."""

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        given = dict(args.inputs)
        make = _MADE.get(args.typ)
        return f"{args.name}-id", given if make is None else {**given, **make(args.name, given)}

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        return _ANSWERS[args.token], []


def _arn(service: str, kind: str) -> Callable[[str, Mapping[str, Any]], dict[str, Any]]:
    return lambda name, _given: {"arn": f"arn:aws:{service}:{REGION}:{ACCOUNT}:{kind}{name}", "name": name}


def _key(name: str, _given: Mapping[str, Any]) -> dict[str, Any]:
    return {"arn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{name}", "keyId": name}


def _role(name: str, _given: Mapping[str, Any]) -> dict[str, Any]:
    return {"arn": f"arn:aws:iam::{ACCOUNT}:role/{name}", "name": name}


def _bucket(name: str, _given: Mapping[str, Any]) -> dict[str, Any]:
    return {"arn": f"arn:aws:s3:::{name}", "bucket": name}


def _object(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    return {"arn": f"arn:aws:s3:::{given['bucket']}/{given['key']}"}


def _table(name: str, _given: Mapping[str, Any]) -> dict[str, Any]:
    arn = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}"
    return {"arn": arn, "name": name, "streamArn": f"{arn}/stream/2026-01-01"}  # to a linter a colon ends a part


def _function(name: str, _given: Mapping[str, Any]) -> dict[str, Any]:
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
    return {"arn": arn, "name": name, "version": "1", "qualifiedArn": f"{arn}:1"}


def _alias(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{given['functionName']}:{given['name']}"
    return {"arn": arn, "invokeArn": f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{arn}/invocations"}


def _api(name: str, _given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiEndpoint": f"https://{name}.execute-api.{REGION}.amazonaws.com",
        "executionArn": f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{name}",
    }


def _queue(name: str, _given: Mapping[str, Any]) -> dict[str, Any]:
    return {"arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}", "name": name}


def _stack_key(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    signs = given["purpose"] not in {"credential-seed", "kek"}
    uri = f"{given['vault']};alias={given['name']}"
    generation = int(given["generation"])
    newest = uri if generation == 1 else f"{uri}-g{generation}"
    return {
        "uri": newest,
        "thumbprint": f"thumbprint-of-{name}",
        "publicKeyPem": _PEM if signs else "",
        "state": "active",
        "generations": [
            {
                "generation": generation,
                "uri": newest,
                "thumbprint": f"thumbprint-of-{name}",
                "publicKeyPem": _PEM if signs else "",
                "state": "active",
                "stateSince": "2026-01-01T00:00:00+00:00",
                "useNotBefore": "2026-01-01T00:00:00+00:00",
            }
        ],
    }


_MADE: Mapping[str, Callable[[str, Mapping[str, Any]], dict[str, Any]]] = {
    "aws:apigatewayv2/api:Api": _api,
    "aws:cloudwatch/logGroup:LogGroup": _arn("logs", "log-group:"),
    "aws:cloudwatch/metricAlarm:MetricAlarm": _arn("cloudwatch", "alarm:"),
    "aws:dynamodb/table:Table": _table,
    "aws:iam/role:Role": _role,
    "aws:kms/externalKey:ExternalKey": _key,
    "aws:kms/key:Key": _key,
    "aws:lambda/alias:Alias": _alias,
    "aws:lambda/function:Function": _function,
    "aws:lambda/functionUrl:FunctionUrl": lambda name, _given: {"functionUrl": f"https://{name}.lambda-url.aws/"},
    "aws:s3/bucket:Bucket": _bucket,
    "aws:s3/bucketObjectv2:BucketObjectv2": _object,
    "aws:sns/topic:Topic": _arn("sns", ""),
    "aws:sqs/queue:Queue": _queue,
    "keyrung:index:Key": _stack_key,
    "keyrung:index:PolicySet": lambda _name, _given: {"bundle": '{"signed": "bundle"}', "version": 1},
}
_ANSWERS: Mapping[str, dict[str, Any]] = {
    "aws:index/getCallerIdentity:getCallerIdentity": {
        "accountId": ACCOUNT,
        "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/deployer/session",
    },
    "aws:index/getRegion:getRegion": {"region": REGION},
    "aws:iam/getSessionContext:getSessionContext": {"issuerArn": DEPLOYER},
}
