"""The provider as the engine calls it: one dispatch from each engine operation to the resource type.

The engine's calls are async; stores are not, so each operation runs in a thread of its own.
"""

import asyncio
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeVar

from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.provider import (
    CheckFailure,
    CheckRequest,
    CheckResponse,
    ConfigureRequest,
    ConfigureResponse,
    ConstructRequest,
    ConstructResponse,
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    DiffRequest,
    DiffResponse,
    GetSchemaRequest,
    GetSchemaResponse,
    PropertyDiff,
    PropertyDiffKind,
    Provider,
    ReadRequest,
    ReadResponse,
    UpdateRequest,
    UpdateResponse,
)

from keyrung_infra.errors import InfraError
from keyrung_infra.generation_setting import with_setting
from keyrung_infra.provider.backends import CONFIGURATION, SECRET_REFERENCES, Backends
from keyrung_infra.provider.check import check, check_settings
from keyrung_infra.provider.custodian import Custodian
from keyrung_infra.provider.diff import diff
from keyrung_infra.provider.engine import Engine
from keyrung_infra.provider.escrow import Escrow
from keyrung_infra.provider.key import Key
from keyrung_infra.provider.key_vault import KeyVault
from keyrung_infra.provider.model import Ageing, Changes, Failure, OnChange, ResourceType, Values
from keyrung_infra.provider.policy_set import PolicySet
from keyrung_infra.provider.schema import schema
from keyrung_infra.provider.values import UNKNOWN, from_plain, plain_map, property_map
from keyrung_infra.provider.verifier_config import VerifierConfig

if TYPE_CHECKING:
    from keyrung_infra.provider.step_up import StepUpComponent

T = TypeVar("T")

NAME = "keyrung"
VERSION = "0.1.0"
_FROM_ENGINE = ("__internal", "__defaults", "version", "pluginDownloadURL")


class KeyrungProvider(Provider):
    """Pulumi provider `keyrung`."""

    def __init__(self, backends: Backends, engine: Engine) -> None:
        """Serve every resource type over ``backends``, for ``engine``."""
        self._backends = backends
        self._engine = engine
        types: list[ResourceType] = [
            KeyVault(backends),
            Key(backends),
            Custodian(backends),
            Escrow(backends),
            PolicySet(backends),
            VerifierConfig(backends),
        ]
        self._types = {resource.token: resource for resource in types}

    async def get_schema(self, request: GetSchemaRequest) -> GetSchemaResponse:
        """Return the schema."""
        return GetSchemaResponse(schema=schema(NAME, VERSION, CONFIGURATION, self._types.values(), _components()))

    async def construct(self, request: ConstructRequest) -> ConstructResponse:
        """Declare a component for a program in any language."""
        for component in _components():
            if component.token == request.resource_type:
                return await component.construct(request)
        raise InfraError(
            f"there is no component {request.resource_type}", fix="install keyrung[aws] for the components"
        )

    async def check_config(self, request: CheckRequest) -> CheckResponse:
        """Refuse unknown settings and secrets that are written out."""
        given = {name: value for name, value in plain_map(request.new_inputs).items() if name not in _FROM_ENGINE}
        failures = check_settings(CONFIGURATION, SECRET_REFERENCES, given)
        return CheckResponse(inputs=request.new_inputs, failures=_failures(failures))

    async def configure(self, request: ConfigureRequest) -> ConfigureResponse:
        """Take the settings; nothing is opened yet."""
        given = plain_map(request.args)
        self._backends.configure({name: value for name, value in given.items() if isinstance(value, str)})
        return ConfigureResponse(
            accept_secrets=True, supports_preview=True, accept_resources=False, accept_outputs=False
        )

    async def check(self, request: CheckRequest) -> CheckResponse:
        """Fill in defaults and say what is wrong."""
        given = plain_map(request.new_inputs)
        inputs, failures = check(self._type(request.type), given)
        # What was given is handed back as it came, so that a secret stays one; the rest are defaults.
        kept = {
            name: from_plain(value) if given.get(name) is None else request.new_inputs[name]
            for name, value in inputs.items()
        }
        return CheckResponse(inputs=kept, failures=_failures(failures))

    async def diff(self, request: DiffRequest) -> DiffResponse:
        """Say what changes, property by property."""
        state, inputs = plain_map(request.old_state), plain_map(request.new_inputs)
        resource = self._type(request.type)
        changes = diff(resource, state, inputs, request.ignore_changes)
        if isinstance(resource, Ageing):
            await self._advise(request.urn, resource.overdue(state, inputs))
        return DiffResponse(
            changes=bool(changes.by_property),
            replaces=changes.replaces,
            diffs=list(changes.by_property),
            detailed_diff=_detailed(state, changes),
            delete_before_replace=True,
        )

    async def create(self, request: CreateRequest) -> CreateResponse:
        """Make the thing; in a preview only say what is known."""
        resource, inputs = self._type(request.type), plain_map(request.properties)
        if request.preview:
            await self._advise(request.urn, resource.advice(inputs, None))
            return CreateResponse(resource_id="", properties=_planned(resource, request.properties, inputs, None))
        resource_id, outputs = await self._run(lambda: resource.create(request.urn, inputs))
        return CreateResponse(resource_id=resource_id, properties=_state(request.properties, outputs))

    async def read(self, request: ReadRequest) -> ReadResponse:
        """Return the thing as it is now, or take it over."""
        resource, state = self._type(request.type), plain_map(request.properties)
        if not state:
            found = await self._run(lambda: resource.adopt(request.urn, request.resource_id))
            inputs = property_map(found.inputs)
            return ReadResponse(resource_id=found.resource_id, inputs=inputs, properties=_state(inputs, found.outputs))
        current = property_map(await self._run(lambda: resource.read(request.urn, request.resource_id, state)))
        changed = {name: value for name, value in current.items() if name in resource.inputs}  # outside of Pulumi
        return ReadResponse(
            resource_id=request.resource_id,
            inputs={**request.inputs, **changed},
            properties={**request.properties, **current},
        )

    async def update(self, request: UpdateRequest) -> UpdateResponse:
        """Change the thing in place."""
        resource, state, inputs = self._type(request.type), plain_map(request.olds), plain_map(request.news)
        if request.preview:
            await self._advise(request.urn, resource.advice(inputs, state))
            return UpdateResponse(properties=_planned(resource, request.news, inputs, state))
        outputs = await self._run(lambda: resource.update(request.urn, state, inputs))
        return UpdateResponse(properties=_state(request.news, outputs))

    async def delete(self, request: DeleteRequest) -> None:
        """Remove the thing."""
        resource, state = self._type(request.type), plain_map(request.properties)
        await self._run(lambda: resource.delete(request.urn, state))

    async def _advise(self, urn: str, sentences: list[str]) -> None:
        for sentence in sentences:
            await asyncio.to_thread(self._engine.warn, urn, with_setting(sentence))

    async def _run(self, operation: Callable[[], T]) -> T:
        with self._engine.operation():
            return await asyncio.to_thread(operation)

    def _type(self, kind: str) -> ResourceType:
        token = kind.rpartition("$")[2]  # behind the types of its parents, as in a URN
        if token not in self._types:
            raise InfraError(f"there is no resource type {token}", fix=f"use one of {', '.join(self._types)}")
        return self._types[token]


def _components() -> "list[StepUpComponent]":
    """Return the components; they need the classes of the AWS provider, which a local stack does without."""
    if find_spec("pulumi_aws") is None:
        return []
    from keyrung_infra.provider.step_up import StepUpComponent  # noqa: PLC0415 - takes seconds

    return [StepUpComponent()]


def _planned(
    resource: ResourceType, properties: Mapping[str, PropertyValue], inputs: Values, state: Values | None
) -> dict[str, PropertyValue]:
    known = resource.planned(inputs, state)
    outputs = {name: known.get(name, UNKNOWN) for name in resource.outputs}
    return _state(properties, outputs)


def _state(inputs: Mapping[str, PropertyValue], outputs: Values) -> dict[str, PropertyValue]:
    """Inputs are kept as they came (a secret stays one), beside the outputs: a later diff needs them."""
    return {**inputs, **property_map(outputs)}


def _failures(failures: list[Failure]) -> list[CheckFailure]:
    """Return the failures without the property's name: beside it the engine would print the value, secret or not."""
    return [CheckFailure(property="", reason=failure.reason) for failure in failures]


def _detailed(state: Values, changes: Changes) -> dict[str, PropertyDiff]:
    kinds = {
        (True, OnChange.UPDATE): PropertyDiffKind.UPDATE,
        (True, OnChange.REPLACE): PropertyDiffKind.UPDATE_REPLACE,
        (False, OnChange.UPDATE): PropertyDiffKind.ADD,
        (False, OnChange.REPLACE): PropertyDiffKind.ADD_REPLACE,
    }
    return {
        name: PropertyDiff(kind=kinds[name in state, change.kind], input_diff=change.input)
        for name, change in changes.by_property.items()
    }
