"""A folder of YAML files to one policy: all mistakes at once, or a policy that is the same in any order.

Files of a folder are one policy. Attributes and levels are gathered first, so that a rule may use what
another file declares; which file a thing stands in leaves no trace in the result.
"""

from dataclasses import dataclass
from pathlib import Path

from keyrung_policies.cases import Case, CaseReader
from keyrung_policies.declarations import Declarations, check_level_order, read_attributes, read_levels
from keyrung_policies.errors import Place, PolicyErrors, Problem, SourceError
from keyrung_policies.files import read_texts
from keyrung_policies.invariant_reader import InvariantReader
from keyrung_policies.invariants import Invariant
from keyrung_policies.model import Document, Rule
from keyrung_policies.policy_set import PolicySet, policy_set
from keyrung_policies.reading import Fields, Findings, choice, read_text
from keyrung_policies.rules import RuleReader
from keyrung_policies.source import Mapping, Node, parse_source


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A policy and what stands beside it: cases, invariants, and warnings of what is allowed and hardly meant."""

    policy: PolicySet
    cases: tuple[Case, ...]
    invariants: tuple[Invariant, ...]
    warnings: tuple[SourceError, ...]
    rule_places: dict[str, Place]
    level_places: dict[str, Place]

    def place_of(self, rule_id: str) -> str:
        """Return where a rule is written, as `file:line:column`."""
        place = self.rule_places[rule_id]
        return f"{place.file}:{place.line}:{place.column}"


def compile_path(path: Path) -> Compiled:
    """Return the policy of one file, or of all `*.yaml` files directly in a folder, with what stands beside it.

    Raises:
        PolicyErrors: With every mistake of every file.
    """
    findings = Findings()
    return _compile(read_texts(path, findings), Place(file=str(path), line=1, column=1), findings)


def compile_texts(texts: dict[str, bytes]) -> Compiled:
    """Return the policy of YAML files that are at hand as bytes, by file name.

    Raises:
        PolicyErrors: With every mistake of every file.
    """
    return _compile(texts, Place(file=min(texts, default="policy"), line=1, column=1), Findings())


def _compile(texts: dict[str, bytes], whole: Place, findings: Findings) -> Compiled:
    files = _parse(texts, findings)
    if not texts and not findings.errors:
        findings.add(whole, "no-files", "there is no policy file here", "add a file that ends in .yaml")
    declarations = Declarations()
    for node in _sections(files, "attributes"):
        read_attributes(node, declarations, findings)
    for node in _sections(files, "levels"):
        read_levels(node, declarations, findings)
    check_level_order(declarations, findings)
    rules: dict[str, Rule] = {}
    for node in _sections(files, "rules"):
        rules |= RuleReader(declarations=declarations, findings=findings).read_section(node)
    cases: list[Case] = []
    for node in _sections(files, "cases"):
        cases += CaseReader(declarations=declarations, findings=findings).read_section(node)
    invariants: list[Invariant] = []
    for node in _sections(files, "invariants"):
        invariants += InvariantReader(declarations=declarations, findings=findings).read_section(node)
    if not rules and not findings.errors:
        findings.add(whole, "no-rules", "the policy has no rule", "add one under `rules`")
    if findings.errors:
        raise PolicyErrors(_by_place(findings.errors))
    document = Document(
        keyrung="policy/v1",
        attributes=declarations.good_attributes(),
        levels=declarations.good_levels(),
        rules=dict(sorted(rules.items())),
    )
    return Compiled(
        policy=policy_set(document),
        cases=tuple(cases),
        invariants=tuple(invariants),
        warnings=_by_place(findings.warnings),
        rule_places={rule_id: declarations.places["rule", rule_id] for rule_id in document.rules},
        level_places={level: declarations.places["level", level] for level in document.levels},
    )


def _by_place(found: list[SourceError]) -> tuple[SourceError, ...]:
    return tuple(sorted(found, key=lambda error: (error.file, error.line, error.column, error.id)))


def _parse(texts: dict[str, bytes], findings: Findings) -> list[Fields]:
    files: list[Fields] = []
    for file, data in sorted(texts.items()):
        top, errors = parse_source(data, file=file)
        findings.errors.extend(errors)
        if top is not None:
            files.append(_top_fields(top, findings))
    return files


def _top_fields(top: Mapping, findings: Findings) -> Fields:
    fields = Fields(
        top,
        findings,
        required=("keyrung", "default"),
        optional=("attributes", "levels", "rules", "cases", "invariants"),
    )
    fields.read("keyrung", choice(("policy/v1",)), findings)
    fields.read("default", _read_default, findings)
    return fields


def _read_default(node: Node, findings: Findings) -> str | None:
    text = read_text(node, findings)
    if text not in (None, "deny"):
        problem = Problem(
            id="default-not-deny",
            sentence="what no rule allows is always denied",
            fix="write `default: deny` and allow actions by rules",
        )
        findings.note(node.place, problem)
    return text


def _sections(files: list[Fields], name: str) -> list[Node]:
    return [entry.node for fields in files if (entry := fields.entry(name)) is not None]
