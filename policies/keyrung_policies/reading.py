"""Small readers over the node tree: each returns a typed value, or None after noting what is wrong.

All mistakes of all files are collected in one `Findings`, so no reader stops at the first.
"""

import re
from collections.abc import Callable
from collections.abc import Sequence as Items
from dataclasses import dataclass, field
from typing import TypeVar

from keyrung_policies.errors import Place, Problem, SourceError
from keyrung_policies.model import MAX_INTEGER
from keyrung_policies.source import Entry, Mapping, Node, Scalar, Sequence

T = TypeVar("T")

SECONDS_PER_UNIT = {"s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"([0-9]{1,9})(s|m|h)")
_NUMBER = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The errors found so far, in the order of discovery, and warnings, which stop nothing."""

    errors: list[SourceError] = field(default_factory=list)
    warnings: list[SourceError] = field(default_factory=list)

    def add(self, place: Place, problem_id: str, sentence: str, fix: str) -> None:
        """Note a mistake at a place."""
        self.note(place, Problem(id=problem_id, sentence=sentence, fix=fix))

    def note(self, place: Place, problem: Problem) -> None:
        """Note a problem at a place."""
        self.errors.append(place.error(problem))

    def warn(self, place: Place, problem: Problem) -> None:
        """Note something that is allowed and probably not meant."""
        self.warnings.append(place.error(problem))


class Fields:
    """The fields of a mapping, with unknown and missing ones noted at once."""

    def __init__(
        self, node: Mapping, findings: Findings, *, required: tuple[str, ...] = (), optional: tuple[str, ...] = ()
    ) -> None:
        self._entries = {entry.key: entry for entry in node.entries}
        known = (*required, *optional)
        for entry in node.entries:
            if entry.key not in known:
                findings.add(
                    entry.place, "unknown-field", f"the field {entry.key!r} is unknown here", f"use {', '.join(known)}"
                )
        for name in required:
            if name not in self._entries:
                findings.add(node.place, "missing-field", f"the field {name!r} is missing", "add it")

    def read(self, name: str, reader: Callable[[Node, Findings], T | None], findings: Findings) -> T | None:
        """Return a field read by a reader, or None when it is absent or wrong."""
        entry = self._entries.get(name)
        return None if entry is None else reader(entry.node, findings)

    def entry(self, name: str) -> Entry | None:
        """Return a field with its place."""
        return self._entries.get(name)


def kind_name(node: Node) -> str:
    """Return in words what kind of value stands in the file."""
    match node:
        case Mapping():
            return "a mapping"
        case Sequence():
            return "a list"
        case Scalar(kind="text"):
            return "text"
        case Scalar(kind="integer"):
            return "an integer"
        case Scalar(kind="boolean"):
            return "a boolean"
        case Scalar(raw=raw):
            return f"the YAML value {raw!r}" if raw else "nothing"


def wrong_type(node: Node, findings: Findings, expected: str, fix: str) -> None:
    """Note that a value is of another kind than its field takes."""
    findings.add(node.place, "wrong-type", f"this is {kind_name(node)}, not {expected}", fix)


def read_mapping(node: Node, findings: Findings) -> Mapping | None:
    """Return the node as a mapping."""
    if isinstance(node, Mapping):
        return node
    wrong_type(node, findings, "a mapping", "write `name: value` lines below the key")
    return None


def read_text(node: Node, findings: Findings) -> str | None:
    """Return a text."""
    if isinstance(node, Scalar) and node.kind == "text":
        return node.raw
    wrong_type(node, findings, "text", "write text, in quotes if it looks like a number or a date")
    return None


def read_integer(node: Node, findings: Findings) -> int | None:
    """Return an integer that every JSON reader keeps exactly."""
    if isinstance(node, Scalar) and type(node.value) is int:
        if abs(node.value) <= MAX_INTEGER:
            return node.value
        findings.add(
            node.place, "wrong-value", f"the integer exceeds {MAX_INTEGER}", "write a smaller one, in a larger unit"
        )
        return None
    wrong_type(node, findings, "an integer", "write it in decimal digits without separators")
    return None


def number(name: str, *, least: int, most: int) -> Callable[[Node, Findings], int | None]:
    """Return a reader of an integer field within bounds, both included."""

    def read(node: Node, findings: Findings) -> int | None:
        value = read_integer(node, findings)
        if value is not None and not least <= value <= most:
            findings.add(node.place, "wrong-value", f"{name} is {value}", f"write a number from {least} to {most}")
            return None
        return value

    return read


def read_boolean(node: Node, findings: Findings) -> bool | None:
    """Return a boolean, written true or false."""
    if isinstance(node, Scalar) and type(node.value) is bool:
        return node.value
    wrong_type(node, findings, "a boolean", "write true or false")
    return None


def read_true(node: Node, findings: Findings) -> bool | None:
    """Return True for `true`; for switches that have no off position."""
    value = read_boolean(node, findings)
    if value is False:
        findings.add(node.place, "wrong-value", "false has no meaning here", "write true or remove the field")
        return None
    return value


def read_value(node: Node, findings: Findings) -> str | int | bool | None:
    """Return a text, an integer or a boolean."""
    if isinstance(node, Scalar) and node.kind == "integer":
        return read_integer(node, findings)
    if isinstance(node, Scalar) and node.kind != "other":
        return node.value
    wrong_type(node, findings, "text, an integer or a boolean", "write one of these, text in quotes if need be")
    return None


def choice(options: tuple[T, ...]) -> Callable[[Node, Findings], T | None]:
    """Return a reader of one of a few texts."""

    def read(node: Node, findings: Findings) -> T | None:
        text = read_text(node, findings)
        if text is None:
            return None
        for option in options:
            if option == text:
                return option
        findings.add(
            node.place, "wrong-value", f"{text!r} is not known here", f"use one of {', '.join(map(str, options))}"
        )
        return None

    return read


@dataclass(frozen=True, slots=True, kw_only=True)
class NameForm:
    """A form that names must have, told to the author in words."""

    pattern: str
    max_chars: int
    what: str
    fix: str

    def check(self, text: str, place: Place, findings: Findings) -> bool:
        """Return whether a name has the form, and note it if not."""
        if re.match(self.pattern, text) and len(text) <= self.max_chars:
            return True
        findings.add(place, "bad-name", f"{text!r} is not {self.what}", self.fix)
        return False

    def read(self, node: Node, findings: Findings) -> str | None:
        """Return a name of this form."""
        text = read_text(node, findings)
        return text if text is not None and self.check(text, node.place, findings) else None


def read_items(node: Node, findings: Findings) -> tuple[Node, ...] | None:
    """Return the items of a list that is not empty."""
    if not isinstance(node, Sequence):
        wrong_type(node, findings, "a list", "write it as [one, two] or as `- one` lines")
        return None
    if not node.items:
        findings.add(node.place, "empty-list", "the list is empty", "add an item or remove the field")
        return None
    return node.items


def each(reader: Callable[[Node, Findings], T | None], nodes: Items[Node], findings: Findings) -> tuple[T, ...] | None:
    """Return all items, each once; None when any is wrong."""
    # In the order of the file, and found without a scan: a file has room for 100,000 items.
    values: dict[T, None] = {}
    for node in nodes:
        value = reader(node, findings)
        if value is None:
            continue
        if value in values:
            findings.add(node.place, "duplicate-item", "the same item stands twice in this list", "keep one of them")
        values[value] = None
    return tuple(values) if len(values) == len(nodes) else None


def list_of(reader: Callable[[Node, Findings], T | None]) -> Callable[[Node, Findings], tuple[T, ...] | None]:
    """Return a reader of a list that is not empty and repeats nothing."""

    def read(node: Node, findings: Findings) -> tuple[T, ...] | None:
        items = read_items(node, findings)
        return None if items is None else each(reader, items, findings)

    return read


def read_duration_seconds(node: Node, findings: Findings) -> int | None:
    """Return a duration like 90s, 5m or 2h in seconds."""
    raw = node.raw if isinstance(node, Scalar) else ""
    matched = _DURATION.fullmatch(raw)
    if matched is not None:
        return int(matched[1]) * SECONDS_PER_UNIT[matched[2]]
    if _NUMBER.fullmatch(raw):
        findings.add(node.place, "bad-duration", f"the duration {raw} has no unit", f"write {raw}s, {raw}m or {raw}h")
    else:
        findings.add(
            node.place, "bad-duration", "this is not a duration", "write a number with its unit, like 90s, 5m or 2h"
        )
    return None
