"""The deployed verifier's store and log, opened for a change at the command line."""

from collections.abc import Iterator
from contextlib import contextmanager

from keyrung_infra.project import find_root
from keyrung_infra.serve.build import Records, build_records
from keyrung_infra.serve.settings import DEFAULT_CONFIG, read_settings


@contextmanager
def opened_records() -> Iterator[Records]:
    """Open the log, with what happened to keys before so that each change has its place in it; sign its end after."""
    root = find_root()
    records = build_records(read_settings(root / DEFAULT_CONFIG), root)
    records.audit.open()
    try:
        records.key_events.hand_over(records.audit)
        yield records
    finally:
        records.audit.checkpoint()
