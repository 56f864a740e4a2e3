"""What inputs a resource type has, read from the classes of `pulumi_aws`; what does not fit them is a sentence."""

import inspect
import warnings
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from types import NoneType
from typing import Any, Union, get_args, get_origin

from pulumi import Output
from pulumi._types import input_type_py_to_pulumi_names, input_type_types, is_input_type
from support.aws_plugin.values import UNKNOWN

_NUMBERS = (int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The inputs of a resource type, and all properties that its state has, as they are named on the wire."""

    inputs: type
    state: frozenset[str]

    @property
    def names(self) -> frozenset[str]:
        """The inputs."""
        return frozenset(input_type_py_to_pulumi_names(self.inputs).values())


@cache
def shape(token: str) -> Shape:
    """Return the shape of a type such as ``aws:kms/key:Key``; raise `LookupError` if pulumi_aws has none."""
    _, path, name = token.split(":")
    service = path.partition("/")[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about other types, when the module is loaded
        resource = getattr(import_module(f"pulumi_aws.{'lambda_' if service == 'lambda' else service}"), name, None)
        if resource is None:
            raise LookupError(f"pulumi_aws has no resource type {token}")
        module = import_module(resource.__module__)
    # Where a part of another resource has the same name, the inputs of this one are its InitArgs.
    inputs = getattr(module, f"{name}InitArgs", None) or getattr(module, f"{name}Args")
    state = getattr(module, f"_{name}State")
    return Shape(inputs=inputs, state=frozenset(input_type_py_to_pulumi_names(state).values()))


def misfits(inputs: type, given: Mapping[str, Any], *, at: str = "") -> list[str]:
    """Return what is wrong with ``given`` as the properties of the input class ``inputs``, one sentence each."""
    types = input_type_types(inputs)
    found = []
    for name in given:
        if name not in types:
            close = get_close_matches(name, types, n=1)
            found.append(f"{at}{name} is no property of {inputs.__name__}{f', {close[0]} is' if close else ''}")
    for name in _required(inputs):
        if given.get(name) is None:
            found.append(f"{at}{name} is missing, and {inputs.__name__} requires it")
    for name, kind in types.items():
        value = given.get(name)
        if value is not None:
            found += _misfits(kind, value, f"{at}{name}")
    return found


def _required(inputs: type) -> list[str]:
    names = input_type_py_to_pulumi_names(inputs)
    parameters = inspect.signature(inputs.__init__).parameters.items()  # type: ignore[misc]  # the class's own
    return [names[name] for name, rule in parameters if name in names and rule.default is inspect.Parameter.empty]


def _misfits(kind: Any, value: Any, at: str) -> list[str]:
    if value is UNKNOWN:
        return []
    answers = [_misfits_one(alternative, value, at) for alternative in _alternatives(kind)]
    return min(answers, key=len, default=[f"{at} has a type that this double cannot read"])


def _alternatives(kind: Any) -> list[Any]:
    """Return the types that may stand on the wire: no Output, no Awaitable, no None."""
    if get_origin(kind) is Union:
        return [inner for each in get_args(kind) for inner in _alternatives(each)]
    return [] if kind is NoneType or get_origin(kind) in {Awaitable, Output} else [kind]


def _misfits_one(kind: Any, value: Any, at: str) -> list[str]:
    origin = get_origin(kind)
    if _is_record(kind):
        return misfits(kind, value, at=f"{at}.") if isinstance(value, dict) else [f"{at} is no {kind.__name__}"]
    if origin is Mapping and isinstance(value, dict):
        return [each for name, item in value.items() for each in _misfits(get_args(kind)[1], item, f"{at}.{name}")]
    if origin is Sequence and isinstance(value, list):
        items = enumerate(value)
        return [each for place, item in items for each in _misfits(get_args(kind)[0], item, f"{at}[{place}]")]
    if origin in {Mapping, Sequence} or not _fits_plain(kind, value):
        return [f"{at} is no {getattr(kind, '__name__', kind)}"]
    return []


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and is_input_type(kind)


def _fits_plain(kind: Any, value: Any) -> bool:
    if kind is Any:
        return True
    if kind in _NUMBERS:
        return isinstance(value, _NUMBERS) and not isinstance(value, bool) and (kind is float or value == int(value))
    if isinstance(kind, type) and issubclass(kind, str):  # an enumeration, too
        return isinstance(value, str)
    return isinstance(kind, type) and isinstance(value, kind)
