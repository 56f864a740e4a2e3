"""The audit log of a local stack: whole, and signed up to its head."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from keyrung_audit import public_key_from_jwk, read_checkpoints, read_log, verify
from keyrung_infra.doctor.model import Finding

_UNSIGNED_MINUTES = 10  # a verifier at work signs within seconds


def whole(document: Mapping[str, Any], root: Path, *, now: datetime) -> Iterator[Finding]:
    """Yield what the independent reader finds, and a head that nobody has signed for a while."""
    audit = document["audit"]
    checkpoints = read_checkpoints(root / audit["checkpoints"])  # before the log, which may grow meanwhile
    report = verify(read_log(root / audit["store"]), checkpoints, [public_key_from_jwk(jwk) for jwk in audit["keys"]])
    for finding in report.findings:
        place = "" if finding.seq is None else f" at number {finding.seq}"
        yield Finding(
            text=f"the audit log is not whole: {finding.message}{place}",
            fix="keep copies of log and checkpoints, then find out who wrote there (`keyrung audit verify`)",
        )
    if report.last_time is not None and report.unsigned_count:
        waits = now - datetime.fromisoformat(report.last_time)
        if waits > timedelta(minutes=_UNSIGNED_MINUTES):
            text = f"{report.unsigned_count} records have waited {waits.total_seconds() / 60:.0f} min for a signature"
            yield Finding(text=text, fix="start the verifier; if it runs, make its audit key answer")
