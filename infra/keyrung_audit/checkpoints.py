"""Signed checkpoints: each line a compact JWS of the audit key over a sequence number and the hash of that record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from keyrung_audit.canonical import JsonValue, decode_base64url, load_canonical
from keyrung_audit.chain import Entry
from keyrung_audit.errors import CheckpointError, NotCanonicalError
from keyrung_audit.keys import PublicKey
from keyrung_audit.record import FORMAT_VERSION, is_count, is_sha256, parse_time
from keyrung_audit.report import Finding

TYPE = "audit-checkpoint+jws"
# A checkpoint is about 400 bytes; 4 KiB leaves room and bounds what is decoded before the signature is checked.
MAX_CHECKPOINT_BYTES = 4096
_JWS_PARTS = 3
_HEADER_MEMBERS = {"alg", "kid", "typ"}
_PAYLOAD_MEMBERS = {"v", "shard", "seq", "head", "time"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a good signature of `key_id` says: the record `seq` of `shard` has the hash `head`."""

    line: int
    key_id: str
    shard: str
    seq: int
    head: str
    time: str


def open_checkpoint(data: bytes, *, line: int, keys: Mapping[str, PublicKey]) -> Checkpoint:
    """Return what the checkpoint states, after its signature was checked.

    Raises:
        CheckpointError: The form is not exact, the signer is unknown, or the signature is wrong.
    """
    if len(data) > MAX_CHECKPOINT_BYTES:
        raise CheckpointError(f"it is longer than {MAX_CHECKPOINT_BYTES} bytes", code="bad-checkpoint")
    try:
        parts = data.decode("ascii").split(".")
        if len(parts) != _JWS_PARTS:
            raise CheckpointError("it is not a compact JWS", code="bad-checkpoint")
        header = load_canonical(decode_base64url(parts[0]))
        payload_bytes, signature = decode_base64url(parts[1]), decode_base64url(parts[2])
    except (UnicodeDecodeError, NotCanonicalError) as error:
        raise CheckpointError("it is not a compact JWS in its one spelling", code="bad-checkpoint") from error
    key = _signer(header, keys)
    if not key.verifies(signature, f"{parts[0]}.{parts[1]}".encode("ascii")):  # RFC 7515 5.2 step 8
        raise CheckpointError("its signature is wrong", code="bad-signature")
    return _statement(payload_bytes, line, key.key_id)


def _signer(header: JsonValue, keys: Mapping[str, PublicKey]) -> PublicKey:
    # The exact member set refuses `crit`, `jwk`, `jku` and every other way to bring a key along (RFC 8725 3.10).
    if not isinstance(header, dict) or header.keys() != _HEADER_MEMBERS or header["typ"] != TYPE:
        raise CheckpointError(f"its header must be exactly alg, kid and typ {TYPE}", code="bad-checkpoint")
    key_id = header["kid"]
    key = keys.get(key_id) if isinstance(key_id, str) else None
    if key is None:
        raise CheckpointError("its signer is none of the given keys", code="unknown-signer")
    if header["alg"] != key.algorithm:  # RFC 8725 3.1: the key decides, never the header
        raise CheckpointError("it names another algorithm than its key has", code="bad-checkpoint")
    return key


def _statement(payload_bytes: bytes, line: int, key_id: str) -> Checkpoint:
    try:
        payload = load_canonical(payload_bytes)
    except NotCanonicalError as error:
        raise CheckpointError("its payload is not canonical", code="bad-checkpoint") from error
    if not isinstance(payload, dict) or payload.keys() != _PAYLOAD_MEMBERS:
        raise CheckpointError("its payload has other members than the format", code="bad-checkpoint")
    shard, seq, head, time = payload["shard"], payload["seq"], payload["head"], payload["time"]
    if (
        not is_count(payload["v"])
        or payload["v"] != FORMAT_VERSION
        or not isinstance(shard, str)
        or not is_count(seq)
        or not is_sha256(head)
        or not isinstance(time, str)
        or parse_time(time) is None
    ):
        raise CheckpointError("its payload has a value that the format does not allow", code="bad-checkpoint")
    return Checkpoint(line=line, key_id=key_id, shard=shard, seq=int(str(seq)), head=str(head), time=time)


def compare(entries: Sequence[Entry], own: Sequence[Checkpoint]) -> tuple[list[Finding], int | None]:
    """Return what the signed checkpoints of a chain say against it, and the newest record that one of them covers."""
    digests: defaultdict[int, set[str]] = defaultdict(set)
    for entry in entries:
        if entry.seq is not None:
            digests[entry.seq].add(entry.digest)
    last_seq = max(digests, default=-1)
    findings: list[Finding] = []
    ahead = [checkpoint for checkpoint in own if checkpoint.seq > last_seq]
    agreeing = [checkpoint for checkpoint in own if checkpoint.head in digests.get(checkpoint.seq, ())]
    differing = [
        checkpoint
        for checkpoint in own
        if checkpoint.seq <= last_seq and checkpoint.head not in digests.get(checkpoint.seq, ())
    ]
    signed_seq = max((checkpoint.seq for checkpoint in agreeing), default=None)
    findings += _contradictions(own)
    findings += _truncation(ahead, last_seq)
    findings += _forks(differing, signed_seq, entries)
    return findings, signed_seq


def _truncation(ahead: Sequence[Checkpoint], last_seq: int) -> list[Finding]:
    if not ahead:
        return []
    newest = max(ahead, key=lambda checkpoint: checkpoint.seq)
    message = (
        f"the log ends at number {last_seq}, but a signed checkpoint is ahead of it at number {newest.seq}: "
        f"{newest.seq - last_seq} record(s) were cut off, or an older copy was put back"
    )
    return [
        Finding(code="truncated", message=message, seq=last_seq if last_seq >= 0 else None, checkpoint_line=newest.line)
    ]


def _forks(differing: Sequence[Checkpoint], signed_seq: int | None, entries: Sequence[Entry]) -> list[Finding]:
    """Return one finding for all checkpoints that name another record than the log has: they share a cause."""
    if not differing:
        return []
    first = min(differing, key=lambda checkpoint: checkpoint.seq)
    agreed = max((seq for seq in [signed_seq] if seq is not None and seq < first.seq), default=-1)
    place = f"number {first.seq}" if agreed == first.seq - 1 else f"numbers {agreed + 1} to {first.seq}"
    message = f"the record signed as number {first.seq} is not the one in the log: {place} was altered or replaced"
    lines = [entry.line for entry in entries if entry.seq == first.seq]
    return [
        Finding(
            code="forked", message=message, seq=first.seq, line=lines[0] if lines else None, checkpoint_line=first.line
        )
    ]


def _contradictions(checkpoints: Iterable[Checkpoint]) -> list[Finding]:
    """Return where the signer contradicts itself: two heads for one number, or a later statement about less."""
    findings: list[Finding] = []
    newest: Checkpoint | None = None
    heads: dict[int, Checkpoint] = {}
    for checkpoint in checkpoints:
        earlier = heads.setdefault(checkpoint.seq, checkpoint)
        if earlier.head != checkpoint.head:
            message = f"it and checkpoint line {earlier.line} sign two different records as number {checkpoint.seq}"
            findings.append(
                Finding(code="forked", message=message, seq=checkpoint.seq, checkpoint_line=checkpoint.line)
            )
        if newest is not None and checkpoint.seq < newest.seq:
            message = (
                f"it covers records up to {checkpoint.seq}, but checkpoint line {newest.line} before it covered up to "
                f"{newest.seq}: the writer went on from an older copy, or the checkpoint lines were moved"
            )
            findings.append(
                Finding(code="rolled-back", message=message, seq=checkpoint.seq, checkpoint_line=checkpoint.line)
            )
        else:
            newest = checkpoint
    return findings
