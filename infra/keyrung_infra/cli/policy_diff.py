"""`keyrung policy diff`: what a change means, not how its text differs."""

import json
from collections.abc import Callable
from pathlib import Path

import click

from keyrung_infra.cli.policy_common import end, finish, json_option, told_mistakes
from keyrung_infra.cli.policy_reports import keyrung_version, report_option, write_report
from keyrung_infra.cli.policy_sources import Version, read_version
from keyrung_policies.analysis.diff import DEFAULT_TIMEOUT_SECONDS, diff
from keyrung_policies.analysis.differences import Difference, PolicyDiff
from keyrung_policies.analysis.strength import Verdict
from keyrung_policies.model import Decision
from keyrung_policies.reports.document import diff_document
from keyrung_policies.reports.markdown import diff_markdown
from keyrung_policies.reports.page import diff_page
from keyrung_policies.reports.sarif import diff_sarif
from keyrung_policies.reports.wording import HEADLINES, because, decision_words, display, effects, request_lines

_COLOURS: dict[Verdict, str] = {
    Verdict.EQUAL: "white",
    Verdict.STRONGER: "green",
    Verdict.WEAKER: "red",
    Verdict.BOTH: "red",
    Verdict.UNDECIDED: "yellow",
}
# What --fail-on may name -> the verdicts it stops at.
_STOPS: dict[str, Callable[[PolicyDiff], bool]] = {
    "weaker": lambda found: found.verdict.may_be_weaker,
    "any": lambda found: bool(found.changed or found.declarations),
}


@click.command("diff")
@click.argument("base")
@click.argument("head", required=False)
@click.option(
    "--fail-on",
    type=click.Choice(list(_STOPS)),
    help="Exit with 1 when HEAD is, or may be, weaker than BASE, or when any answer is different.",
)
@report_option("--markdown", "Write a comment for a pull request to this file; - is standard output.")
@report_option("--html", "Write one page that needs nothing else to this file.")
@report_option("--sarif", "Write SARIF 2.1.0, which code hosts show beside the lines, to this file.")
@click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=DEFAULT_TIMEOUT_SECONDS,
    show_default=True,
    help="Seconds; what is not decided by then counts as weaker.",
)
@json_option
def command(
    *,
    base: str,
    head: str | None,
    fail_on: str | None,
    markdown: Path | None,
    html: Path | None,
    sarif: Path | None,
    timeout_seconds: float,
    as_json: bool,
) -> None:
    """Say whether HEAD is equal to, stronger or weaker than BASE, for every possible request.

    BASE and HEAD are files, folders, or git revisions such as `main` or `v1:policies/catalog`. Without HEAD it is the
    project's policies/catalog as it is on disk.
    """
    with told_mistakes(as_json=as_json):
        before, after = read_version(base), read_version(head)
    found = diff(before.compiled.policy, after.compiled.policy, timeout_seconds=timeout_seconds)
    names = {"base": before.name, "head": after.name}
    write_report(markdown, lambda: diff_markdown(found, **names))
    write_report(html, lambda: diff_page(found, **names))
    write_report(sarif, lambda: _sarif(found, after))
    stops = fail_on is not None and _STOPS[fail_on](found)
    if as_json:
        finish(diff_document(found, **names), found=stops)
    if Path("-") not in (markdown, html, sarif):
        click.echo("\n".join(_lines(found, before, after)))
    end(found=stops)


def _sarif(found: PolicyDiff, after: Version) -> str:
    places = after.compiled.rule_places
    return json.dumps(diff_sarif(found, places=places, version=keyrung_version()), indent=2) + "\n"


def _lines(found: PolicyDiff, before: Version, after: Version) -> list[str]:
    same = len(found.actions) - len(found.changed)
    lines = [
        click.style(HEADLINES[found.verdict], fg=_COLOURS[found.verdict], bold=True),
        f"  from {before.name} to {after.name}; {same} of {len(found.actions)} actions proved the same",
    ]
    for one in found.changed:
        lines += ["", _heading(one.action.title, one.verdict)]
        if one.undecided is not None:
            lines.append(f"  {one.undecided}")
        lines += [line for difference in one.differences for line in _difference(difference)]
    for declaration in found.declarations:
        reach = ", ".join(action.title for action in declaration.actions)
        lines += ["", _heading(f"declaration of {declaration.attribute}", declaration.verdict), f"  reaches {reach}"]
        if declaration.difference is not None:
            lines += _difference(declaration.difference)
    return lines


def _heading(title: str, verdict: Verdict) -> str:
    return f"{click.style(title, bold=True)}: {click.style(verdict, fg=_COLOURS[verdict])}"


def _difference(difference: Difference) -> list[str]:
    first, *more = request_lines(difference.request, difference.now)
    return [
        *(f"  {click.style(effect.sentence, fg=_COLOURS[effect.verdict])}" for effect in effects(difference)),
        f"    request  {first}",
        *(f"             {line}" for line in more),
        f"    before   {_decided(difference, difference.base)}",
        f"    after    {_decided(difference, difference.head)}",
    ]


def _decided(difference: Difference, decision: Decision) -> str:
    shown = f', shows "{display(decision)}"' if difference.display else ""
    return f"{decision_words(decision)} ({because(decision)}){shown}"
