"""A comparison as Markdown, for a comment on a pull request."""

import re

from keyrung_policies.analysis.differences import ActionDiff, DeclarationDiff, Difference, PolicyDiff
from keyrung_policies.analysis.strength import Verdict
from keyrung_policies.reports.wording import HEADLINES, because, decision_words, display, effects, request_lines

# Shapes differ too, so that the marks can be told apart without colours.
_MARKS: dict[Verdict, str] = {
    Verdict.EQUAL: "⚪",
    Verdict.STRONGER: "🔒",
    Verdict.WEAKER: "⚠️",
    Verdict.BOTH: "⚠️",
    Verdict.UNDECIDED: "❓",
}


def diff_markdown(diff: PolicyDiff, *, base: str, head: str) -> str:
    """Return a comparison as Markdown; texts from the policies can neither end a table nor become markup."""
    title, _, sentence = HEADLINES[diff.verdict].partition(": ")
    lines = [
        f"## {_MARKS[diff.verdict]} Policy change: {title.lower()}",
        "",
        sentence.capitalize(),
        "",
        f"From {code(base)} to {code(head)}. {_counts(diff)}",
    ]
    if diff.changed:
        lines += ["", "| action | what changes | before | after | for example |", "| --- | --- | --- | --- | --- |"]
        lines += [row for one in diff.changed for row in _rows(one)]
    if diff.declarations:
        lines += [
            "",
            "**Declarations.** A value outside an attribute's declaration denies, whatever the rules say.",
            "",
            "| attribute | what changes | reaches | for example |",
            "| --- | --- | --- | --- |",
        ]
        lines += [_declaration_row(one) for one in diff.declarations]
    lines += ["", "Every example was judged by the evaluator in both versions.", ""]
    return "\n".join(lines)


def code(text: str) -> str:
    """Return a text as a code span that it cannot leave, in a table neither."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}".replace("|", "\\|").replace("\n", " ")


def _counts(diff: PolicyDiff) -> str:
    same = len(diff.actions) - len(diff.changed)
    return f"{same} of {len(diff.actions)} actions are proved the same."


def _rows(one: ActionDiff) -> list[str]:
    title = code(one.action.title)
    if one.undecided is not None:
        return [f"| {title} | {_MARKS[one.verdict]} not decided: {code(one.undecided)} | | | |"]
    return [
        f"| {title} | {_effects(difference)} | {_decided(difference, 'base')} | {_decided(difference, 'head')} "
        f"| {_example(difference)} |"
        for difference in one.differences
    ]


def _declaration_row(one: DeclarationDiff) -> str:
    if one.difference is None:
        return f"| {code(one.attribute)} | {_MARKS[one.verdict]} not decided | {_reach(one)} | |"
    what = "more values are let through" if one.verdict is Verdict.WEAKER else "more values are refused"
    return (
        f"| {code(one.attribute)} | {_MARKS[one.verdict]} {one.verdict}: {what} | {_reach(one)} "
        f"| {_example(one.difference)} |"
    )


def _reach(one: DeclarationDiff) -> str:
    return f"{len(one.actions)} action{'' if len(one.actions) == 1 else 's'}"


def _effects(difference: Difference) -> str:
    return "<br>".join(
        f"{_MARKS[effect.verdict]} {'' if effect.verdict is Verdict.EQUAL else f'{effect.verdict}: '}{effect.sentence}"
        for effect in effects(difference)
    )


def _decided(difference: Difference, version: str) -> str:
    decision = difference.base if version == "base" else difference.head
    text = display(decision)
    shown = [f"shows {code(text) if text else 'no text'}"] if difference.display else []
    return "<br>".join([code(decision_words(decision)), f"because of {code(because(decision))}", *shown])


def _example(difference: Difference) -> str:
    return "<br>".join(code(line) for line in request_lines(difference.request, difference.now))
