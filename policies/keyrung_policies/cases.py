"""Tests that stand beside a policy: requests with the decision their author expects, read and run.

A case is not part of the policy and never reaches a bundle.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from keyrung_policies.declarations import ATTRIBUTE_NAME, SLUG, Declarations
from keyrung_policies.evaluate import evaluate
from keyrung_policies.invariants import Invariant, speaks_of, violation
from keyrung_policies.model import ACTION_NAME_PATTERN, MAX_ACTION_CHARS, OUTCOMES, Decision, Outcome, Request, Value
from keyrung_policies.policy_set import PolicySet, unknown_level
from keyrung_policies.reading import (
    Fields,
    Findings,
    NameForm,
    choice,
    each,
    list_of,
    read_duration_seconds,
    read_items,
    read_mapping,
    read_text,
    read_value,
)
from keyrung_policies.source import Node, Sequence
from keyrung_policies.values import describe, value_fits

# A case without `at` is judged at one fixed moment, so that its result never depends on when it runs.
DEFAULT_MOMENT = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)

ACTION_NAME = NameForm(
    pattern=ACTION_NAME_PATTERN,
    max_chars=MAX_ACTION_CHARS,
    what="the name of one action",
    fix="write it like payments.transfer, without a star",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What a decision must be; None means that the author did not say."""

    outcome: Outcome
    level: str | None
    max_age_seconds: int | None
    rule_ids: tuple[str, ...] | None
    display: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One request and its expected decision, with the place it is written at."""

    file: str
    line: int
    name: str
    request: Request
    now: datetime
    expect: Expectation


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """The decision a case got, and a sentence for each way in which it differs."""

    case: Case
    decision: Decision
    differences: tuple[str, ...]
    passed: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "passed", not self.differences)


def run_cases(policy: PolicySet, cases: tuple[Case, ...]) -> tuple[CaseResult, ...]:
    """Return for each case what the policy decides and how that differs from what was expected."""
    return tuple(_run(policy, case) for case in cases)


def _run(policy: PolicySet, case: Case) -> CaseResult:
    decision = evaluate(policy, case.request, case.now)
    requirement = decision.requirement
    expect = case.expect
    compared: list[tuple[str, object, object]] = [
        ("outcome", expect.outcome, decision.outcome),
        ("level", expect.level, None if requirement is None else requirement.level),
        ("max_age in seconds", expect.max_age_seconds, None if requirement is None else requirement.max_age_seconds),
        ("rules", expect.rule_ids, decision.rule_ids),
        ("display", expect.display, None if requirement is None else requirement.display),
    ]
    differences = tuple(
        f"{what}: expected {expected!r}, got {got!r}"
        for what, expected, got in compared
        if expected is not None and expected != got
    )
    return CaseResult(case=case, decision=decision, differences=differences)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenInvariant:
    """An invariant, the case whose decision breaks it, and how."""

    invariant: Invariant
    case: Case
    sentence: str


def broken_invariants(
    policy: PolicySet, invariants: tuple[Invariant, ...], results: tuple[CaseResult, ...]
) -> tuple[BrokenInvariant, ...]:
    """Return where the decisions of cases break invariants; that none does is no proof."""
    return tuple(
        BrokenInvariant(invariant=invariant, case=result.case, sentence=sentence)
        for invariant in invariants
        for result in results
        if speaks_of(invariant, result.case.request, result.case.now)
        # A request that lacks something is denied whatever is promised.
        and not any(reason.startswith("attribute-") for reason in result.decision.reasons)
        and (sentence := violation(invariant, result.decision, policy.order)) is not None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseReader:
    """Reads cases with the declarations they refer to."""

    declarations: Declarations
    findings: Findings

    def read_section(self, node: Node) -> tuple[Case, ...]:
        """Return the good cases of one file's `cases` section."""
        cases = [self._case(item) for item in read_items(node, self.findings) or ()]
        return tuple(case for case in cases if case is not None)

    def _case(self, node: Node) -> Case | None:
        mapping = read_mapping(node, self.findings)
        if mapping is None:
            return None
        fields = Fields(mapping, self.findings, required=("name", "action", "expect"), optional=("attributes", "at"))
        name = fields.read("name", read_text, self.findings)
        named = fields.entry("name")
        if name is not None and named is not None:
            self.declarations.claim("case", name, named.node.place, self.findings)
        action = fields.read("action", ACTION_NAME.read, self.findings)
        attributes = fields.read("attributes", self._attributes, self.findings) or {}
        moment = fields.read("at", _read_moment, self.findings) or DEFAULT_MOMENT
        expect = fields.read("expect", self._expect, self.findings)
        if name is None or action is None or expect is None:
            return None
        return Case(
            file=mapping.place.file,
            line=mapping.place.line,
            name=name,
            request=Request(action=action, attributes=attributes),
            now=moment,
            expect=expect,
        )

    def _attributes(self, node: Node, findings: Findings) -> dict[str, Value] | None:
        mapping = read_mapping(node, findings)
        values: dict[str, Value] = {}
        for entry in () if mapping is None else mapping.entries:
            if not ATTRIBUTE_NAME.check(entry.key, entry.place, findings):
                continue
            if entry.key not in self.declarations.attributes:
                sentence = f"the attribute {entry.key} is not declared"
                fix = "declare it under `attributes` or correct the name"
                findings.add(entry.place, "undeclared-attribute", sentence, fix)
                continue
            value = _value(entry.node, findings)
            attribute = self.declarations.attributes[entry.key]
            if value is None or attribute is None:
                continue
            if not value_fits(attribute, value):
                sentence = f"{entry.key} can never have this value"
                findings.add(entry.node.place, "value-mismatch", sentence, f"write {describe(attribute)}")
            values[entry.key] = value
        return values

    def _expect(self, node: Node, findings: Findings) -> Expectation | None:
        mapping = read_mapping(node, findings)
        if mapping is None:
            return None
        fields = Fields(mapping, findings, required=("outcome",), optional=("level", "max_age", "rules", "display"))
        outcome: Outcome | None = fields.read("outcome", choice(OUTCOMES), findings)
        level = fields.read("level", self._level, findings)
        max_age_seconds = fields.read("max_age", read_duration_seconds, findings)
        rule_ids = fields.read("rules", list_of(self._rule_id), findings)
        display = fields.read("display", read_text, findings)
        if outcome is None:
            return None
        return Expectation(
            outcome=outcome,
            level=level,
            max_age_seconds=max_age_seconds,
            rule_ids=None if rule_ids is None else tuple(sorted(rule_ids)),
            display=display,
        )

    def _level(self, node: Node, findings: Findings) -> str | None:
        name = read_text(node, findings)
        if name is not None and name not in self.declarations.levels:
            findings.note(node.place, unknown_level(name))
        return name

    def _rule_id(self, node: Node, findings: Findings) -> str | None:
        name = SLUG.read(node, findings)
        if name is not None and ("rule", name) not in self.declarations.places:
            findings.add(node.place, "unknown-rule", f"no rule has the id {name}", "correct the id")
        return name


def _value(node: Node, findings: Findings) -> Value | None:
    if not isinstance(node, Sequence):
        return read_value(node, findings)
    # An empty list is a value here: a case may show what happens to it.
    return each(read_text, node.items, findings)


def _read_moment(node: Node, findings: Findings) -> datetime | None:
    text = read_text(node, findings)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        findings.add(
            node.place,
            "bad-moment",
            "this is not a moment with a time zone",
            'write it in quotes like "2026-11-25T22:30:00Z"',
        )
        return None
    return moment
