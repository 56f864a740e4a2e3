"""The whole check as a pure function: lines, checkpoints and public keys in, a report out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from keyrung_audit.chain import Entry, find_breaks
from keyrung_audit.checkpoints import Checkpoint, compare, open_checkpoint
from keyrung_audit.errors import CheckpointError, PublicKeyError
from keyrung_audit.handover import HandOver, hand_over, trusted_keys
from keyrung_audit.keys import PublicKey
from keyrung_audit.pair import KeyHistory
from keyrung_audit.report import ChainEnd, Finding, Report
from keyrung_audit.shards import Shard, Shards


def verify(lines: Iterable[bytes], checkpoints: Iterable[bytes], keys: Sequence[PublicKey]) -> Report:
    """Return what is wrong with a log, and what it holds.

    Found are lines that were altered, dropped, swapped, inserted or cut off, histories that were forked or rolled
    back, signatures and signers that don't fit, and uses of keys that the log doesn't bear out. Two limits: records
    after the newest checkpoint are chained but not signed yet (`Report.unsigned_count`), and an old copy of the log
    put back together with an equally old copy of the checkpoints is seen only by who remembers a later head.

    The lines may be of one chain or of several, each chain's in its order. Each names all of them, so one that is
    left out is found. One generation of the audit key is enough: a hand-over that a good checkpoint covers leads to
    the others.

    Raises:
        PublicKeyError: No key was given, so nothing could vouch for the log.
    """
    if not keys:
        raise PublicKeyError("Give the public audit key: without it nothing vouches for the log.")
    shards, history, statements = Shards(), KeyHistory(), list(checkpoints)
    hand_overs, hand_over_findings = _read(lines, shards, history)
    digests = {
        (shard.name, entry.seq): entry.digest for shard in shards for entry in shard.entries if entry.seq is not None
    }
    trusted = trusted_keys(keys, hand_overs, statements, digests)
    good, findings = _open_all(statements, trusted)
    findings += hand_over_findings + shards.check_together(trusted) + _foreign(good, shards)
    pair_findings, keys_count = history.judge(one_chain=len(shards) == 1)
    notes: list[Finding] = []
    ends: list[ChainEnd] = []
    for shard in shards:
        own = [checkpoint for checkpoint in good if shard.name in {None, checkpoint.shard}]
        found, end = _check(shard, own)
        where = shard.name if len(shards) > 1 else None
        findings += [replace(finding, shard=where) for finding in found]
        notes += [replace(note, shard=where) for note in shard.notes + _late_checkpoints(own)]
        ends.append(end)
    return Report(
        records_count=sum(len(shard.entries) for shard in shards),
        checkpoints_count=len(good),
        first_time=min((shard.first_time for shard in shards if shard.first_time), default=None),
        last_time=max((shard.last_time for shard in shards if shard.last_time), default=None),
        chains=tuple(ends),
        counted_refusals_count=sum(shard.counted_refusals_count for shard in shards),
        key_generations_count=keys_count,
        findings=tuple(sorted(findings + pair_findings, key=_place)),
        notes=tuple(notes),
    )


def _read(lines: Iterable[bytes], shards: Shards, history: KeyHistory) -> tuple[list[HandOver], list[Finding]]:
    """Read all lines once; return the hand-overs of the audit key, and those that are none."""
    found: list[HandOver] = []
    findings: list[Finding] = []
    for number, line in enumerate(lines, start=1):
        record = shards.take(line, number)
        if record is None:
            continue
        history.observe(record, number)
        try:
            handed = hand_over(record)
        except PublicKeyError as error:
            findings.append(Finding(code="bad-hand-over", message=str(error), seq=record.seq, line=number))
            continue
        if handed is not None:
            found.append(handed)
    return found, findings


def _check(shard: Shard, checkpoints: Sequence[Checkpoint]) -> tuple[list[Finding], ChainEnd]:
    """Return what is wrong with one chain, and what it ends in."""
    compared, signed_seq = compare(shard.entries, checkpoints)
    findings = shard.findings + find_breaks(shard.entries) + compared
    if not shard.entries:
        findings.append(Finding(code="empty", message="the log has no record, not even the one that opens it"))
    if not checkpoints:
        findings.append(
            Finding(code="unsigned", message="no good checkpoint covers this log: anybody could have written it")
        )
    head = max((entry for entry in shard.entries if entry.seq is not None), key=_seq_of, default=None)
    end = ChainEnd(
        shard=shard.name,
        head_seq=None if head is None else head.seq,
        head=None if head is None else head.digest,
        signed_seq=signed_seq,
    )
    return findings, end


def _foreign(checkpoints: Sequence[Checkpoint], shards: Shards) -> list[Finding]:
    return [
        Finding(code="bad-checkpoint", message="it is of another log (shard)", checkpoint_line=checkpoint.line)
        for checkpoint in checkpoints
        if not shards.belongs(checkpoint.shard)
    ]


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
