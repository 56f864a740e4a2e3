"""Report files that several policy commands write."""

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click


def report_option(name: str, text: str) -> Callable[[Any], Any]:
    """Return an option that takes a file to write a report to."""
    return click.option(name, type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), help=text)


def write_report(path: Path | None, report: Callable[[], str]) -> None:
    """Write a report where it was asked for; `-` is standard output."""
    if path == Path("-"):
        click.echo(report(), nl=False)
    elif path is not None:
        path.write_text(report(), encoding="utf-8")


def keyrung_version() -> str:
    """Return the version that reports name."""
    return version("keyrung")
