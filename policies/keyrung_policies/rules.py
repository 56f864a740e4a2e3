"""One rule as authors write it: which actions, when, and exactly one of require, deny and allow."""

from dataclasses import dataclass

from keyrung_policies.conditions import ConditionReader
from keyrung_policies.declarations import SLUG, Declarations
from keyrung_policies.display import parse_template, template_problem
from keyrung_policies.errors import Problem
from keyrung_policies.model import (
    ACTION_PATTERN,
    BINDINGS,
    MAX_ACTION_CHARS,
    MAX_AGE_SECONDS,
    TRIGGERS,
    Allow,
    Binding,
    Deny,
    Effect,
    Require,
    Rule,
    Trigger,
)
from keyrung_policies.policy_set import unknown_level
from keyrung_policies.reading import (
    Fields,
    Findings,
    NameForm,
    choice,
    list_of,
    read_boolean,
    read_duration_seconds,
    read_items,
    read_mapping,
    read_text,
    read_true,
)
from keyrung_policies.source import Entry, Mapping, Node, Sequence

ACTION = NameForm(
    pattern=ACTION_PATTERN,
    max_chars=MAX_ACTION_CHARS,
    what="an action",
    fix="write a name like payments.transfer, a prefix like payments.*, or * for all",
)
EFFECTS = ("require", "deny", "allow")
# A text the user approves is only worth something if the request it was filled from cannot change after.
SHOWN_BINDINGS: tuple[Binding, ...] = ("uri", "body")


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
                return fields.read("require", lambda node, _findings: self._require(node, display), self.findings)
            case "deny":
                return Deny() if fields.read("deny", read_true, self.findings) else None
            case _:
                return Allow() if fields.read("allow", read_true, self.findings) else None

    def _require(self, node: Node, display: Entry | None) -> Require | None:
        mapping = read_mapping(node, self.findings)
        if mapping is None:
            return None
        fields = Fields(mapping, self.findings, required=("level", "max_age"), optional=("bind", "single_use"))
        level = fields.read("level", self._level, self.findings)
        max_age_seconds = fields.read("max_age", _read_max_age, self.findings)
        bind = fields.read("bind", _read_bind, self.findings)
        single_use = fields.read("single_use", read_boolean, self.findings)
        bound = BINDINGS if bind is None else bind
        text = None if display is None else self._display(display, bound)
        if level is None or max_age_seconds is None:
            return None
        return Require(
            level=level,
            max_age_seconds=max_age_seconds,
            bind=bound,
            single_use=True if single_use is None else single_use,
            display=text,
        )

    def _level(self, node: Node, findings: Findings) -> str | None:
        name = read_text(node, findings)
        if name is not None and name not in self.declarations.levels:
            findings.note(node.place, unknown_level(name))
            return None
        return name

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


def _read_max_age(node: Node, findings: Findings) -> int | None:
    seconds = read_duration_seconds(node, findings)
    if seconds is not None and seconds > MAX_AGE_SECONDS:
        findings.add(node.place, "bad-duration", "max_age is longer than a day", "write 24h or less")
        return None
    return seconds


def _read_bind(node: Node, findings: Findings) -> tuple[Binding, ...] | None:
    # An empty list is a statement here: this step-up is bound to no part of the request.
    if isinstance(node, Sequence) and not node.items:
        return ()
    parts = list_of(choice(BINDINGS))(node, findings)
    return None if parts is None else tuple(binding for binding in BINDINGS if binding in parts)
