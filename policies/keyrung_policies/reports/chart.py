"""The step-ups of each day as bars: what was recorded beside what another policy would have asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from keyrung_policies.simulation import Tally

WIDTH, HEIGHT = 960, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 12, 34
_MAX_LABELS = 12
# Share of a day's room that its bars fill.
_FILLED = 0.76
# Steps between lines that people count in.
_STEPS = (1, 2, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar in pixels of the drawing, and what it says when pointed at."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A label at a place of an axis."""

    place: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """The drawing, ready for a template."""

    bars: tuple[Bar, ...]
    days: tuple[Mark, ...]
    lines: tuple[Mark, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    foot: int = HEIGHT - _BOTTOM


def chart(by_day: Mapping[date, Tally]) -> Chart:
    """Return the chart of a simulation."""
    most = max((max(one.before, one.after, one.undecided) for one in by_day.values()), default=0)
    step = _step(most)
    top = max(step, -(-most // step) * step)
    foot, room = HEIGHT - _BOTTOM, (WIDTH - _LEFT - _RIGHT) / max(1, len(by_day))
    scale = (foot - _TOP) / top
    bars: list[Bar] = []
    days: list[Mark] = []
    every = -(-len(by_day) // _MAX_LABELS) or 1
    for place, (day, tally) in enumerate(sorted(by_day.items())):
        begin = _LEFT + room * (place + (1 - _FILLED) / 2)
        width = room * _FILLED / 3
        shown = (("before", tally.before), ("after", tally.after), ("open", tally.undecided))
        for number, (kind, value) in enumerate(shown):
            height = value * scale
            title = f"{day}: {value} {_TITLES[kind]}"
            bars.append(
                Bar(kind=kind, x=begin + number * width, y=foot - height, width=width * 0.9, height=height, title=title)
            )
        if place % every == 0:
            days.append(Mark(place=_LEFT + room * (place + 0.5), text=f"{day:%d %b}"))
    lines = tuple(Mark(place=foot - value * scale, text=str(value)) for value in range(0, top + 1, step))
    return Chart(bars=tuple(bars), days=tuple(days), lines=lines)


_TITLES = {"before": "step-ups recorded", "after": "step-ups with the new policy", "open": "requests undecided"}


def _step(most: int) -> int:
    """Return the distance of lines that divides an axis into about four."""
    scale = 1
    while True:
        for step in _STEPS:
            if step * scale * 4 >= most:
                return step * scale
        scale *= 10
