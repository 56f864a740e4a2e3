"""Inputs against the table of properties: types, choices, defaults, and no name that is unknown."""

from collections.abc import Mapping
from difflib import get_close_matches

from keyrung_infra.provider.model import Failure, Property, ResourceType, Values
from keyrung_infra.provider.values import UNKNOWN, Plain

_TYPES: dict[str, type] = {"string": str, "integer": int, "boolean": bool, "object": dict}


def check(resource: ResourceType, given: Values) -> tuple[dict[str, Plain], list[Failure]]:
    """Return the inputs with defaults filled in, and everything that is wrong with them."""
    inputs: dict[str, Plain] = {}
    failures = [_unknown_name(name, resource.inputs) for name in given if name not in resource.inputs]
    for name, rule in resource.inputs.items():
        value = given.get(name)
        if value is None:
            value = rule.default
        failure = _check_one(name, rule, value)
        if failure is not None:
            failures.append(failure)
        else:
            inputs[name] = value
    if not failures:
        failures = resource.check(inputs)
    return inputs, failures


def _check_one(name: str, rule: Property, value: Plain) -> Failure | None:
    if value is UNKNOWN:
        return None
    if value is None:
        return Failure(property=name, reason=f"{name} is missing: {rule.description}")
    wanted = _TYPES[rule.type]
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        return Failure(property=name, reason=f"{name} must be of type {rule.type}")
    if rule.choices and value not in rule.choices:
        return Failure(property=name, reason=f"{name} must be one of {', '.join(rule.choices)}, not {value!r}")
    return None


def _unknown_name(name: str, known: Mapping[str, Property]) -> Failure:
    close = get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return Failure(property=name, reason=f"there is no input called {name}{hint}")
