"""What a step-up must be, as authors write it: the `require` of a rule, and the floor an invariant asserts."""

from dataclasses import dataclass

from keyrung_policies.declarations import Declarations
from keyrung_policies.display import parse_template, template_problem
from keyrung_policies.errors import Problem
from keyrung_policies.model import (
    BINDINGS,
    MAX_AGE_SECONDS,
    MAX_BATCH_COUNT,
    Batch,
    Binding,
    Require,
)
from keyrung_policies.policy_set import require_problem, unknown_level
from keyrung_policies.reading import (
    Fields,
    Findings,
    choice,
    list_of,
    number,
    read_boolean,
    read_duration_seconds,
    read_mapping,
    read_text,
)
from keyrung_policies.source import Entry, Mapping, Node, Sequence

# A text the user approves is only worth something if the request it was filled from cannot change after.
SHOWN_BINDINGS: tuple[Binding, ...] = ("uri", "body")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequireReader:
    """Reads requirements with the declarations they refer to."""

    declarations: Declarations
    findings: Findings

    def read(self, node: Node, display: Entry | None) -> Require | None:
        """Return the requirement of a rule, with the text that stands beside it."""
        mapping = read_mapping(node, self.findings)
        if mapping is None:
            return None
        before = len(self.findings.errors)
        fields = Fields(mapping, self.findings, required=("level", "max_age"), optional=("bind", "single_use", "batch"))
        level = fields.read("level", self.level, self.findings)
        max_age_seconds = fields.read("max_age", read_max_age, self.findings)
        stated = fields.read("bind", read_bind, self.findings)
        bind = BINDINGS if stated is None else stated
        single_use, batch = self._uses(fields)
        text = None if display is None else self._display(display, bind)
        if level is None or max_age_seconds is None or len(self.findings.errors) > before:
            return None
        require = Require(
            level=level, max_age_seconds=max_age_seconds, bind=bind, single_use=single_use, batch=batch, display=text
        )
        problem = require_problem(require)
        if problem is None:
            return require
        self.findings.note(mapping.place, problem)
        return None

    def level(self, node: Node, findings: Findings) -> str | None:
        """Return the name of a declared level."""
        name = read_text(node, findings)
        if name is not None and name not in self.declarations.levels:
            findings.note(node.place, unknown_level(name))
            return None
        return name

    def _uses(self, fields: Fields) -> tuple[bool, Batch | None]:
        """Return whether a step-up pays once, or else for which batch."""
        single_use = fields.read("single_use", read_boolean, self.findings)
        entry = fields.entry("batch")
        if entry is None:
            return single_use is not False, None
        if fields.entry("bind") is None:
            self.findings.add(
                entry.place,
                "batch-unbound",
                "without `bind` a step-up is good for one and the same request, which makes no batch",
                "write `bind` with what all requests of the batch share, [] for nothing",
            )
        return single_use is True, _read_batch(entry.node, self.findings)

    def _display(self, display: Entry, bound: tuple[Binding, ...]) -> str | None:
        text = read_text(display.node, self.findings)
        if text is None:
            return None
        template = parse_template(text)
        if isinstance(template, Problem):
            self.findings.note(display.node.place, template)
            return None
        if all(self.declarations.attributes.get(name, ...) is not None for name in template.attributes()):
            problem = template_problem(template, self.declarations.good_attributes())
            if problem is not None:
                self.findings.note(display.node.place, problem)
        if template.attributes() and not set(SHOWN_BINDINGS) <= set(bound):
            self.findings.add(
                display.place,
                "display-unbound",
                "the display text shows attributes of a request that could change after the approval",
                "bind uri and body",
            )
        return text


def read_max_age(node: Node, findings: Findings) -> int | None:
    """Return how old a step-up may be, in seconds."""
    return _read_span(node, findings, "max_age")


def read_bind(node: Node, findings: Findings) -> tuple[Binding, ...] | None:
    """Return the parts of the request that are bound, in one order."""
    # An empty list is a statement here: this step-up is bound to no part of the request.
    if isinstance(node, Sequence) and not node.items:
        return ()
    parts = list_of(choice(BINDINGS))(node, findings)
    return None if parts is None else tuple(binding for binding in BINDINGS if binding in parts)


def _read_batch(node: Node, findings: Findings) -> Batch | None:
    mapping: Mapping | None = read_mapping(node, findings)
    if mapping is None:
        return None
    fields = Fields(mapping, findings, required=("count", "within"))
    count = fields.read("count", number("count", least=2, most=MAX_BATCH_COUNT), findings)
    within_seconds = fields.read("within", _read_within, findings)
    if count is None or within_seconds is None:
        return None
    return Batch(count=count, within_seconds=within_seconds)


def _read_within(node: Node, findings: Findings) -> int | None:
    seconds = _read_span(node, findings, "within")
    if seconds == 0:
        findings.add(node.place, "bad-duration", "within is no time at all", "write 1s or more")
        return None
    return seconds


def _read_span(node: Node, findings: Findings, name: str) -> int | None:
    seconds = read_duration_seconds(node, findings)
    if seconds is not None and seconds > MAX_AGE_SECONDS:
        findings.add(node.place, "bad-duration", f"{name} is longer than a day", "write 24h or less")
        return None
    return seconds
