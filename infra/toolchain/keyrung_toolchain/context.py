"""What every step of set-up gets, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .places import Places
from .progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The surroundings of a step.

    Attributes:
        env: The caller's environment; proxy, certificate and index settings in it reach every program we start.
    """

    places: Places
    progress: Progress
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A program or library that is ready for use.

    Attributes:
        name: The name under which it is recorded.
        origin: Where it came from, for people.
    """

    name: str
    path: Path
    version: str
    origin: str
