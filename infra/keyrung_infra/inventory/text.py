"""How an inventory writes what its store has no type for."""

from datetime import UTC, datetime


def utc_text(moment: datetime | None) -> str | None:
    """Return the one spelling of a moment."""
    return None if moment is None else moment.astimezone(UTC).isoformat()
