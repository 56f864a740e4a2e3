"""The chains of a log: which record belongs to which, which chains there must be, and whether they began together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from keyrung_audit.chain import Entry
from keyrung_audit.errors import RecordError
from keyrung_audit.keys import PublicKey
from keyrung_audit.record import COUNTED_EVENT, GENESIS_EVENT, Record, counted_refusals, digest, is_sha256, parse_record
from keyrung_audit.report import Finding

_GENESIS_DETAIL_MEMBERS = {"audit_key", "salt"}
_SHARDS = "shards"


class Shard:
    """What one pass over the lines of a chain gathers; the name is that of its first record."""

    def __init__(self) -> None:
        self.name: str | None = None
        self.genesis: tuple[Record, int] | None = None
        self.entries: list[Entry] = []
        self.findings: list[Finding] = []
        self.notes: list[Finding] = []
        self.counted_refusals_count = 0
        self.first_time: str | None = None
        self.last_time: str | None = None

    def take(self, record: Record, line_digest: str, number: int) -> None:
        """Take in the next record."""
        self.entries.append(Entry(line=number, digest=line_digest, seq=record.seq, prev=record.prev))
        self._check_genesis(record, number)
        self.name = record.shard if self.name is None else self.name
        if record.shard != self.name:
            self.find("foreign-shard", f"the log began as shard {self.name}", record, number)
        self._take_counted(record, number)
        self._note_time(record, number)

    def take_unreadable(self, line_digest: str, number: int, error: RecordError) -> None:
        """Take in a line that is no record."""
        self.entries.append(Entry(line=number, digest=line_digest, seq=None, prev=None))
        self.findings.append(Finding(code=error.code, message=str(error), line=number))

    def find(self, code: str, message: str, record: Record, number: int) -> None:
        """Keep a finding about a record."""
        self.findings.append(Finding(code=code, message=message, seq=record.seq, line=number))

    def find_in_genesis(self, code: str, message: str) -> None:
        """Keep a finding about the record that opened the chain."""
        if self.genesis is not None:
            self.find(code, message, *self.genesis)

    def _check_genesis(self, record: Record, number: int) -> None:
        opens, is_first = record.event == GENESIS_EVENT, len(self.entries) == 1
        if is_first and not opens:
            self.find("no-genesis", f"the first record must be {GENESIS_EVENT}", record, number)
        elif not is_first and opens:
            self.find("inserted", f"a second {GENESIS_EVENT} inside the log", record, number)
        elif opens and not _is_genesis_detail(record):
            message = (
                "its detail must be exactly the audit key's thumbprint, a salt, and the shards if there are several"
            )
            self.find("bad-genesis", message, record, number)
        elif opens:
            self.genesis = record, number

    def _take_counted(self, record: Record, number: int) -> None:
        if record.event != COUNTED_EVENT:
            return
        count = counted_refusals(record)
        if count is None:
            self.find("bad-count", "its detail must be two times and a number for each kind", record, number)
        else:
            self.counted_refusals_count += count

    def _note_time(self, record: Record, number: int) -> None:
        if self.last_time is not None and record.time < self.last_time:  # fixed width: text order is time order
            message = f"its time {record.time} is before that of an earlier record ({self.last_time})"
            self.notes.append(Finding(code="time-backwards", message=message, seq=record.seq, line=number))
        self.first_time = min(record.time, self.first_time or record.time)
        self.last_time = max(record.time, self.last_time or record.time)


class Shards:
    """The chains of a log, in the order in which they were met; there is always one, though it may be empty."""

    def __init__(self) -> None:
        self._all = [Shard()]
        self._by_name: dict[str, Shard] = {}
        self._declared: set[str] = set()
        self._current = self._all[0]

    def __iter__(self) -> Iterator[Shard]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def take(self, line: bytes, number: int) -> Record | None:
        """Take in the next line; return its record, or None where it is none."""
        try:
            record = parse_record(line)
        except RecordError as error:
            self._current.take_unreadable(digest(line), number, error)
            return None
        if record.event == GENESIS_EVENT:
            self._declared.update(_named(record))
        self._current = self._shard_of(record)
        self._current.take(record, digest(line), number)
        return record

    def belongs(self, name: str) -> bool:
        """Return whether a chain of that name is part of the log."""
        return name in self._by_name or name in self._declared or not self._by_name

    def check_together(self, trusted: Mapping[str, PublicKey]) -> list[Finding]:
        """Check that the chains began as one log, with a trusted key; return a finding for each that is not there."""
        known = next((shard.genesis[0].detail for shard in self._all if shard.genesis is not None), {})
        for shard in self._all:
            genesis = None if shard.genesis is None else shard.genesis[0]
            if genesis is None:
                continue
            if genesis.detail["audit_key"] not in trusted:
                shard.find_in_genesis("wrong-genesis-key", "it names another audit key than the one given")
            if any(genesis.detail.get(name) != known.get(name) for name in ("salt", _SHARDS)):
                message = "it has another salt, or names other shards, than the first shard: they are of two logs"
                shard.find_in_genesis("bad-genesis", message)
        message = "the others name it, but it has no record: it was removed"
        missing = sorted(self._declared - self._by_name.keys())
        return [Finding(code="missing-shard", message=message, shard=name) for name in missing]

    def _shard_of(self, record: Record) -> Shard:
        found = self._by_name.get(record.shard)
        if found is not None:
            return found
        if self._current.name is not None:
            if record.shard not in self._declared:
                return self._current
            self._all.append(Shard())
        self._by_name[record.shard] = self._all[-1]
        return self._all[-1]


def _named(genesis: Record) -> Sequence[str]:
    names = genesis.detail.get(_SHARDS)
    return names.split(" ") if isinstance(names, str) else ()


def _is_genesis_detail(record: Record) -> bool:
    names = _named(record)
    if _SHARDS in record.detail and (len(set(names)) != len(names) or len(names) < 2 or record.shard not in names):  # noqa: PLR2004 - several
        return False
    return record.detail.keys() - {_SHARDS} == _GENESIS_DETAIL_MEMBERS and is_sha256(record.detail["salt"])
