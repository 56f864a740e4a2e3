"""The keys of an inventory as a report: how old each is, when it is to be rotated, and which are overdue."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from keyrung_provisioners.cryptoperiod import DEFAULT_DAYS, Cryptoperiod, Rotation
from keyrung_provisioners.inventory import Inventory, KeyEvent, KeyRow
from keyrung_provisioners.states import KeyState

# A key in one of these is in use or may come back into use; the others have nothing left to rotate.
_IN_USE = (KeyState.ACTIVE, KeyState.SUSPENDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One key of the report.

    Attributes:
        period: Its cryptoperiod; None for a key that is not in use (any more), or whose successor is.
    """

    row: KeyRow
    period: Cryptoperiod | None
    rotation: Rotation | None

    @property
    def overdue(self) -> bool:
        """Whether it has been in use for longer than its cryptoperiod."""
        return self.rotation is Rotation.OVERDUE


def report(inventory: Inventory, *, now: datetime) -> list[Line]:
    """Return every key that is not destroyed, by vault and name."""
    rows = inventory.rows()
    lines = [_line(row, rows, now) for row in rows if row.state is not KeyState.DESTROYED]
    return sorted(lines, key=lambda line: (str(line.row.claim.uri.vault_uri), str(line.row.claim.uri)))


def raise_overdue(inventory: Inventory, lines: Sequence[Line], *, now: datetime) -> int:
    """Append an event for each overdue key, once for each end of a cryptoperiod; return how many are new."""
    return sum(inventory.note(_event(line, now)) for line in lines if line.overdue)


def _line(row: KeyRow, rows: Sequence[KeyRow], now: datetime) -> Line:
    if row.state not in _IN_USE or row.use_not_before is None or _succeeded(row, rows, now):
        return Line(row=row, period=None, rotation=None)
    days = row.cryptoperiod_days or DEFAULT_DAYS[row.claim.purpose]
    period = Cryptoperiod(begins_at=row.use_not_before, days=days)
    return Line(row=row, period=period, rotation=period.rotation(now))


def _succeeded(row: KeyRow, rows: Sequence[KeyRow], now: datetime) -> bool:
    """Return whether a later generation of the same declared key is in use already."""
    return any(
        other.claim.owner == row.claim.owner
        and other.claim.generation > row.claim.generation
        and other.state in _IN_USE
        and other.use_not_before is not None
        and other.use_not_before <= now
        for other in rows
    )


def _event(line: Line, now: datetime) -> KeyEvent:
    row, ends_at = line.row, line.period.ends_at if line.period else now
    text = f"key.overdue:{row.claim.generation}:{row.claim_id.hex()}:{ends_at.isoformat()}"
    return KeyEvent(
        event_id=hashlib.sha256(text.encode()).hexdigest()[:32],
        event="key.overdue",
        at=now,
        uri=str(row.claim.uri),
        generation=row.claim.generation,
        state=row.state,
        purpose=row.claim.purpose,
        fingerprint=row.fingerprint,
    )
