"""Findings as SARIF 2.1.0, which code hosts show at the line of a policy file (OASIS SARIF 2.1.0, section 3)."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from urllib.parse import quote

from keyrung_policies.analysis.differences import Difference, PolicyDiff
from keyrung_policies.analysis.strength import Verdict
from keyrung_policies.errors import Place, SourceError
from keyrung_policies.reports.wording import because, decision_words, effects, request_lines

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"
VERSION = "2.1.0"

_LITERALS = str.maketrans({"{": "{{", "}": "}}", "[": "\\[", "]": "\\]", "\\": "\\\\"})

# Result kind -> what it says, and the level it is shown at (section 3.27.10).
_DIFF_RULES: dict[str, tuple[str, str]] = {
    "policy-weaker": ("A request is asked for less than before.", "error"),
    "policy-not-decided": ("It is not proved that an action is not weaker than before.", "error"),
    "policy-stronger": ("A request is asked for more than before.", "note"),
    "policy-display": ("People approve another text than before.", "note"),
}


def diff_sarif(diff: PolicyDiff, *, places: Mapping[str, Place], version: str) -> dict[str, object]:
    """Return a comparison as a SARIF log; ``places`` are those of the rules in the new version."""
    # Where no rule of the new version decides, the finding stands at the beginning of the policy.
    whole = min(places.values(), key=lambda place: (place.file, place.line))
    results = []
    for title, difference in diff.differences():
        place = next((places[rule_id] for rule_id in difference.head.rule_ids if rule_id in places), whole)
        results.append(_result(_rule_of(difference), _message(title, difference), place))
    for action in diff.actions:
        if action.undecided is not None:
            results.append(
                _result("policy-not-decided", f"{action.action.title}: not decided, {action.undecided}.", whole)
            )
    for declaration in diff.declarations:
        if declaration.difference is None:
            results.append(_result("policy-not-decided", f"{declaration.attribute}: not decided.", whole))
    return _log(results, _DIFF_RULES, version)


def findings_sarif(found: Sequence[SourceError], *, rules: Mapping[str, str], version: str) -> dict[str, object]:
    """Return findings at places as a SARIF log; ``rules`` has what each id means."""
    described = {name: (text, "warning") for name, text in rules.items()}
    results = [
        _result(
            one.id,
            f"{one.sentence}; {one.fix}.",
            Place(file=one.file, line=one.line, column=one.column),
            level="warning",
        )
        for one in found
    ]
    return _log(results, described, version)


def _rule_of(difference: Difference) -> str:
    verdict = difference.comparison.verdict
    if verdict.may_be_weaker:
        return "policy-weaker"
    return "policy-stronger" if verdict is Verdict.STRONGER else "policy-display"


def _message(title: str, difference: Difference) -> str:
    said = ", ".join(effect.sentence for effect in effects(difference))
    example = "; ".join(request_lines(difference.request, difference.now))
    before, after = (
        f"{decision_words(decision)} ({because(decision)})" for decision in (difference.base, difference.head)
    )
    return f"{title}: {said}. Before: {before}. After: {after}. For example: {example}."


def _result(rule: str, message: str, place: Place, level: str | None = None) -> dict[str, object]:
    return {
        "ruleId": rule,
        "level": level or _DIFF_RULES[rule][1],
        "message": {"text": _literal(message)},
        "locations": [
            {
                "physicalLocation": {
                    # Any character a file name can have, a colon too, is part of the path (section 3.4.3, RFC 3986).
                    "artifactLocation": {"uri": quote(PurePath(place.file).as_posix())},
                    "region": {"startLine": place.line, "startColumn": place.column},
                }
            }
        ],
        # What is the same finding in the next run, whatever moved in between (section 3.27.17).
        "partialFingerprints": {"message/v1": hashlib.sha256(f"{rule}\n{message}".encode()).hexdigest()},
    }


def _literal(text: str) -> str:
    """Return a message that shows as this text, without a placeholder (section 3.11.5) or a link (section 3.11.6)."""
    return text.translate(_LITERALS)


def _log(results: Sequence[dict[str, object]], rules: Mapping[str, tuple[str, str]], version: str) -> dict[str, object]:
    described = [
        {"id": name, "shortDescription": {"text": text}, "defaultConfiguration": {"level": level}}
        for name, (text, level) in rules.items()
    ]
    driver = {"name": "keyrung", "semanticVersion": version, "rules": described}
    return {"$schema": SCHEMA, "version": VERSION, "runs": [{"tool": {"driver": driver}, "results": list(results)}]}
