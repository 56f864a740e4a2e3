"""The `invariants` of a file as authors write them."""

from dataclasses import dataclass

from keyrung_policies.conditions import ConditionReader
from keyrung_policies.declarations import Declarations
from keyrung_policies.invariants import Floor, Invariant
from keyrung_policies.model import OUTCOMES, Outcome
from keyrung_policies.reading import (
    Fields,
    Findings,
    choice,
    list_of,
    read_boolean,
    read_items,
    read_mapping,
    read_text,
)
from keyrung_policies.requirements import RequireReader, read_bind, read_max_age
from keyrung_policies.rules import ACTION
from keyrung_policies.source import Mapping, Node


@dataclass(frozen=True, slots=True, kw_only=True)
class InvariantReader:
    """Reads invariants with the declarations they refer to."""

    declarations: Declarations
    findings: Findings

    def read_section(self, node: Node) -> tuple[Invariant, ...]:
        """Return the good invariants of one file's `invariants` section."""
        invariants = [self._invariant(item) for item in read_items(node, self.findings) or ()]
        return tuple(invariant for invariant in invariants if invariant is not None)

    def _invariant(self, node: Node) -> Invariant | None:
        mapping = read_mapping(node, self.findings)
        if mapping is None:
            return None
        before = len(self.findings.errors)
        fields = Fields(mapping, self.findings, required=("name", "actions"), optional=("when", "always", "never"))
        name = fields.read("name", read_text, self.findings)
        named = fields.entry("name")
        if name is not None and named is not None:
            self.declarations.claim("invariant", name, named.node.place, self.findings)
        actions = fields.read("actions", list_of(ACTION.read), self.findings)
        conditions = ConditionReader(declarations=self.declarations, findings=self.findings)
        condition = fields.entry("when")
        when = None if condition is None else conditions.read(condition.node)
        outcomes, floor = self._promise(mapping, fields)
        if name is None or actions is None or len(self.findings.errors) > before:
            return None
        return Invariant(
            place=mapping.place, name=name, actions=tuple(sorted(actions)), when=when, outcomes=outcomes, floor=floor
        )

    def _promise(self, mapping: Mapping, fields: Fields) -> tuple[tuple[Outcome, ...], Floor | None]:
        always, never = fields.entry("always"), fields.entry("never")
        if (always is None) == (never is None):
            self.findings.add(
                mapping.place,
                "promise-count",
                f"the invariant promises {'nothing' if always is None else 'two things'}",
                "write exactly one of always and never",
            )
            return (), None
        if always is not None and isinstance(always.node, Mapping):
            # A request that is refused needs no step-up, so it keeps the promise.
            return ("step_up", "deny"), self._floor(always.node)
        outcome = fields.read("never" if always is None else "always", choice(OUTCOMES), self.findings)
        if outcome is None:
            return (), None
        return tuple(one for one in OUTCOMES if (one == outcome) == (always is not None)), None

    def _floor(self, mapping: Mapping) -> Floor | None:
        fields = Fields(mapping, self.findings, required=("level",), optional=("max_age", "bind", "single_use"))
        require = RequireReader(declarations=self.declarations, findings=self.findings)
        level = fields.read("level", require.level, self.findings)
        max_age_seconds = fields.read("max_age", read_max_age, self.findings)
        bind = fields.read("bind", read_bind, self.findings)
        single_use = fields.read("single_use", read_boolean, self.findings)
        if level is None:
            return None
        return Floor(level=level, max_age_seconds=max_age_seconds, bind=bind or (), single_use=single_use is True)
