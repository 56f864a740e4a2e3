"""`keyrung policy simulate`: what another policy would have said to the requests in an audit log."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import cast

import click

from keyrung_audit import Record, parse_record, read_log
from keyrung_audit.errors import RecordError
from keyrung_audit.record import parse_time
from keyrung_infra.cli.policy_common import count, finish, json_option, policy_path, read_policy
from keyrung_infra.cli.policy_reports import report_option, write_report
from keyrung_infra.errors import InfraError
from keyrung_policies.model import Outcome, Value
from keyrung_policies.reports.page import simulation_page
from keyrung_policies.reports.wording import change_words
from keyrung_policies.simulation import Recorded, Simulation, Tally, simulate

_EVENT = "access.evaluated"
_COLUMNS = ("requests", "undecided", "before", "after", "change", "denied before", "denied after")


@click.command("simulate")
@click.argument("log", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--policy", "path", type=click.Path(path_type=Path), help="The policy to try; else policies/catalog.")
@click.option("--group-by", help="The attribute whose values are the groups, such as subject.team.")
@report_option("--html", "Write one page with a chart to this file; - is standard output.")
@json_option
def command(*, log: Path, path: Path | None, group_by: str | None, html: Path | None, as_json: bool) -> None:
    """Say how many step-ups more or fewer the requests recorded in LOG would have seen under another policy.

    LOG is the verifier's store or a file of audit lines; check it with `keyrung audit verify` first. A request whose
    record lacks an attribute that a rule needs is counted as undecided, at that rule.
    """
    policy = read_policy(path, as_json=as_json).policy
    if group_by is not None and group_by not in policy.document.attributes:
        raise InfraError(
            f"the policy declares no attribute {group_by}", fix="name a declared one, such as subject.team"
        )
    found = simulate(_recorded(read_log(log)), policy, group_by=group_by)
    name = str(policy_path(path))
    write_report(html, lambda: simulation_page(found, log=str(log), policy=name, group_by=group_by))
    if as_json:
        finish(_document(found))
    if html != Path("-"):
        click.echo("\n".join(_lines(found, group_by)))


def _recorded(lines: Iterable[bytes]) -> Iterator[Recorded]:
    for number, line in enumerate(lines, start=1):
        try:
            record = parse_record(line)
        except RecordError as error:
            fix = "run `keyrung audit verify` to see what is wrong"
            raise InfraError(f"line {number} of the log is no record ({error})", fix=fix) from error
        one = _request(record) if record.event == _EVENT else None
        if one is not None:
            yield one


def _request(record: Record) -> Recorded | None:
    """Return the request that was judged, or None where the caller was refused before any judgement."""
    moment = parse_time(record.time)
    if record.outcome not in ("allow", "step_up", "deny") or record.action is None or moment is None:
        return None
    attributes = {
        name: cast(Value, tuple(value) if isinstance(value, list) else value)
        for name, value in record.attributes.items()
    }
    return Recorded(
        moment=moment,
        action=record.action,
        attributes=attributes,
        outcome=cast(Outcome, record.outcome),
        reason=record.reason,
        rule_ids=record.rule_ids,
    )


def _document(found: Simulation) -> dict[str, object]:
    return {
        "total": _tally(found.total),
        "days": [{"day": day.isoformat(), **_tally(tally)} for day, tally in sorted(found.by_day.items())],
        "rules": [{"rule": rule_id, **_tally(tally)} for rule_id, tally in sorted(found.by_rule.items())],
        "groups": [{"group": group, **_tally(tally)} for group, tally in sorted(found.by_group.items())],
        "lacking": dict(found.lacking.most_common()),
    }


def _tally(tally: Tally) -> dict[str, int]:
    return {**asdict(tally), "change": tally.change}


def _lines(found: Simulation, group_by: str | None) -> list[str]:
    undecided = f"; {found.total.undecided} undecided" if found.total.undecided else ""
    lines = [f"{change_words(found.total.change)}, over {count(found.total.requests, 'request')}{undecided}"]
    tables: list[tuple[str, dict[str, Tally]]] = [
        ("day", {day.isoformat(): tally for day, tally in found.by_day.items()}),
        ("rule", found.by_rule),
        (group_by or "", found.by_group),
    ]
    for title, tallies in tables:
        if tallies:
            lines += ["", *_table(title, tallies)]
    for name, times in found.lacking.most_common():
        lines += [f"  the log lacks {name}: {count(times, 'request')} undecided"]
    return lines


def _table(title: str, tallies: dict[str, Tally]) -> list[str]:
    rows: list[tuple[str, ...]] = [(title, *_COLUMNS)]
    for label, one in sorted(tallies.items()):
        change = f"{one.change:+d}" if one.change else "0"
        cells = (one.requests, one.undecided, one.before, one.after, change, one.denied_before, one.denied_after)
        rows.append((label, *map(str, cells)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
