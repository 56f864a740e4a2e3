"""What the policy commands share: where the policy is, how it is read, and how mistakes are told."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import click

from keyrung_infra.project import find_root
from keyrung_policies.compile import Compiled, compile_path
from keyrung_policies.errors import PolicyErrors, SourceError

EXIT_FINDINGS = 1
CATALOG = Path("policies") / "catalog"

policy_argument = click.argument("path", type=click.Path(path_type=Path), required=False)
json_option = click.option("--json", "as_json", is_flag=True, help="Write one JSON object to standard output.")


def read_policy(path: Path | None, *, as_json: bool) -> Compiled:
    """Return the policy of a file or folder, without one of the project's catalogue; tell its mistakes and end."""
    with told_mistakes(as_json=as_json):
        return compile_path(policy_path(path))


@contextmanager
def told_mistakes(*, as_json: bool) -> Iterator[None]:
    """Tell the mistakes of a policy that is read inside, and end the command."""
    try:
        yield
        return
    except PolicyErrors as refused:
        tell_and_end(refused.errors, as_json=as_json)


def tell_and_end(errors: tuple[SourceError, ...], *, as_json: bool) -> NoReturn:
    """Tell every mistake with its place, and end the command."""
    if as_json:
        finish({"ok": False, "errors": as_objects(errors)}, found=True)
    for error in errors:
        click.echo(str(error), err=True)
    click.echo(count(len(errors), "mistake"), err=True)
    end(found=True)


def policy_path(path: Path | None) -> Path:
    """Return the path as a person would write it from here, so that a terminal can open `file:line`."""
    return path if path is not None else Path(os.path.relpath(find_root() / CATALOG))


def as_objects(errors: Iterable[SourceError]) -> list[dict[str, object]]:
    """Return mistakes for programs."""
    return [asdict(error) for error in errors]


def count(number: int, noun: str) -> str:
    """Return a number with its noun, as in `1 case` and `2 cases`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def finish(document: object, *, found: bool = False) -> NoReturn:
    """Write the one JSON object of a command and end it."""
    click.echo(json.dumps(document, indent=2))
    end(found=found)


def end(*, found: bool = False) -> NoReturn:
    """End the command with the exit code that says whether something was found."""
    raise click.exceptions.Exit(EXIT_FINDINGS if found else 0)
