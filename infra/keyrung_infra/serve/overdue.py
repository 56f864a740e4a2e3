"""Overdue keys, looked for now and then by whoever keeps the audit log."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from keyrung_infra.keys.report import raise_overdue, report
from keyrung_provisioners.inventory import Inventory

_INTERVAL = timedelta(hours=1)  # a cryptoperiod is counted in days


@dataclass(slots=True, kw_only=True)
class OverdueCheck:
    """Raises the event of each key that has become overdue."""

    inventory: Inventory
    now: Callable[[], datetime]
    _next: datetime | None = field(default=None, init=False)

    def look_if_due(self) -> None:
        """Look at the inventory, unless that was done within the hour."""
        now = self.now()
        if self._next is None or now >= self._next:
            raise_overdue(self.inventory, report(self.inventory, now=now), now=now)
            self._next = now + _INTERVAL
