"""Attributes and levels as authors write them, gathered over all files of a folder.

A name belongs to one declaration in the whole folder. A broken declaration still counts as declared, so
one mistake is not reported again at every rule that uses the name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from keyrung_policies.errors import Place
from keyrung_policies.levels import level_problems, unmet_levels
from keyrung_policies.model import (
    ACR_PATTERN,
    ATTRIBUTE_PATTERN,
    AUDITS,
    DEFAULT_SET_ITEMS,
    DEFAULT_TEXT_CHARS,
    FACTORS,
    MAX_INTEGER,
    MAX_LEVELS,
    MAX_SET_ITEMS,
    MAX_TEXT_CHARS,
    SLUG_PATTERN,
    Attribute,
    Audit,
    BooleanAttribute,
    EnumAttribute,
    Factor,
    IntegerAttribute,
    IpAttribute,
    Level,
    SetAttribute,
    TextAttribute,
)
from keyrung_policies.reading import (
    Fields,
    Findings,
    NameForm,
    choice,
    list_of,
    number,
    read_integer,
    read_items,
    read_mapping,
    read_text,
)
from keyrung_policies.source import Entry, Node

ATTRIBUTE_NAME = NameForm(
    pattern=ATTRIBUTE_PATTERN,
    max_chars=128,
    what="an attribute name",
    fix="begin with subject, resource, action, context or signal, a dot, and letters, digits or underscores",
)
SLUG = NameForm(
    pattern=SLUG_PATTERN,
    max_chars=64,
    what="a name of lower-case letters, digits and single hyphens",
    fix="write it like large-transfer, at most 64 characters",
)
ACR = NameForm(
    pattern=ACR_PATTERN,
    max_chars=128,
    what="an acr value",
    fix="use letters, digits and . _ : / - without spaces, at most 128 characters",
)
# Attribute type -> the fields it takes beside `type` and `audit`.
TYPE_FIELDS: dict[str, tuple[str, ...]] = {
    "text": ("max_length",),
    "integer": ("min", "max"),
    "boolean": (),
    "enum": ("values",),
    "ip": (),
    "set": ("values", "min_items", "max_items"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Declarations:
    """What the rules may refer to; None stands for a declaration that is there but wrong."""

    attributes: dict[str, Attribute | None] = field(default_factory=dict)
    levels: dict[str, Level | None] = field(default_factory=dict)
    places: dict[tuple[str, str], Place] = field(default_factory=dict)

    def claim(self, kind: str, name: str, place: Place, findings: Findings) -> bool:
        """Return whether this is the first declaration of a name, and note it if not."""
        first = self.places.setdefault((kind, name), place)
        if first is place:
            return True
        sentence = f"the {kind} {name} is already declared at {first.file}:{first.line}"
        findings.add(place, "duplicate-name", sentence, "keep one of the two or rename one")
        return False

    def repeats(self, kind: str, entry: Entry, value: object, declared: Mapping[str, object]) -> bool:
        """Return whether another file has declared the very same, as files that were written to stand alone do."""
        first = self.places.get((kind, entry.key))
        return first is not None and value is not None and declared[entry.key] == value

    def good_attributes(self) -> dict[str, Attribute]:
        """Return the attributes that were read without a mistake."""
        return {name: attribute for name, attribute in sorted(self.attributes.items()) if attribute is not None}

    def good_levels(self) -> dict[str, Level]:
        """Return the levels that were read without a mistake."""
        return {name: level for name, level in sorted(self.levels.items()) if level is not None}


def read_attributes(node: Node, declarations: Declarations, findings: Findings) -> None:
    """Gather the `attributes` section of one file."""
    for entry in _entries(node, findings):
        if not ATTRIBUTE_NAME.check(entry.key, entry.place, findings):
            continue
        attribute = _attribute(entry.node, findings)
        if declarations.repeats("attribute", entry, attribute, declarations.attributes):
            continue
        if declarations.claim("attribute", entry.key, entry.place, findings):
            declarations.attributes[entry.key] = attribute


def read_levels(node: Node, declarations: Declarations, findings: Findings) -> None:
    """Gather the `levels` section of one file."""
    for entry in _entries(node, findings):
        if not SLUG.check(entry.key, entry.place, findings):
            continue
        level = _level(entry.node, findings)
        if declarations.repeats("level", entry, level, declarations.levels):
            continue
        if declarations.claim("level", entry.key, entry.place, findings):
            declarations.levels[entry.key] = level


def check_level_order(declarations: Declarations, findings: Findings) -> None:
    """Note what keeps the levels of all files from being an order with joins."""
    levels = declarations.good_levels()
    if len(levels) < len(declarations.levels):
        return
    if len(levels) > MAX_LEVELS:
        first_place = min(
            (declarations.places["level", name] for name in levels), key=lambda place: (place.file, place.line)
        )
        findings.add(
            first_place, "too-many-levels", f"there are {len(levels)} levels", f"declare at most {MAX_LEVELS} levels"
        )
        return
    problems = level_problems(levels)
    for found in problems:
        findings.note(declarations.places["level", found.level], found.problem)
    for found in [] if problems else unmet_levels(levels):
        findings.warn(declarations.places["level", found.level], found.problem)


def _entries(node: Node, findings: Findings) -> tuple[Entry, ...]:
    mapping = read_mapping(node, findings)
    return () if mapping is None else mapping.entries


def _attribute(node: Node, findings: Findings) -> Attribute | None:
    mapping = read_mapping(node, findings)
    if mapping is None:
        return None
    before = len(findings.errors)
    named = next((entry.node for entry in mapping.entries if entry.key == "type"), None)
    kind = "" if named is None else choice(tuple(TYPE_FIELDS))(named, findings)
    if kind is None:
        return None
    required = ("type", "values") if kind == "enum" else ("type",)
    optional = ("audit", *(name for name in TYPE_FIELDS.get(kind, ()) if name not in required))
    fields = Fields(mapping, findings, required=required, optional=optional)
    stated: Audit | None = fields.read("audit", choice(AUDITS), findings)
    audit: Audit = stated or "omit"
    attribute: Attribute
    match kind:
        case "text":
            length = fields.read("max_length", number("max_length", least=1, most=MAX_TEXT_CHARS), findings)
            attribute = TextAttribute(audit=audit, max_length=DEFAULT_TEXT_CHARS if length is None else length)
        case "integer":
            attribute = _integer(fields, audit=audit, findings=findings)
        case "boolean":
            attribute = BooleanAttribute(audit=audit)
        case "enum":
            values = fields.read("values", list_of(read_text), findings) or ()
            attribute = EnumAttribute(audit=audit, values=tuple(sorted(values)))
        case "set":
            attribute = _set(fields, audit=audit, findings=findings)
        case _:
            attribute = IpAttribute(audit=audit)
    return attribute if len(findings.errors) == before else None


def _integer(fields: Fields, *, audit: Audit, findings: Findings) -> IntegerAttribute:
    least = fields.read("min", read_integer, findings)
    most = fields.read("max", read_integer, findings)
    attribute = IntegerAttribute(
        audit=audit,
        min=-MAX_INTEGER if least is None else least,
        max=MAX_INTEGER if most is None else most,
    )
    largest = fields.entry("max") or fields.entry("min")
    if attribute.min > attribute.max and largest is not None:
        findings.add(largest.node.place, "bad-range", "min is above max", "exchange them or correct one")
    return attribute


def _set(fields: Fields, *, audit: Audit, findings: Findings) -> SetAttribute:
    values = fields.read("values", list_of(read_text), findings)
    # An empty list may be a look-up that failed, so it counts only where the author says that it has a meaning.
    fewest = fields.read("min_items", number("min_items", least=0, most=MAX_SET_ITEMS), findings)
    most = fields.read("max_items", number("max_items", least=1, most=MAX_SET_ITEMS), findings)
    attribute = SetAttribute(
        audit=audit,
        values=None if values is None else tuple(sorted(values)),
        min_items=1 if fewest is None else fewest,
        max_items=DEFAULT_SET_ITEMS if most is None else most,
    )
    largest = fields.entry("max_items") or fields.entry("min_items")
    if attribute.min_items > attribute.max_items and largest is not None:
        findings.add(largest.node.place, "bad-range", "min_items is above max_items", "exchange them or correct one")
    return attribute


def _level(node: Node, findings: Findings) -> Level | None:
    mapping = read_mapping(node, findings)
    if mapping is None:
        return None
    before = len(findings.errors)
    fields = Fields(mapping, findings, required=("acr", "any_of"), optional=("above",))
    acr = fields.read("acr", ACR.read, findings)
    any_of = fields.read("any_of", list_of(_combination), findings)
    above = fields.read("above", list_of(SLUG.read), findings) or ()
    if len(findings.errors) > before or acr is None or any_of is None:
        return None
    return Level(acr=acr, any_of=tuple(sorted(any_of)), above=tuple(sorted(above)))


def _combination(node: Node, findings: Findings) -> tuple[Factor, ...] | None:
    """Return factors that are used together, in one order however they are written."""
    items = read_items(node, findings)
    if items is None:
        return None
    factors = list_of(_factor)(node, findings)
    return None if factors is None else tuple(factor for factor in FACTORS if factor in factors)


def _factor(node: Node, findings: Findings) -> Factor | None:
    text = read_text(node, findings)
    for factor in FACTORS:
        if factor == text:
            return factor
    if text is not None:
        findings.add(
            node.place, "unknown-factor", f"no verifier knows the factor {text!r}", f"use one of {', '.join(FACTORS)}"
        )
    return None
