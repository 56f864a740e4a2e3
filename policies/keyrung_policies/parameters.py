"""The parameters of a policy template: what each is, and which value it has in each environment.

They stand in a file beside the template and end up readable in the rendered policy, so nothing secret belongs there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from keyrung_policies.errors import PolicyErrors, SourceError
from keyrung_policies.reading import (
    Fields,
    Findings,
    NameForm,
    choice,
    list_of,
    read_boolean,
    read_duration_seconds,
    read_integer,
    read_mapping,
    read_text,
)
from keyrung_policies.source import Entry, Node, Scalar, parse_source

ParameterValue: TypeAlias = str | int | bool | tuple[str, ...]

PARAMETER = NameForm(
    pattern=r"\A[a-z][a-z0-9_]*\Z", max_chars=64, what="a parameter name", fix="write it like large_amount_minor"
)
ENVIRONMENT = NameForm(
    pattern=r"\A[a-z][a-z0-9-]*\Z", max_chars=64, what="an environment", fix="write it like prod, in lower case"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What a template is about, and its parameters' values by environment, all of them checked."""

    about: str
    environments: dict[str, dict[str, ParameterValue]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Declared:
    """One parameter: its type, and for integers the bounds."""

    type: str
    min: int | None
    max: int | None


def read_parameters(data: bytes, *, file: str) -> Parameters:
    """Return the parameters of a template.

    Raises:
        PolicyErrors: With every mistake of the file.
    """
    findings = Findings()
    top, errors = parse_source(data, file=file)
    findings.errors.extend(errors)
    about, environments = "", {}
    if top is not None:
        fields = Fields(top, findings, required=("keyrung", "about", "parameters", "environments"))
        fields.read("keyrung", choice(("template/v1",)), findings)
        about = fields.read("about", read_text, findings) or ""
        declared = fields.read("parameters", _read_declared, findings) or {}
        environments = (
            fields.read("environments", lambda node, found: _read_environments(node, found, declared), findings) or {}
        )
    if findings.errors:
        raise PolicyErrors(tuple(sorted(findings.errors, key=_by_place)))
    return Parameters(about=about, environments=environments)


def _by_place(error: SourceError) -> tuple[int, int]:
    return error.line, error.column


def _read_declared(node: Node, findings: Findings) -> dict[str, _Declared] | None:
    mapping = read_mapping(node, findings)
    declared: dict[str, _Declared] = {}
    for entry in () if mapping is None else mapping.entries:
        parameter = _parameter(entry, findings) if PARAMETER.check(entry.key, entry.place, findings) else None
        if parameter is not None:
            declared[entry.key] = parameter
    return declared


def _parameter(entry: Entry, findings: Findings) -> _Declared | None:
    mapping = read_mapping(entry.node, findings)
    if mapping is None:
        return None
    fields = Fields(mapping, findings, required=("type", "about"), optional=("min", "max"))
    kind = fields.read("type", choice(tuple(READERS)), findings)
    fields.read("about", read_text, findings)
    least, most = (fields.read(name, read_integer, findings) for name in ("min", "max"))
    return None if kind is None else _Declared(type=kind, min=least, max=most)


def _read_environments(
    node: Node, findings: Findings, declared: dict[str, _Declared]
) -> dict[str, dict[str, ParameterValue]] | None:
    mapping = read_mapping(node, findings)
    environments: dict[str, dict[str, ParameterValue]] = {}
    for entry in () if mapping is None else mapping.entries:
        values = read_mapping(entry.node, findings)
        if values is None or not ENVIRONMENT.check(entry.key, entry.place, findings):
            continue
        fields = Fields(values, findings, required=tuple(declared))
        environments[entry.key] = {}
        for name, parameter in declared.items():
            given = fields.entry(name)
            value = None if given is None else READERS[parameter.type](given.node, findings)
            if value is None or given is None:
                continue
            _check_bounds(name, value, parameter, given, findings)
            environments[entry.key][name] = value
    return environments


def _check_bounds(name: str, value: ParameterValue, parameter: _Declared, given: Entry, findings: Findings) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        return
    below = parameter.min is not None and value < parameter.min
    above = parameter.max is not None and value > parameter.max
    if below or above:
        bound = f"at least {parameter.min}" if below else f"at most {parameter.max}"
        findings.add(given.node.place, "wrong-value", f"{name} is {value}", f"write {bound}")


def _read_duration(node: Node, findings: Findings) -> str | None:
    if read_duration_seconds(node, findings) is None or not isinstance(node, Scalar):
        return None
    return node.raw


# Type of a parameter -> how its value is read.
READERS: dict[str, Callable[[Node, Findings], ParameterValue | None]] = {
    "text": read_text,
    "integer": read_integer,
    "boolean": read_boolean,
    "duration": _read_duration,
    "list": list_of(read_text),
}
