"""The `when` of a rule as authors write it: a mapping of attribute tests, and any, all, not and time.

Each operator is checked against its attribute's declaration here, so a comparison that could never be
made is the author's error and not a surprise at run time. The result is in one normal order.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from keyrung_policies.canonical import canonical_record
from keyrung_policies.declarations import Declarations
from keyrung_policies.model import (
    MAX_CONDITION_DEPTH,
    MAX_TEXT_CHARS,
    ORDERINGS,
    All,
    Any,
    Cidr,
    Condition,
    Equals,
    Glob,
    Has,
    Not,
    OneOf,
    Ordered,
    TimeWindow,
)
from keyrung_policies.operators import MINUTES_PER_HOUR, condition_tests, find_test_problem
from keyrung_policies.reading import (
    Fields,
    Findings,
    each,
    list_of,
    read_integer,
    read_items,
    read_mapping,
    read_text,
    read_value,
    wrong_type,
)
from keyrung_policies.source import Entry, Mapping, Node, Scalar, Sequence

_TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionReader:
    """Reads conditions with the declarations they refer to."""

    declarations: Declarations
    findings: Findings

    def read(self, node: Node, depth: int = 1) -> Condition | None:
        """Return the condition of a mapping in which every line must hold."""
        mapping = read_mapping(node, self.findings)
        if mapping is None:
            return None
        if depth > MAX_CONDITION_DEPTH:
            self.findings.add(
                node.place,
                "condition-depth",
                "the condition is nested too deeply",
                f"stay within {MAX_CONDITION_DEPTH} levels or split the rule",
            )
            return None
        if not mapping.entries:
            self.findings.add(
                node.place,
                "empty-condition",
                "the condition is empty",
                "write a test, or leave `when` out to match always",
            )
            return None
        parts = [self._line(entry, depth) for entry in mapping.entries]
        good = [part for part in parts if part is not None]
        return all_of(good) if len(good) == len(parts) else None

    def _line(self, entry: Entry, depth: int) -> Condition | None:
        match entry.key:
            case "all":
                return self._combined(entry.node, depth, all_of)
            case "any":
                return self._combined(entry.node, depth, any_of)
            case "not":
                part = self.read(entry.node, depth + 1)
                return None if part is None else Not(part=part)
            case "time":
                return _window(entry.node, self.findings)
            case _:
                return self._attribute_line(entry)

    def _combined(self, node: Node, depth: int, combine: Callable[[list[Condition]], Condition]) -> Condition | None:
        items = read_items(node, self.findings)
        parts = [self.read(item, depth + 1) for item in items or ()]
        good = [part for part in parts if part is not None]
        return combine(good) if good and len(good) == len(parts) else None

    def _attribute_line(self, entry: Entry) -> Condition | None:
        if entry.key not in self.declarations.attributes:
            self.findings.add(
                entry.place,
                "undeclared-attribute",
                f"the attribute {entry.key} is not declared",
                "declare it under `attributes` or correct the name",
            )
            return None
        if not isinstance(entry.node, Mapping):
            return self._operator(entry.key, Entry(key="eq", place=entry.place, node=entry.node))
        if not entry.node.entries:
            self.findings.add(
                entry.node.place, "empty-condition", f"{entry.key} has no test", "write one, like {eq: value}"
            )
            return None
        tests = [self._operator(entry.key, operator) for operator in entry.node.entries]
        good: list[Condition] = [test for test in tests if test is not None]
        return all_of(good) if len(good) == len(tests) else None

    def _operator(self, attribute: str, operator: Entry) -> Condition | None:
        reader = OPERATORS.get(operator.key)
        if reader is None:
            self.findings.add(
                operator.place,
                "unknown-operator",
                f"the operator {operator.key!r} is unknown",
                f"use one of {', '.join(OPERATORS)}",
            )
            return None
        condition = reader(attribute, operator.node, self.findings)
        if condition is None or self.declarations.attributes[attribute] is None:
            return None
        declared = self.declarations.good_attributes()
        problems = [problem for test in condition_tests(condition) if (problem := find_test_problem(test, declared))]
        for problem in problems[:1]:
            self.findings.note(operator.place if problem.id == "operator-type" else operator.node.place, problem)
        return None if problems else condition


def all_of(parts: list[Condition]) -> Condition:
    """Return the conjunction in normal form: flat, ordered, nothing twice."""
    flat = _normal([inner for part in parts for inner in (part.parts if isinstance(part, All) else (part,))])
    return flat[0] if len(flat) == 1 else All(parts=flat)


def any_of(parts: list[Condition]) -> Condition:
    """Return the disjunction in normal form: flat, ordered, nothing twice."""
    flat = _normal([inner for part in parts for inner in (part.parts if isinstance(part, Any) else (part,))])
    return flat[0] if len(flat) == 1 else Any(parts=flat)


def _normal(parts: list[Condition]) -> tuple[Condition, ...]:
    by_form = {canonical_record(part): part for part in parts}
    return tuple(part for _, part in sorted(by_form.items(), key=lambda pair: pair[0]))


def _equals(attribute: str, node: Node, findings: Findings) -> Equals | None:
    value = read_value(node, findings)
    return None if value is None else Equals(attribute=attribute, value=value)


def _one_of(attribute: str, node: Node, findings: Findings) -> OneOf | None:
    values = list_of(_text_or_integer)(node, findings)
    if values is None:
        return None
    operands = [value for value in values if isinstance(value, (str, int))]
    return OneOf(attribute=attribute, values=tuple(sorted(operands, key=lambda value: (type(value).__name__, value))))


def _text_or_integer(node: Node, findings: Findings) -> str | int | None:
    value = read_value(node, findings)
    if type(value) is bool:
        wrong_type(node, findings, "text or an integer", "use eq for booleans")
        return None
    return value


def _ordered(ordering_name: str) -> Callable[[str, Node, Findings], Ordered | None]:
    ordering = next(name for name in ORDERINGS if name == ordering_name)

    def read(attribute: str, node: Node, findings: Findings) -> Ordered | None:
        bound = read_integer(node, findings)
        return None if bound is None else Ordered(attribute=attribute, ordering=ordering, bound=bound)

    return read


def _glob(attribute: str, node: Node, findings: Findings) -> Glob | None:
    pattern = read_text(node, findings)
    if pattern is None:
        return None
    if not 1 <= len(pattern) <= MAX_TEXT_CHARS:
        findings.add(
            node.place, "bad-glob", "the pattern is empty or too long", f"write 1 to {MAX_TEXT_CHARS} characters"
        )
        return None
    return Glob(attribute=attribute, pattern=pattern)


def _cidr(attribute: str, node: Node, findings: Findings) -> Cidr | None:
    nodes = read_items(node, findings) if isinstance(node, Sequence) else (node,)
    networks = None if nodes is None else each(read_text, nodes, findings)
    return None if networks is None else Cidr(attribute=attribute, networks=tuple(sorted(networks)))


def _has(attribute: str, node: Node, findings: Findings) -> Has | None:
    item = read_text(node, findings)
    return None if item is None else Has(attribute=attribute, value=item)


def _has_several(
    combine: Callable[[list[Condition]], Condition],
) -> Callable[[str, Node, Findings], Condition | None]:
    def read(attribute: str, node: Node, findings: Findings) -> Condition | None:
        items = list_of(read_text)(node, findings)
        return None if items is None else combine([Has(attribute=attribute, value=item) for item in items])

    return read


# Operator as written -> how its operand is read.
OPERATORS: dict[str, Callable[[str, Node, Findings], Condition | None]] = {
    "eq": _equals,
    "in": _one_of,
    **{ordering: _ordered(ordering) for ordering in ORDERINGS},
    "glob": _glob,
    "cidr": _cidr,
    "has": _has,
    "has_any": _has_several(any_of),
    "has_all": _has_several(all_of),
}


def _window(node: Node, findings: Findings) -> TimeWindow | None:
    mapping = read_mapping(node, findings)
    if mapping is None:
        return None
    fields = Fields(mapping, findings, required=("from", "to"))
    start = fields.read("from", _minute, findings)
    end = fields.read("to", _minute, findings)
    if start is None or end is None:
        return None
    if start == end:
        findings.add(
            node.place, "bad-time", "the window begins and ends at the same time", "choose two different times"
        )
        return None
    return TimeWindow(start_minute=start, end_minute=end)


def _minute(node: Node, findings: Findings) -> int | None:
    # YAML 1.1 takes an unquoted 22:00 for a number in base 60, so the text in the file is what counts.
    matched = _TIME_OF_DAY.fullmatch(node.raw) if isinstance(node, Scalar) else None
    if matched is None:
        findings.add(node.place, "bad-time", "this is not a time of day", "write it in UTC like 08:30 or 22:00")
        return None
    return int(matched[1]) * MINUTES_PER_HOUR + int(matched[2])
