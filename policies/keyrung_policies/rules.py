"""One rule as authors write it: which actions, when, and exactly one of require, deny and allow."""

from dataclasses import dataclass

from keyrung_policies.conditions import ConditionReader
from keyrung_policies.declarations import SLUG, Declarations
from keyrung_policies.model import ACTION_PATTERN, MAX_ACTION_CHARS, TRIGGERS, Allow, Deny, Effect, Rule, Trigger
from keyrung_policies.reading import Fields, Findings, NameForm, choice, list_of, read_items, read_mapping, read_true
from keyrung_policies.requirements import RequireReader
from keyrung_policies.source import Mapping, Node

ACTION = NameForm(
    pattern=ACTION_PATTERN,
    max_chars=MAX_ACTION_CHARS,
    what="an action",
    fix="write a name like payments.transfer, a prefix like payments.*, or * for all",
)
EFFECTS = ("require", "deny", "allow")


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleReader:
    """Reads rules with the declarations they refer to."""

    declarations: Declarations
    findings: Findings

    def read_section(self, node: Node) -> dict[str, Rule]:
        """Return the good rules of one file's `rules` section by id."""
        rules: dict[str, Rule] = {}
        for item in read_items(node, self.findings) or ():
            mapping = read_mapping(item, self.findings)
            if mapping is None:
                continue
            before = len(self.findings.errors)
            rule_id, rule = self._rule(mapping)
            if rule_id is not None and rule is not None and len(self.findings.errors) == before:
                rules[rule_id] = rule
        return rules

    def _rule(self, mapping: Mapping) -> tuple[str | None, Rule | None]:
        fields = Fields(
            mapping,
            self.findings,
            required=("id", "actions"),
            optional=("trigger", "when", *EFFECTS, "display"),
        )
        rule_id = fields.read("id", SLUG.read, self.findings)
        named = fields.entry("id")
        if rule_id is not None and named is not None:
            self.declarations.claim("rule", rule_id, named.node.place, self.findings)
        actions = fields.read("actions", list_of(ACTION.read), self.findings)
        trigger: Trigger | None = fields.read("trigger", choice(TRIGGERS), self.findings)
        conditions = ConditionReader(declarations=self.declarations, findings=self.findings)
        condition = fields.entry("when")
        when = None if condition is None else conditions.read(condition.node)
        effect = self._effect(mapping, fields)
        if actions is None or effect is None:
            return rule_id, None
        return rule_id, Rule(trigger=trigger, actions=tuple(sorted(actions)), when=when, then=effect)

    def _effect(self, mapping: Mapping, fields: Fields) -> Effect | None:
        chosen = [name for name in EFFECTS if fields.entry(name) is not None]
        display = fields.entry("display")
        if len(chosen) != 1:
            found = "no effect" if not chosen else f"the effects {' and '.join(chosen)}"
            self.findings.add(
                mapping.place, "effect-count", f"the rule has {found}", "write exactly one of require, deny and allow"
            )
            return None
        if display is not None and chosen != ["require"]:
            self.findings.add(
                display.place,
                "display-without-require",
                "nobody reads a display text without a step-up",
                "remove it or use require",
            )
        match chosen[0]:
            case "require":
                require = RequireReader(declarations=self.declarations, findings=self.findings)
                return fields.read("require", lambda node, _findings: require.read(node, display), self.findings)
            case "deny":
                return Deny() if fields.read("deny", read_true, self.findings) else None
            case _:
                return Allow() if fields.read("allow", read_true, self.findings) else None
