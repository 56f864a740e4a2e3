"""`keyrung policy impact`: who could not satisfy a policy, and which routes no rule covers."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from keyrung_infra.cli.policy_common import end, finish, json_option, policy_argument, read_policy
from keyrung_infra.errors import InfraError
from keyrung_policies.impact import Impact, impact

# States in which a credential can be used, now or when a lock has ended.
_LIVING = ("active", "locked")
# Names shown for each level in a terminal; --json has all of them.
_SHOWN = 10
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True)


@click.command("impact")
@policy_argument
@click.option("--enrolment", type=_FILE, help="What `keyrung credential list --json` wrote; - is standard input.")
@click.option(
    "--routes", type=_FILE, help='Routes and their actions as JSON, such as {"GET /accounts": "accounts.read"}.'
)
@json_option
def command(*, path: Path | None, enrolment: Path | None, routes: Path | None, as_json: bool) -> None:
    """Say who could not satisfy the policy in PATH with what they hold, and which routes no rule covers.

    Without PATH it is the project's policies/catalog. Exit code 1 when there is somebody, or a route. People without
    any credential are in no enrolment list, so they are not counted.
    """
    if enrolment is None and routes is None:
        raise InfraError("nothing to look at", fix="give --enrolment, --routes or both")
    policy = read_policy(path, as_json=as_json).policy
    found = impact(
        policy,
        {} if enrolment is None else _held(_read(enrolment), enrolment),
        {} if routes is None else _actions(_read(routes), routes),
    )
    hit = bool(found.shortfalls or found.uncovered_routes)
    if as_json:
        routes_document = [{"route": route, "action": action} for route, action in found.uncovered_routes]
        document = {"subjects": found.subjects_count, "shortfalls": [asdict(one) for one in found.shortfalls]}
        finish({**document, "uncovered_routes": routes_document}, found=hit)
    click.echo("\n".join(_lines(found)))
    end(found=hit)


def _read(path: Path) -> Any:
    try:
        with click.open_file(str(path), encoding="utf-8") as file:
            return json.load(file)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InfraError(f"{path} is not JSON", fix="write it with `--json`, or correct it") from error


def _held(document: Any, path: Path) -> dict[str, frozenset[str]]:
    try:
        held: dict[str, set[str]] = {str(one["subject"]): set() for one in document["credentials"]}
        for one in document["credentials"]:
            if one["state"] in _LIVING:
                held[str(one["subject"])].add(str(one["factor"]))
    except (KeyError, TypeError) as error:
        fix = "use what `keyrung credential list --json` writes"
        raise InfraError(f"{path} is no list of credentials", fix=fix) from error
    return {subject: frozenset(factors) for subject, factors in held.items()}


def _actions(document: Any, path: Path) -> dict[str, str]:
    if not isinstance(document, dict) or not all(isinstance(action, str) for action in document.values()):
        fix = 'write an object such as {"GET /accounts": "accounts.read"}'
        raise InfraError(f"{path} has no routes with their actions", fix=fix)
    return document


def _lines(found: Impact) -> list[str]:
    lines = []
    for one in found.shortfalls:
        wanted = " or ".join(" with ".join(combination) for combination in one.any_of)
        more = f", and {len(one.subjects) - _SHOWN} more" if len(one.subjects) > _SHOWN else ""
        lines += [
            f"{one.level}: {len(one.subjects)} of {found.subjects_count} people cannot reach it",
            f"  needs      {wanted}",
            f"  asked by   {', '.join(one.rule_ids)}, for {', '.join(one.actions)}",
            f"  who        {', '.join(one.subjects[:_SHOWN])}{more}",
        ]
    lines += [f"{route}: no rule covers {action}, so it is denied" for route, action in found.uncovered_routes]
    return lines or ["everybody can reach every level, and every route is covered by a rule"]
