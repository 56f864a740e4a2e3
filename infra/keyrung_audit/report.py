"""What a check of a log found: facts about it, findings that make it untrustworthy, and notes that don't."""

from __future__ import annotations

from dataclasses import dataclass

REPORT_FORMAT = "keyrung-audit-report/v2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, and where: the sequence number, and the line of the log or checkpoint file (from 1).

    `shard` names the chain where the log has several.
    """

    code: str
    message: str
    seq: int | None = None
    line: int | None = None
    checkpoint_line: int | None = None
    shard: str | None = None

    def to_json(self) -> dict[str, object]:
        """Return the finding as JSON members."""
        return {
            "code": self.code,
            "message": self.message,
            "seq": self.seq,
            "line": self.line,
            "checkpoint_line": self.checkpoint_line,
            "shard": self.shard,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainEnd:
    """What a chain of the log ends in."""

    shard: str | None
    head_seq: int | None
    head: str | None
    signed_seq: int | None  # the newest record that a good checkpoint covers

    @property
    def unsigned_count(self) -> int:
        """How many records at the end are chained, but not yet under a signed checkpoint."""
        if self.head_seq is None:
            return 0
        return self.head_seq - (-1 if self.signed_seq is None else self.signed_seq)

    def to_json(self) -> dict[str, object]:
        """Return the end as JSON members."""
        return {"shard": self.shard, "head_seq": self.head_seq, "head": self.head, "signed_seq": self.signed_seq}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of one check; only `ok` says that the log holds."""

    records_count: int
    checkpoints_count: int
    first_time: str | None
    last_time: str | None
    chains: tuple[ChainEnd, ...]
    key_generations_count: int
    findings: tuple[Finding, ...]
    notes: tuple[Finding, ...]
    counted_refusals_count: int = 0  # refusals without a record of their own, which another record counts

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    @property
    def unsigned_count(self) -> int:
        """How many records at the ends are chained, but not yet under a signed checkpoint."""
        return sum(chain.unsigned_count for chain in self.chains)

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON members, versioned by `format`."""
        return {
            "format": REPORT_FORMAT,
            "ok": self.ok,
            "records": self.records_count,
            "counted_refusals": self.counted_refusals_count,
            "checkpoints": self.checkpoints_count,
            "first_time": self.first_time,
            "last_time": self.last_time,
            "chains": [chain.to_json() for chain in self.chains],
            "unsigned_records": self.unsigned_count,
            "key_generations": self.key_generations_count,
            "findings": [finding.to_json() for finding in self.findings],
            "notes": [note.to_json() for note in self.notes],
        }
