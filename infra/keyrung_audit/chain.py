"""Where the chain of lines breaks, and what kind of change the break looks like."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from keyrung_audit.record import GENESIS_PREV
from keyrung_audit.report import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line as the chain sees it; `seq` is None where the line is no record."""

    line: int
    digest: str
    seq: int | None
    prev: str | None


_START = Entry(line=0, digest=GENESIS_PREV, seq=-1, prev=None)


class _Links:
    """Which line has a digest, and which lines name it as the one before them."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.line_of: dict[str, int] = {}
        self.followers: defaultdict[str, list[Entry]] = defaultdict(list)
        for entry in entries:
            self.line_of.setdefault(entry.digest, entry.line)
            if entry.prev is not None:
                self.followers[entry.prev].append(entry)


def find_breaks(entries: Sequence[Entry]) -> list[Finding]:
    """Return a finding for every place where a line does not follow the one before it.

    A line that is no record has its own finding already; the hole that it leaves is not reported twice.
    """
    links = _Links(entries)
    findings: list[Finding] = []
    last, unreadable_count = _START, 0
    for entry in entries:
        if entry.seq is None:
            unreadable_count += 1
            continue
        finding, belongs = _judge(entry, last, unreadable_count, links)
        if finding is not None:
            findings.append(finding)
        if belongs:
            last, unreadable_count = entry, 0
    return _without_repeats(findings)


def _judge(entry: Entry, last: Entry, unreadable_count: int, links: _Links) -> tuple[Finding | None, bool]:
    """Return what is wrong with the step from `last` to `entry`, and whether `entry` is part of the history."""
    if entry.prev == last.digest:
        return _judge_number(entry, last), True
    if links.line_of[entry.digest] != entry.line:
        return _finding("inserted", entry, f"it repeats line {links.line_of[entry.digest]}"), False
    if unreadable_count:
        return _judge_after_unreadable(entry, last, unreadable_count), True
    if entry.prev in links.line_of or (entry.prev == GENESIS_PREV and last is not _START):
        return _judge_order(entry, last, links), True
    if any(follower.line > entry.line for follower in links.followers[last.digest]):
        return _finding("inserted", entry, f"the record that follows line {last.line} comes after it"), False
    return _judge_unknown_predecessor(entry, last, links), True


def _judge_number(entry: Entry, last: Entry) -> Finding | None:
    if _number(entry) == _number(last) + 1:
        return None
    message = f"number {entry.seq} follows number {last.seq}, though the hashes agree"
    return _finding("sequence-gap", entry, message)


def _judge_after_unreadable(entry: Entry, last: Entry, unreadable_count: int) -> Finding | None:
    """Return a finding only where the unreadable lines before `entry` don't explain the hole by themselves."""
    if _number(entry) == _number(last) + unreadable_count + 1:
        return None
    message = f"number {entry.seq} follows number {last.seq} with {unreadable_count} unreadable line(s) between"
    return _finding("dropped", entry, message)


def _judge_order(entry: Entry, last: Entry, links: _Links) -> Finding:
    """Return the finding for a record whose predecessor is in the log, but not just before it."""
    before = links.line_of.get(entry.prev or "", 0)
    if len(links.followers[entry.prev or ""]) > 1:
        return _finding("forked", entry, f"two records claim to follow line {before}: two histories")
    return _finding("swapped", entry, f"it stands after line {last.line}, but the record before it is line {before}")


def _judge_unknown_predecessor(entry: Entry, last: Entry, links: _Links) -> Finding:
    """Return the finding for a record whose predecessor is nowhere in the log."""
    if _number(entry) > _number(last) + 1:
        missing = _number(entry) - _number(last) - 1
        return _finding(
            "dropped", entry, f"{missing} record(s) before it, from number {_number(last) + 1} on, are gone"
        )
    if _number(entry) <= _number(last):
        return _finding("inserted", entry, f"it comes after number {last.seq} and follows no record of this log")
    if last is not _START and links.followers[entry.digest]:  # the line after it vouches for it, so not it changed
        return _finding("altered", last, f"record {entry.seq} was chained to another content of it (prev mismatch)")
    message = (
        f"its `prev` does not name line {last.line} (prev mismatch) and nothing vouches for it: it or that line changed"
    )
    return _finding("altered", entry, message)


def _number(entry: Entry) -> int:
    return -1 if entry.seq is None else entry.seq


def _finding(code: str, entry: Entry, message: str) -> Finding:
    return Finding(code=code, message=message, seq=entry.seq, line=entry.line)


def _without_repeats(findings: Sequence[Finding]) -> list[Finding]:
    """Return one finding for each code and line: a line altered in its `prev` breaks the link on both sides."""
    first: dict[tuple[str, int | None], Finding] = {}
    for finding in findings:
        first.setdefault((finding.code, finding.line), finding)
    return list(first.values())
