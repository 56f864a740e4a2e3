"""The time of day as the solver sees it: a minute of the day in UTC, the finest that a time window distinguishes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from keyrung_policies.analysis.solver import Formula, Model, every, number, some, value_of
from keyrung_policies.cases import DEFAULT_MOMENT
from keyrung_policies.model import MINUTES_PER_DAY, TimeWindow


@dataclass(frozen=True, kw_only=True)
class Clock:
    """The moment of a request; ``windows`` are all that any rule looks at."""

    windows: tuple[TimeWindow, ...]

    @property
    def facts(self) -> list[Formula]:
        """What holds at every moment."""
        return [self._minute >= 0, self._minute < MINUTES_PER_DAY] if self.windows else []

    def holds(self, window: TimeWindow) -> Formula:
        """Return that the moment lies in a window; one that starts after its end runs over midnight."""
        after, before = self._minute >= window.start_minute, self._minute < window.end_minute
        return every([after, before]) if window.start_minute < window.end_minute else some([after, before])

    def moment(self, model: Model) -> datetime:
        """Return the moment in a model, at noon where no rule looks at the time."""
        return _at(value_of(model, self._minute)) if self.windows else DEFAULT_MOMENT

    def samples(self) -> Sequence[datetime]:
        """Return moments to try when a witness is made simpler: noon, then the starts and ends of windows."""
        borders = {minute for window in self.windows for minute in (window.start_minute, window.end_minute)}
        return [DEFAULT_MOMENT, *map(_at, sorted(borders))]

    @cached_property
    def _minute(self) -> Formula:
        return number("minute of the day")


def _at(minute: int) -> datetime:
    return DEFAULT_MOMENT.replace(hour=0, minute=0) + timedelta(minutes=minute)
