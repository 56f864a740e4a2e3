"""The double behind the engine's protocol: strict checks, diffs by table, and calls to the account that is played."""

import asyncio
import hashlib
import os
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from pulumi import FileArchive
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.provider import (
    CheckFailure,
    CheckRequest,
    CheckResponse,
    ConfigureRequest,
    ConfigureResponse,
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    DiffRequest,
    DiffResponse,
    GetSchemaRequest,
    GetSchemaResponse,
    InvokeRequest,
    InvokeResponse,
    PropertyDiff,
    PropertyDiffKind,
    Provider,
    ReadRequest,
    ReadResponse,
    UpdateRequest,
    UpdateResponse,
)
from pulumi.provider.experimental.server import main
from support.aws_plugin import api_gateway, dynamodb, functions, iam, kms, lambdas, messages, s3, watching
from support.aws_plugin.resource import Aws, Resource
from support.aws_plugin.shapes import misfits, shape
from support.aws_plugin.values import UNKNOWN, content, plain_map, read_files_without_paths, wire_map

T = TypeVar("T")
_VERSION = version("pulumi_aws")  # that of the classes, which ask for a plugin as new as they are
_SERVICES = (api_gateway, dynamodb, iam, kms, lambdas, messages, s3, watching)
RESOURCES: dict[str, Resource] = {each.token: each for service in _SERVICES for each in service.RESOURCES}
_SUFFIX_DIGITS = 7  # as many as the real plugin puts behind a name that it makes up
_PATH, _HASH = "__path", "__hash"  # of the file that a resource is made of: the engine does not always tell them
_FROM_ENGINE = frozenset({"__internal", "__defaults"})


class AwsDouble(Provider):
    """A test double of the provider `aws`."""

    def __init__(self) -> None:
        """Wait for the configuration."""
        self._aws = Aws(os.environ.get("AWS_REGION", ""))

    async def get_schema(self, request: GetSchemaRequest) -> GetSchemaResponse:
        """Return no more than the name; programs bring the real classes."""
        return GetSchemaResponse(schema=f'{{"name": "aws", "version": "{_VERSION}"}}')

    async def check_config(self, request: CheckRequest) -> CheckResponse:
        """Take any configuration; only the region is read."""
        return CheckResponse(inputs=request.new_inputs)

    async def configure(self, request: ConfigureRequest) -> ConfigureResponse:
        """Take the region."""
        region = plain_map(request.args).get("region", os.environ.get("AWS_REGION", ""))
        if not region:
            raise ValueError("no region: set aws:region")
        self._aws = Aws(str(region))
        return ConfigureResponse(
            accept_secrets=True, supports_preview=True, accept_resources=False, accept_outputs=False
        )

    async def check(self, request: CheckRequest) -> CheckResponse:
        """Refuse what the classes of `pulumi_aws` do not have, and what this double would drop; make up a name."""
        resource, given = _resource(request.type), plain_map(request.new_inputs)
        given = {name: value for name, value in given.items() if name not in _FROM_ENGINE}
        wrong = misfits(shape(resource.token).inputs, given)
        wrong += [
            f"this double has no code for {name} of {resource.token}"
            for name in given
            if name in shape(resource.token).names and name not in resource.inputs
        ]
        kept = {name: request.new_inputs[name] for name in given}
        if resource.named is not None and resource.named not in given:
            old = plain_map(request.old_inputs or {}).get(resource.named)
            kept |= wire_map({resource.named: old or _made_up(request)})
        file = given.get(resource.archive or "")
        if isinstance(file, FileArchive):
            kept |= wire_map({_PATH: file.path, _HASH: hashlib.sha256(content(file)).hexdigest()})
        return CheckResponse(inputs=kept, failures=[CheckFailure(property="", reason=reason) for reason in wrong])

    async def diff(self, request: DiffRequest) -> DiffResponse:
        """Compare input by input."""
        resource = _resource(request.type)
        old, new = plain_map(request.old_state), plain_map(request.new_inputs)
        if resource.archive is not None:
            old[resource.archive], new[resource.archive] = old.get(_HASH), new[_HASH]
        changed = [
            name
            for name in sorted(resource.inputs)
            if name not in request.ignore_changes and old.get(name) != new.get(name)
        ]
        replaces = [name for name in changed if name in resource.replaces]
        kinds = {True: PropertyDiffKind.UPDATE_REPLACE, False: PropertyDiffKind.UPDATE}
        same_name = resource.named is not None and old.get(resource.named) == new.get(resource.named)
        return DiffResponse(
            changes=bool(changed),
            replaces=replaces,
            diffs=changed,
            detailed_diff={name: PropertyDiff(kind=kinds[name in replaces], input_diff=True) for name in changed},
            delete_before_replace=same_name,
        )

    async def create(self, request: CreateRequest) -> CreateResponse:
        """Make it; in a preview nothing but the inputs is known."""
        resource, inputs = _resource(request.type), plain_map(request.properties)
        if request.preview:
            return CreateResponse(resource_id="", properties=_planned(resource, request.properties, {}))
        resource_id = await self._asked(lambda: resource.create(self._aws, inputs))
        found = await self._asked(lambda: resource.read(self._aws, resource_id, inputs))
        return CreateResponse(resource_id=resource_id, properties=_state(resource, request.properties, found))

    async def read(self, request: ReadRequest) -> ReadResponse:
        """Return it as it is; an empty id says that it is gone."""
        resource, state = _resource(request.type), plain_map(request.properties)
        found = await self._asked(lambda: resource.read(self._aws, request.resource_id, state))
        if found is None:
            return ReadResponse(resource_id="", inputs={}, properties={})
        now = {name: value for name, value in found.items() if name in resource.inputs and name in request.inputs}
        if resource.archive is not None:
            now[resource.archive] = FileArchive(state[_PATH])
        return ReadResponse(
            resource_id=request.resource_id,
            inputs={**request.inputs, **wire_map(now)},
            properties={**request.properties, **wire_map(found)},
        )

    async def update(self, request: UpdateRequest) -> UpdateResponse:
        """Change it; in a preview the outputs that stay are known."""
        resource, old, new = _resource(request.type), plain_map(request.olds), plain_map(request.news)
        if request.preview:
            return UpdateResponse(properties=_planned(resource, request.news, request.olds))
        await self._asked(lambda: resource.update(self._aws, request.resource_id, old, new))
        found = await self._asked(lambda: resource.read(self._aws, request.resource_id, new))
        return UpdateResponse(properties=_state(resource, request.news, found))

    async def delete(self, request: DeleteRequest) -> None:
        """Delete it."""
        resource, state = _resource(request.type), plain_map(request.properties)
        await self._asked(lambda: resource.delete(self._aws, request.resource_id, state))

    async def invoke(self, request: InvokeRequest) -> InvokeResponse:
        """Answer a function."""
        if request.tok not in functions.FUNCTIONS:
            raise LookupError(f"this double has no code for the function {request.tok}")
        known = functions.FUNCTIONS[request.tok]
        found = await self._asked(lambda: known(self._aws, plain_map(request.args)))
        return InvokeResponse(return_value=wire_map(found))

    async def _asked(self, call: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(call)
        except (BotoCoreError, ClientError) as error:
            raise RuntimeError(f"the account that is played refused: {error}") from error


def _resource(kind: str) -> Resource:
    token = kind.rpartition("$")[2]  # behind the types of its parents
    if token not in RESOURCES:
        raise LookupError(f"this double has no code for the resource type {token}")
    return RESOURCES[token]


def _made_up(request: CheckRequest) -> str:
    """Return the logical name with a suffix, in letters that every service takes."""
    logical = request.urn.rpartition("::")[2].lower()
    seed = request.random_seed or os.urandom(16)
    return f"{logical}-{hashlib.sha256(seed).hexdigest()[:_SUFFIX_DIGITS]}"


def _state(
    resource: Resource, inputs: Mapping[str, PropertyValue], found: Mapping[str, Any] | None
) -> dict[str, PropertyValue]:
    """Return inputs and outputs, of a file only path and hash."""
    state = {**inputs, **wire_map(found or {})}
    state.pop(resource.archive or "", None)
    return state


def _planned(
    resource: Resource, inputs: Mapping[str, PropertyValue], olds: Mapping[str, PropertyValue]
) -> dict[str, PropertyValue]:
    """Return what a preview knows: the inputs, and of an update the outputs that it leaves alone."""
    known: dict[str, Any] = {}
    for name in shape(resource.token).state - shape(resource.token).names:
        known[name] = olds[name] if name in olds and name not in resource.renewed else wire_map({name: UNKNOWN})[name]
    return {**known, **inputs}


if __name__ == "__main__":
    if not os.environ.get("AWS_ENDPOINT_URL"):
        sys.exit("this is a test double: it needs AWS_ENDPOINT_URL, and is of no use for a real account")
    read_files_without_paths()
    main(sys.argv[1:], _VERSION, AwsDouble())
