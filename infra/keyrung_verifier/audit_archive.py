"""The audit log's second place in AWS: new lines out of the table's stream become objects that are written once.

Everything here is pure. Whoever is handed a batch of the stream writes each run's lines, then signs and writes its
checkpoint. The same batch gives the same names, so a batch that comes twice changes nothing; what comes cut otherwise
repeats lines in another object, and the reader takes a repeated line once. A name ends in the hash of the last line,
which all lines of the run lead to: lines that take the numbers of others, as in a table that was restored, are kept
beside those and hide neither themselves nor them. What the verifier cannot have written is kept as well, apart from
the log and unsigned: it must stop neither the archive nor its own discovery.
"""

import base64
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from keyrung_verifier.store.dynamodb_table import AUDIT_PARTITION, LINE_ATTRIBUTE, PARTITION_KEY, SORT_KEY
from keyrung_verifier.store.protocol import Tail

LINES_PREFIX = "lines/"
CHECKPOINTS_PREFIX = "checkpoints/"
UNLINKED_PREFIX = "unlinked/"
_SHARD = re.compile("[0-9]{2,4}", re.ASCII)
_NUMBER = re.compile("[0-9]{16}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Lines of one chain without a gap."""

    shard: str
    first_seq: int
    lines: Sequence[bytes] = field(repr=False)

    @property
    def tail(self) -> Tail:
        """Return what a checkpoint over the run is to state (see `checkpoints.sign_checkpoint`)."""
        return Tail(self.shard, self.first_seq + len(self.lines) - 1, hashlib.sha256(self.lines[-1]).hexdigest())

    @property
    def lines_name(self) -> str:
        """Return the name of the object of lines."""
        return f"{LINES_PREFIX}{self._name}"

    @property
    def unlinked_name(self) -> str:
        """Return the name of the object of lines that are not linked; a reader of the whole archive finds the break."""
        return f"{UNLINKED_PREFIX}{self._name}"

    @property
    def _name(self) -> str:
        return f"{self.shard}/{self.first_seq:016d}-{self.tail.seq:016d}-{self.tail.hash}.jsonl"

    @property
    def checkpoint_name(self) -> str:
        """Return the name of the object with the checkpoint."""
        return f"{CHECKPOINTS_PREFIX}{self.shard}/{self.tail.seq:016d}-{self.tail.hash}.jws"

    @property
    def body(self) -> bytes:
        """Return the object of lines."""
        return b"".join(line + b"\n" for line in self.lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a batch of the stream says about the log.

    Attributes:
        runs: What is to be archived, chain by chain; each line is linked to the one before.
        unlinked: Runs with a line that does not stand where it says, or is not linked: nothing may be signed over them.
        altered: Lines that somebody changed or removed in the table, and items under keys that no line has, as
            `PARTITION NUMBER`; nothing of ours does that.
    """

    runs: Sequence[Run]
    unlinked: Sequence[Run]
    altered: Sequence[str]


def read_batch(records: Iterable[Mapping[str, Any]]) -> Batch:
    """Return what the records of a DynamoDB stream (new images) say about the audit log; others are passed over."""
    lines: defaultdict[str, dict[int, bytes]] = defaultdict(dict)
    altered: list[str] = []
    for record in records:
        keys = record["dynamodb"]["Keys"]
        partition, number = keys[PARTITION_KEY]["S"], keys[SORT_KEY]["S"]
        if not partition.startswith(AUDIT_PARTITION):
            continue
        shard = partition.removeprefix(AUDIT_PARTITION)
        named = _SHARD.fullmatch(shard) and _NUMBER.fullmatch(number)
        if named and record["eventName"] == "INSERT":
            lines[shard][int(number)] = _line(record["dynamodb"]["NewImage"])
        else:
            altered.append(f"{partition!a} {number!a}")
    found = [run for shard in sorted(lines) for run in _runs(shard, lines[shard])]
    linked = [_is_linked(run) for run in found]
    return Batch(
        runs=[run for run, good in zip(found, linked, strict=True) if good],
        unlinked=[run for run, good in zip(found, linked, strict=True) if not good],
        altered=altered,
    )


def _runs(shard: str, lines: Mapping[int, bytes]) -> Iterator[Run]:
    numbers = sorted(lines)
    gaps = [later for earlier, later in pairwise(numbers) if later != earlier + 1]
    starts = [*numbers[:1], *gaps]
    for first, after in zip(starts, [*gaps, numbers[-1] + 1], strict=True):
        yield Run(shard=shard, first_seq=first, lines=[lines[seq] for seq in numbers if first <= seq < after])


def _is_linked(run: Run) -> bool:
    """Read back what is to be signed: a head must not vouch for lines that do not lead to it."""
    previous: str | None = None
    for seq, line in enumerate(run.lines, start=run.first_seq):
        try:
            record = json.loads(line)
            stands = (record["shard"], record["seq"]) == (run.shard, seq) and previous in {None, record["prev"]}
        except (ValueError, KeyError, TypeError):
            stands = False
        if not stands:
            return False
        previous = hashlib.sha256(line).hexdigest()
    return True


def _line(image: Mapping[str, Any]) -> bytes:
    try:
        return base64.b64decode(image[LINE_ATTRIBUTE]["B"], validate=True)
    except (KeyError, TypeError, ValueError):  # no line of the verifier's: linked to nothing
        return b""
