"""The cryptoperiod of a `Key`, and a warning when it nears its end or met it early (SP 800-57 part 1, section 5.3)."""

from collections.abc import Sequence
from datetime import datetime

from keyrung_infra.provider.key_line import stages
from keyrung_infra.provider.model import Property, Values
from keyrung_provisioners.api import Purpose
from keyrung_provisioners.cryptoperiod import DEFAULT_DAYS, Cryptoperiod, Rotation
from keyrung_provisioners.inventory import Inventory, KeyRow
from keyrung_provisioners.states import KeyState

CRYPTOPERIOD_DAYS = Property(
    type="integer",
    description="Days for which a generation may be used (SP 800-57 part 1, 5.3); by default by its purpose.",
    optional=True,
)


def timed(rows: Sequence[KeyRow], inputs: Values, inventory: Inventory) -> Sequence[KeyRow]:
    """Return the rows with the declared cryptoperiod recorded."""
    days = _declared_days(inputs)
    return [row if row.cryptoperiod_days == days else inventory.set_cryptoperiod(row, days) for row in rows]


def overdue_advice(state: Values, inputs: Values, now: datetime) -> list[str]:
    """Return a warning where the newest generation nears the end of its cryptoperiod, is past it, or is compromised."""
    found = stages(state)
    newest = found[-1] if found else None
    if newest is not None and newest.state is KeyState.COMPROMISED and inputs["generation"] == state["generation"]:
        return [
            f"generation {newest.generation} of {state['name']} is compromised, and nothing uses it:"
            f" raise `generation` to {newest.generation + 1}"
        ]
    if newest is None or newest.state is not KeyState.ACTIVE or newest.use_not_before is None:
        return []
    days = _declared_days(inputs) or DEFAULT_DAYS[Purpose(str(state["purpose"]))]
    period = Cryptoperiod(begins_at=newest.use_not_before, days=days)
    rotation = period.rotation(now)
    if rotation is Rotation.LATER or inputs["generation"] != state["generation"]:
        return []
    what = "is overdue for rotation since" if rotation is Rotation.OVERDUE else "is due for rotation before"
    return [
        f"generation {newest.generation} of {state['name']} {what} {period.ends_at.date()}, after {days} days of use:"
        f" raise `generation` to {newest.generation + 1}"
    ]


def _declared_days(inputs: Values) -> int | None:
    given = inputs.get("cryptoperiodDays")
    return given if isinstance(given, int) else None
