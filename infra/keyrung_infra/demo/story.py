"""Tells the story step by step, with times, and keeps it for programs."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import click

_COLUMN = 78


@dataclass(slots=True, kw_only=True)
class Story:
    """What happened so far.

    Attributes:
        quiet: Whether nothing is printed.
        facts: What the steps found out, as written to the JSON file.
    """

    quiet: bool = False
    steps: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    _notes: list[str] = field(default_factory=list)

    def chapter(self, title: str) -> None:
        """Begin a new part."""
        self._print("")
        self._print(click.style(title, bold=True))

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Time one step; a failure is told as such and ends the story."""
        began = time.monotonic()
        self._notes.clear()
        ok = False
        try:
            yield
            ok = True
        finally:
            seconds = time.monotonic() - began
            self.steps.append({"step": what, "ok": ok, "seconds": round(seconds, 3)})
            mark = click.style("✓", fg="green") if ok else click.style("✗", fg="red")
            self._print(f"  {mark} {what:<{_COLUMN}} {seconds:6.2f} s")
            for note in self._notes:
                self._print(click.style(f"      {note}", dim=True))

    def note(self, text: str) -> None:
        """Add a line below the step under way."""
        self._notes.append(text)

    def document(self, *, ok: bool) -> Mapping[str, Any]:
        """Return the story for programs."""
        return {
            "ok": ok,
            "seconds": round(sum(step["seconds"] for step in self.steps), 3),
            "steps": self.steps,
            **self.facts,
        }

    def encoded(self, *, ok: bool) -> bytes:
        """Return the story as JSON."""
        return json.dumps(self.document(ok=ok), indent=2, ensure_ascii=False).encode() + b"\n"

    def _print(self, text: str) -> None:
        if not self.quiet:
            click.echo(text)
