"""Tables for people: as wide as the terminal, with nothing in a cell that could drive it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def table(*columns: str, right: Sequence[str] = (), title: str | None = None, fold: Sequence[str] = ()) -> "Table":
    """Return an empty table; columns in ``right`` hold numbers, and only those in ``fold`` break their cells."""
    # rich is loaded only when a table is drawn: it would double the start of every other command.
    from rich.table import Table  # noqa: PLC0415

    # Two spaces between columns and no lines: a key's name and all that is said of it fit into 80 columns.
    made = Table(
        box=None,
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="dim",
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for name in columns:
        made.add_column(
            name,
            justify="right" if name in right else "left",
            no_wrap=name not in fold,
            overflow="fold" if name in fold else "ellipsis",
        )
    return made


def printable(text: str) -> str:
    """Return ``text`` as a cell: control characters as escapes, and no markup."""
    from rich.markup import escape  # noqa: PLC0415

    return escape("".join(character if character.isprintable() else repr(character)[1:-1] for character in text))


def span(length: timedelta) -> str:
    """Return a length of time in the largest unit of which there are two, such as ``355 d``, ``3 h`` or ``50 min``."""
    seconds = max(0, int(length.total_seconds()))
    for unit, size_seconds in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size_seconds:
            return f"{seconds // size_seconds} {unit}"
    return f"{seconds} s"


def show(*parts: "Table | str") -> None:
    """Write tables and lines to standard output; a file or pipe gets them wide enough to cut nothing."""
    from rich.console import Console  # noqa: PLC0415

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDE)
    for part in parts:
        console.print(part)


_WIDE = 240  # columns of a table that goes into a file
