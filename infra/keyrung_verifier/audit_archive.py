"""The audit log's second place in AWS: new lines out of the table's stream become objects that are written once.

Everything here is pure. Whoever is handed a batch of the stream writes each run's lines, then signs and writes its
checkpoint. The same batch gives the same names, so a batch that comes twice changes nothing; what comes cut otherwise
repeats lines in another object, and the reader takes a repeated line once. A name ends in the hash of the last line,
which all lines of the run lead to: lines that take the numbers of others, as in a table that was restored, are kept
beside those and hide neither themselves nor them.
"""

import base64
import binascii
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from keyrung_verifier.errors import AuditTailError
from keyrung_verifier.store.dynamodb_table import AUDIT_PARTITION, LINE_ATTRIBUTE, PARTITION_KEY, SORT_KEY
from keyrung_verifier.store.protocol import Tail

LINES_PREFIX = "lines/"
CHECKPOINTS_PREFIX = "checkpoints/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Lines of one chain without a gap, each linked to the one before."""

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
        return f"{LINES_PREFIX}{self.shard}/{self.first_seq:016d}-{self.tail.seq:016d}-{self.tail.hash}.jsonl"

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
        runs: What is to be archived, chain by chain.
        altered: Lines that somebody changed or removed in the table, as `SHARD NUMBER`; nothing of ours does that.
    """

    runs: Sequence[Run]
    altered: Sequence[str]


def read_batch(records: Iterable[Mapping[str, Any]]) -> Batch:
    """Return what the records of a DynamoDB stream (new images) say about the audit log; other items are passed over.

    Raises:
        AuditTailError: A line does not stand where it says, or is not linked to the one before it.
    """
    lines: defaultdict[str, dict[int, bytes]] = defaultdict(dict)
    altered: list[str] = []
    for record in records:
        keys = record["dynamodb"]["Keys"]
        partition, number = keys[PARTITION_KEY]["S"], keys[SORT_KEY]["S"]
        if not partition.startswith(AUDIT_PARTITION):
            continue
        shard = partition.removeprefix(AUDIT_PARTITION)
        if record["eventName"] == "INSERT":
            lines[shard][int(number)] = _line(record["dynamodb"]["NewImage"])
        else:
            altered.append(f"{shard} {int(number)}")
    return Batch(runs=[run for shard in sorted(lines) for run in _runs(shard, lines[shard])], altered=altered)


def _runs(shard: str, lines: Mapping[int, bytes]) -> Iterator[Run]:
    numbers = sorted(lines)
    gaps = [later for earlier, later in pairwise(numbers) if later != earlier + 1]
    starts = [*numbers[:1], *gaps]
    for first, after in zip(starts, [*gaps, numbers[-1] + 1], strict=True):
        run = Run(shard=shard, first_seq=first, lines=[lines[seq] for seq in numbers if first <= seq < after])
        _check(run)
        yield run


def _check(run: Run) -> None:
    """Read back what is to be signed: a head must not vouch for lines that do not lead to it."""
    previous: str | None = None
    for seq, line in enumerate(run.lines, start=run.first_seq):
        try:
            record = json.loads(line)
            stands = (record["shard"], record["seq"]) == (run.shard, seq) and previous in {None, record["prev"]}
        except (ValueError, KeyError, TypeError):
            stands = False
        if not stands:
            raise AuditTailError(
                f"line {seq} of shard {run.shard} is not linked to the log; run `keyrung audit verify`"
            )
        previous = hashlib.sha256(line).hexdigest()


def _line(image: Mapping[str, Any]) -> bytes:
    try:
        return base64.b64decode(image[LINE_ATTRIBUTE]["B"], validate=True)
    except (KeyError, TypeError, binascii.Error) as error:
        raise AuditTailError("an item of the audit log holds no line; run `keyrung audit verify`") from error
