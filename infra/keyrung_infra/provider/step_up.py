"""The component `StepUp` for programs in any language: its schema, and its construction inside this provider.

Everything is read off `StepUpArgs` and `StepUp`: defaults from the fields, descriptions from the docstrings. The SDK's
own analyzer of components knows neither defaults nor sets nor paths.
"""

import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

import pulumi
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.provider import ConstructRequest, ConstructResponse
from pulumi.resource import DependencyResource

from keyrung_infra.components import Client, StepUp, StepUpArgs
from keyrung_infra.components.audit_trail import LockMode
from keyrung_infra.components.verifier_api import Front
from keyrung_infra.errors import InfraError
from keyrung_infra.packaging.bundle import Architecture
from keyrung_infra.project import find_root
from keyrung_infra.provider.check import check
from keyrung_infra.provider.model import Failure, Property, Values
from keyrung_infra.provider.values import UNKNOWN, Plain, from_plain, to_plain
from keyrung_provisioners.api import Purpose

_CHOICES: Mapping[str, type[StrEnum]] = {
    "architecture": Architecture,
    "front": Front,
    "audit_lock_mode": LockMode,
}
_LISTS = frozenset({"operator_arns", "imported_keys", "alarm_emails"})
_LATER = frozenset({"policy", "issuer", "deployer_arn"})  # may come from another resource, and be unknown in a preview
_NUMBERS = frozenset({"reserved_concurrency", "provisioned_concurrency"})  # without a default that tells
_OUTPUT_TYPES = {"keys": "object", "policy_version": "integer"}  # all others are texts
_CLIENT = {
    "clientId": Property(type="string", description="Its name."),
    "audience": Property(type="string", description="Absolute URI that its assertions name."),
    "principalArn": Property(type="string", description="The IAM role or user that it calls as."),
}


class StepUpComponent:
    """The component as the provider describes it: tables of properties, as of every other type."""

    token: ClassVar[str] = "keyrung:index:StepUp"  # noqa: S105 - a Pulumi type token
    description: ClassVar[str] = "Step-up authentication for the applications of an AWS account."

    def __init__(self) -> None:
        """Read the tables off the classes."""
        told = _attributes(StepUpArgs)
        self._names = {_camel(field.name): field.name for field in dataclasses.fields(StepUpArgs)}
        self.inputs = {_camel(each.name): _property(each, told[each.name]) for each in dataclasses.fields(StepUpArgs)}
        self._outputs = {_camel(name): name for name in _attributes(StepUp)}
        self.outputs = {
            name: Property(type=_OUTPUT_TYPES.get(own, "string"), description=_attributes(StepUp)[own])
            for name, own in self._outputs.items()
        }

    def check(self, inputs: Values) -> list[Failure]:
        """Return what is wrong beyond the types: nothing, `StepUpArgs` judges itself."""
        return []

    async def construct(self, request: ConstructRequest) -> ConstructResponse:
        """Declare the deployment in the program that asks, and return its outputs."""
        given = {name: to_plain(value) for name, value in request.inputs.items()}
        inputs, failures = check(self, given)
        if failures:
            raise InfraError("; ".join(each.reason for each in failures), fix=f"correct it in {request.name}")
        arguments = {self._names[name]: self._argument(name, value, request) for name, value in inputs.items()}
        made = StepUp(request.name, StepUpArgs(**arguments), request.options)
        state = {name: await _property_value(getattr(made, own)) for name, own in self._outputs.items()}
        return ConstructResponse(urn=str(await made.urn.future()), state=state, state_dependencies={})

    def _argument(self, name: str, value: Plain, request: ConstructRequest) -> Any:
        own = self._names[name]
        if own in _LATER:
            return _output(request.inputs[name])
        if _unknown(value):
            raise InfraError(f"{name} is not known yet", fix="write it as a literal or read it from the configuration")
        decode = _DECODE.get(own)
        return value if decode is None else decode(value)


def _property(field: "dataclasses.Field[Any]", told: str) -> Property:
    default = None if field.default is dataclasses.MISSING else field.default
    required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    choices = tuple(_CHOICES[field.name]) if field.name in _CHOICES else ()
    optional = not required and (default is None or default == ())
    if field.name == "clients":
        kind = {"type": "array", "items": "object", "members": _CLIENT, "object_name": "Client"}
    elif field.name in _LISTS:
        kind = {"type": "array"}
    elif isinstance(default, bool):
        kind = {"type": "boolean"}
    elif isinstance(default, int) or field.name in _NUMBERS:
        kind = {"type": "integer"}
    else:
        kind = {"type": "string"}
    text = f"{told[0].upper()}{told[1:]}"
    return Property(
        description=f"{text} One of {', '.join(choices)}." if choices else text,
        default=None if default == () else default,
        choices=choices,
        optional=optional,
        **kind,  # type: ignore[arg-type]  # each of them is one of Property's
    )


def _package(name: str) -> Path:
    """Return the whole path of a package: the engine, the program and this provider may work in other folders."""
    path = find_root() / name
    if not path.is_file():
        raise InfraError(f"package names {name}, which is not in the project", fix="run `keyrung bundle build`")
    return path


def _purposes(names: list[str]) -> frozenset[Purpose]:
    unknown = [name for name in names if name not in set(Purpose)]
    if unknown:
        raise InfraError(f"importedKeys names {', '.join(unknown)}", fix=f"choose of {', '.join(Purpose)}")
    return frozenset(Purpose(name) for name in names)


# What a value that is known becomes.
_DECODE: Mapping[str, Callable[[Any], Any]] = {
    "package": _package,
    "clients": lambda found: [
        Client(client_id=each["clientId"], audience=each["audience"], principal_arn=each["principalArn"])
        for each in found
    ],
    "imported_keys": _purposes,
    **_CHOICES,
}


def _attributes(described: type) -> dict[str, str]:
    """Return the attributes that a docstring describes (Google's style)."""
    section = inspect.cleandoc(described.__doc__ or "").partition("Attributes:\n")[2]
    joined = re.sub(r"\n\s{8}", " ", section)  # a description goes on in lines that are indented further
    return dict(re.findall(r"^    (\w+): (.+)$", joined, re.MULTILINE))


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _unknown(value: Plain) -> bool:
    if isinstance(value, dict):
        return any(map(_unknown, value.values()))
    return any(map(_unknown, value)) if isinstance(value, list) else value is UNKNOWN


def _output(value: PropertyValue) -> pulumi.Output[Any]:
    """Return the value with all that the engine says of it: unknown, secret, and what it depends on."""

    async def of(known: Any) -> Any:
        return known

    plain = to_plain(value)
    return pulumi.Output(
        {DependencyResource(urn) for urn in value.dependencies},
        of(None if plain is UNKNOWN else plain),
        of(plain is not UNKNOWN),
        of(value.is_secret),
    )


async def _property_value(output: pulumi.Output[Any]) -> PropertyValue:
    """Return an output as the engine takes it."""
    found = from_plain(await output.future() if await output.is_known() else UNKNOWN)
    urns = [await each.urn.future() for each in await output.resources()]
    return PropertyValue(found.value, await output.is_secret(), [str(urn) for urn in urns])
