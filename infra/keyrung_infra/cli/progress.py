"""A progress bar on standard error, for people: nothing is drawn where nobody watches or JSON was asked for."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(title: str, total: int, *, shown: bool) -> Iterator[Callable[[str], None]]:
    """Give a function that takes the name of the step about to happen and moves the bar by one."""
    if not shown or not sys.stderr.isatty():
        yield lambda _step: None
        return
    # rich is loaded only when something is drawn: it would double the start of every other command.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)

        def advance(step: str) -> None:
            bar.update(task, advance=1, description=f"{title}: {step}" if step else title)

        yield advance
