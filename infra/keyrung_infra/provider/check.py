"""Inputs against the table of properties: types, choices, defaults, and no name that is unknown."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches

from keyrung_infra.provider.model import Checked, Failure, Property, Values
from keyrung_infra.provider.values import UNKNOWN, Plain

_TYPES: dict[str, type] = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict}


def check(resource: Checked, given: Values) -> tuple[dict[str, Plain], list[Failure]]:
    """Return the inputs with defaults filled in, and everything that is wrong with them."""
    inputs: dict[str, Plain] = {}
    failures = _unknown_names("input", resource.inputs, given)
    for name, rule in resource.inputs.items():
        value = given.get(name)
        if value is None:
            value = rule.default
        wrong = _check_one(name, rule, value)
        failures.extend(wrong)
        if not wrong and value is not None:
            inputs[name] = value
    if not failures:
        failures = resource.check(inputs)
    return inputs, failures


def check_settings(rules: Mapping[str, Property], references: Collection[str], given: Values) -> list[Failure]:
    """Return what is wrong with the provider's settings; those in ``references`` must not be written out.

    No sentence holds a value, since what stands in the wrong place may be the secret itself.
    """
    failures = _unknown_names("setting", rules, given)
    for name in rules:
        value = given.get(name)
        if value is None or value is UNKNOWN:
            continue
        if not isinstance(value, str):
            failures.append(Failure(property=name, reason=f"the setting {name} must be of type string"))
        elif name in references and not value.startswith(("file:", "env:")):
            reason = f"the setting {name} must refer to its secret as file:PATH or env:NAME"
            failures.append(Failure(property=name, reason=reason))
    return failures


def _check_one(name: str, rule: Property, value: Plain) -> list[Failure]:
    if value is UNKNOWN or (value is None and rule.optional):
        return []
    if value is None:
        return [Failure(property=name, reason=f"{name} is missing: {rule.description}")]
    if not _has_type(rule, value):
        return [Failure(property=name, reason=f"{name} must be of type {rule.type}")]
    if rule.members:
        found = value if isinstance(value, list) else [value]
        return [failure for item in found for failure in _check_members(name, rule, item)]
    if rule.choices and value not in rule.choices:
        return [Failure(property=name, reason=f"{name} must be one of {', '.join(rule.choices)}, not {value!r}")]
    return []


def _has_type(rule: Property, value: Plain) -> bool:
    item_type = _TYPES[rule.items]
    if isinstance(value, list) and not all(item is UNKNOWN or isinstance(item, item_type) for item in value):
        return False
    wanted = _TYPES[rule.type]
    return isinstance(value, wanted) and not (wanted is int and isinstance(value, bool))


def _check_members(name: str, rule: Property, value: Plain) -> list[Failure]:
    if not isinstance(value, dict):
        return []  # not known yet
    failures = _unknown_names(f"member of {name}", rule.members, value)
    for member, member_rule in rule.members.items():
        failures.extend(_check_one(f"{name}.{member}", member_rule, value.get(member)))
    return failures


def _unknown_names(kind: str, known: Mapping[str, Property], given: Values) -> list[Failure]:
    failures = []
    for name in given:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            failures.append(Failure(property=name, reason=f"there is no {kind} called {name}{hint}"))
    return failures
