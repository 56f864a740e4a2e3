"""The whole check as a pure function: lines, checkpoints and public keys in, a report out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from keyrung_audit.chain import Entry, find_breaks
from keyrung_audit.checkpoints import Checkpoint, compare, open_checkpoint
from keyrung_audit.errors import CheckpointError, PublicKeyError, RecordError
from keyrung_audit.handover import HandOver, hand_over, trusted_keys
from keyrung_audit.keys import PublicKey
from keyrung_audit.pair import KeyHistory, pair_finding
from keyrung_audit.record import COUNTED_EVENT, GENESIS_EVENT, Record, counted_refusals, digest, is_sha256, parse_record
from keyrung_audit.report import Finding, Report

_GENESIS_DETAIL_MEMBERS = {"audit_key", "salt"}


def verify(lines: Iterable[bytes], checkpoints: Iterable[bytes], keys: Sequence[PublicKey]) -> Report:
    """Return what is wrong with a log, and what it holds.

    Found are lines that were altered, dropped, swapped, inserted or cut off, histories that were forked or rolled
    back, signatures and signers that don't fit, and uses of keys that the log doesn't bear out. Two limits: records
    after the newest checkpoint are chained but not signed yet (`Report.unsigned_count`), and an old copy of the log
    put back together with an equally old copy of the checkpoints is seen only by who remembers a later head.

    One generation of the audit key is enough: a hand-over that a good checkpoint covers leads to the others.

    Raises:
        PublicKeyError: No key was given, so nothing could vouch for the log.
    """
    if not keys:
        raise PublicKeyError("Give the public audit key: without it nothing vouches for the log.")
    reading, statements = _Reading(), list(checkpoints)
    for number, line in enumerate(lines, start=1):
        reading.take(line, number)
    digests = {entry.seq: entry.digest for entry in reading.entries if entry.seq is not None}
    trusted = trusted_keys(keys, reading.hand_overs, statements, digests)
    reading.check_genesis_key(trusted)
    good, checkpoint_findings = _open_all(statements, trusted)
    compared, signed_seq = compare(reading.entries, good, shard=reading.shard)
    findings = reading.findings + find_breaks(reading.entries) + checkpoint_findings + compared
    if not reading.entries:
        findings.append(Finding(code="empty", message="the log has no record, not even the one that opens it"))
    if not good:
        findings.append(
            Finding(code="unsigned", message="no good checkpoint covers this log: anybody could have written it")
        )
    head = max((entry for entry in reading.entries if entry.seq is not None), key=_seq_of, default=None)
    return Report(
        records_count=len(reading.entries),
        checkpoints_count=len(good),
        first_time=reading.first_time,
        last_time=reading.last_time,
        head_seq=None if head is None else head.seq,
        head=None if head is None else head.digest,
        signed_seq=signed_seq,
        counted_refusals_count=reading.counted_refusals_count,
        key_generations_count=len(reading.history),
        findings=tuple(sorted(findings, key=_place)),
        notes=tuple(reading.notes + _late_checkpoints(good)),
    )


class _Reading:
    """What one pass over the lines gathers."""

    def __init__(self) -> None:
        self._genesis: tuple[Record, int] | None = None
        self.hand_overs: list[HandOver] = []
        self.entries: list[Entry] = []
        self.findings: list[Finding] = []
        self.notes: list[Finding] = []
        self.history = KeyHistory()
        self.shard: str | None = None
        self.counted_refusals_count = 0
        self.first_time: str | None = None
        self.last_time: str | None = None

    def take(self, line: bytes, number: int) -> None:
        try:
            record = parse_record(line)
        except RecordError as error:
            self.entries.append(Entry(line=number, digest=digest(line), seq=None, prev=None))
            self.findings.append(Finding(code=error.code, message=str(error), line=number))
            return
        self.entries.append(Entry(line=number, digest=digest(line), seq=record.seq, prev=record.prev))
        self._check_genesis(record, number)
        self._take_hand_over(record, number)
        self._take_counted(record, number)
        self._check_shard(record, number)
        self._note_time(record, number)
        finding = pair_finding(self.history, record, number)
        if finding is not None:
            self.findings.append(finding)

    def _check_genesis(self, record: Record, number: int) -> None:
        opens = record.event == GENESIS_EVENT
        if number == 1 and not opens:
            self._find("no-genesis", f"the first record must be {GENESIS_EVENT}", record, number)
        elif number > 1 and opens:
            self._find("inserted", f"a second {GENESIS_EVENT} inside the log", record, number)
        elif opens and (record.detail.keys() != _GENESIS_DETAIL_MEMBERS or not is_sha256(record.detail["salt"])):
            self._find(
                "bad-genesis", "its detail must be exactly the audit key's thumbprint and a salt", record, number
            )
        elif opens:
            self._genesis = record, number

    def check_genesis_key(self, trusted: Mapping[str, PublicKey]) -> None:
        """Find a log that began with a key that none of the given ones leads to."""
        if self._genesis is not None and self._genesis[0].detail["audit_key"] not in trusted:
            self._find("wrong-genesis-key", "it names another audit key than the one given", *self._genesis)

    def _take_hand_over(self, record: Record, number: int) -> None:
        try:
            found = hand_over(record)
        except PublicKeyError as error:
            self._find("bad-hand-over", str(error), record, number)
            return
        if found is not None:
            self.hand_overs.append(found)

    def _take_counted(self, record: Record, number: int) -> None:
        if record.event != COUNTED_EVENT:
            return
        count = counted_refusals(record)
        if count is None:
            self._find("bad-count", "its detail must be two times and a number for each kind", record, number)
        else:
            self.counted_refusals_count += count

    def _check_shard(self, record: Record, number: int) -> None:
        self.shard = record.shard if self.shard is None else self.shard
        if record.shard != self.shard:
            self._find("foreign-shard", f"the log began as shard {self.shard}", record, number)

    def _note_time(self, record: Record, number: int) -> None:
        if self.last_time is not None and record.time < self.last_time:  # fixed width: text order is time order
            message = f"its time {record.time} is before that of an earlier record ({self.last_time})"
            self.notes.append(Finding(code="time-backwards", message=message, seq=record.seq, line=number))
        self.first_time = min(record.time, self.first_time or record.time)
        self.last_time = max(record.time, self.last_time or record.time)

    def _find(self, code: str, message: str, record: Record, number: int) -> None:
        self.findings.append(Finding(code=code, message=message, seq=record.seq, line=number))


def _open_all(lines: Iterable[bytes], keys: dict[str, PublicKey]) -> tuple[list[Checkpoint], list[Finding]]:
    good: list[Checkpoint] = []
    findings: list[Finding] = []
    for number, line in enumerate(lines, start=1):
        try:
            good.append(open_checkpoint(line, line=number, keys=keys))
        except CheckpointError as error:
            findings.append(Finding(code=error.code, message=str(error), checkpoint_line=number))
    return good, findings


def _late_checkpoints(checkpoints: Sequence[Checkpoint]) -> list[Finding]:
    return [
        Finding(
            code="time-backwards",
            message="its time is before that of the checkpoint above it",
            checkpoint_line=late.line,
        )
        for early, late in pairwise(checkpoints)
        if late.time < early.time
    ]


def _seq_of(entry: Entry) -> int:
    return -1 if entry.seq is None else entry.seq


def _place(finding: Finding) -> tuple[int, int]:
    """Order findings by their place in the log, those about checkpoints alone last."""
    return (finding.line or 2**62, finding.checkpoint_line or 0)
