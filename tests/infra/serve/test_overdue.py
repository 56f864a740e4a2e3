"""A running verifier finds overdue keys by itself."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from support.recorded_keys import record_key

from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_infra.serve.overdue import OverdueCheck

_URI = "pkcs11:token=t;object=one"


def test_an_overdue_key_is_one_event_within_the_hour_in_which_it_becomes_so(tmp_path: Path) -> None:
    inventory, begin = SqliteInventory(tmp_path / "inventory.db"), datetime(2030, 1, 1, tzinfo=UTC)
    inventory.set_cryptoperiod(record_key(inventory, _URI, at=begin), 1)
    clock = [begin]
    check = OverdueCheck(inventory=inventory, now=lambda: clock[0])

    def overdue_after(hours: float) -> int:
        clock[0] = begin + timedelta(hours=hours)
        check.look_if_due()
        return [event.event for _, event in inventory.events()].count("key.overdue")

    assert [overdue_after(hours) for hours in (0, 23.9, 24.5, 24.95, 30, 60)] == [0, 0, 0, 1, 1, 1]
