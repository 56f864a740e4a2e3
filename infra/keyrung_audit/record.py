"""One line of the log as a typed record: exact members, exact types, canonical bytes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from keyrung_audit.canonical import JsonValue, load_canonical
from keyrung_audit.errors import NotCanonicalError, RecordError

FORMAT_VERSION = 1
GENESIS_EVENT = "log.opened"
HAND_OVER_EVENT = "audit-key.handed-over"
# Stands for refusals that have no record of their own: its detail says how many of each event and reason, and when.
COUNTED_EVENT = "refusals.counted"
GENESIS_PREV = "0" * 64
# A record is a few hundred bytes; its attributes come from a request body that the verifier bounds far below this.
MAX_LINE_BYTES = 256 * 1024

LIFECYCLE_EVENTS = frozenset(
    {
        "key.claimed",
        "key.created",
        "key.adopted",
        "key.copied",
        "key.escrowed",
        "key.activated",
        "key.restored",
        "key.suspended",
        "key.resumed",
        "key.deactivated",
        "key.compromised",
        "key.destroyed",
        "key.released",
        "key.overdue",
        "key.missing",
        "key.altered",
        "key.foreign",
    }
)
EVENTS = LIFECYCLE_EVENTS | {
    GENESIS_EVENT,
    HAND_OVER_EVENT,
    COUNTED_EVENT,
    "policy.loaded",
    "policy.refused",
    "credential.added",
    "credential.revoked",
    "ticket.issued",
    "ticket.redeemed",
    "ticket.revoked",
    "access.evaluated",
    "challenge.created",
    "challenge.answered",
    "assertion.issued",
    "assertion.spent",
    "verifier.started",
    "verifier.stopped",
    "caller.refused",
}
OUTCOMES = frozenset({"allow", "step_up", "deny", "success", "refused"})

_HEX_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_COUNT = re.compile(r"[1-9][0-9]{0,15}", re.ASCII)
_REASON = re.compile(r"[a-z0-9_-]{1,64}", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUse:
    """The key generation that a record names."""

    uri: str
    generation: int
    state: str
    thumbprint: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The members of a line that checks and tables need; every member was checked when it was parsed."""

    shard: str
    seq: int
    prev: str
    time: str
    event: str
    outcome: str | None
    reason: str | None
    action: str | None
    rule_ids: tuple[str, ...]
    attributes: Mapping[str, JsonValue]
    factor: str | None
    key: KeyUse | None
    detail: Mapping[str, JsonValue]


def digest(line: bytes) -> str:
    """Return the hex SHA-256 by which the next record and a checkpoint name this line."""
    return hashlib.sha256(line).hexdigest()


def parse_record(line: bytes) -> Record:
    """Return the record of a line.

    Raises:
        RecordError: The line is too long, not canonical, or has other members or types than the format.
    """
    if len(line) > MAX_LINE_BYTES:
        raise RecordError(f"it is longer than {MAX_LINE_BYTES} bytes", code="too-long")
    try:
        value = load_canonical(line)
    except NotCanonicalError as error:
        raise RecordError(str(error), code="not-canonical") from error
    if not isinstance(value, dict):
        raise RecordError("it is not a JSON object", code="not-canonical")
    _check_members(value)
    return Record(
        shard=str(value["shard"]),
        seq=_integer(value["seq"]),
        prev=str(value["prev"]),
        time=str(value["time"]),
        event=str(value["event"]),
        outcome=_text(value["outcome"]),
        reason=_text(value["reason"]),
        action=_text(value["action"]),
        rule_ids=_texts(value["rule_ids"]),
        attributes=value["attributes"] if isinstance(value["attributes"], dict) else {},
        factor=_text(value["factor"]),
        key=_key_use(value["key"]),
        detail=value["detail"] if isinstance(value["detail"], dict) else {},
    )


def counted_refusals(record: Record) -> int | None:
    """Return how many refusals a record stands for, or None where its detail does not have that form."""
    counts = {kind: count for kind, count in record.detail.items() if kind not in {"since", "until"}}
    times = record.detail.get("since"), record.detail.get("until")
    if not counts or not all(map(_is_time, times)) or not all(map(_is_kind, counts)):
        return None
    numbers = [int(count) for count in counts.values() if isinstance(count, str) and _COUNT.fullmatch(count)]
    return sum(numbers) if len(numbers) == len(counts) else None


def _is_kind(text: str) -> bool:
    event, _, reason = text.partition(" ")
    return event in EVENTS and _REASON.fullmatch(reason) is not None


def parse_time(text: str) -> datetime | None:
    """Return the aware UTC time of the format's one spelling, or None where it is another or no date."""
    if not _TIME.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def is_sha256(value: JsonValue) -> bool:
    """Return whether the value is a lower-case hex SHA-256."""
    return isinstance(value, str) and _HEX_SHA256.fullmatch(value) is not None


def is_count(value: JsonValue) -> bool:
    """Return whether the value is an integer from 0 (true and false are not)."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_text(value: JsonValue) -> bool:
    return isinstance(value, str)


def _is_time(value: JsonValue) -> bool:
    return isinstance(value, str) and parse_time(value) is not None


def _is_texts(value: JsonValue) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_attributes(value: JsonValue) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str | int) or _is_texts(item) for item in value.values())


def _is_key(value: JsonValue) -> bool:
    if not isinstance(value, dict) or value.keys() != _KEY_MEMBERS.keys():
        return False
    return all(fits(value[name]) for name, fits in _KEY_MEMBERS.items())


def _or_null(check: Callable[[JsonValue], bool]) -> Callable[[JsonValue], bool]:
    return lambda value: value is None or check(value)


_KEY_MEMBERS: dict[str, Callable[[JsonValue], bool]] = {
    "uri": _is_text,
    "generation": is_count,
    "state": _is_text,
    "thumbprint": _or_null(_is_text),
}
_MEMBERS: dict[str, Callable[[JsonValue], bool]] = {
    "v": lambda value: is_count(value) and value == FORMAT_VERSION,
    "shard": _is_text,
    "seq": is_count,
    "prev": is_sha256,
    "time": _is_time,
    "event": lambda value: value in EVENTS if isinstance(value, str) else False,
    "outcome": _or_null(lambda value: value in OUTCOMES if isinstance(value, str) else False),
    "reason": _or_null(_is_text),
    "actor": _or_null(_is_text),
    "subject": _or_null(is_sha256),
    "session": _or_null(is_sha256),
    "action": _or_null(_is_text),
    "request_digest": _or_null(_is_text),
    "rule_ids": _is_texts,
    "policy_digest": _or_null(_is_text),
    "policy_version": _or_null(is_count),
    "factor": _or_null(_is_text),
    "credential_id": _or_null(_is_text),
    "key": _or_null(_is_key),
    "challenge": _or_null(is_sha256),
    "jti": _or_null(is_sha256),
    "correlation_id": _or_null(_is_text),
    "attributes": _is_attributes,
    "detail": _or_null(lambda value: isinstance(value, dict)),
}


def _check_members(value: Mapping[str, JsonValue]) -> None:
    unknown, missing = value.keys() - _MEMBERS.keys(), sorted(_MEMBERS.keys() - value.keys())
    if unknown:
        raise RecordError(f"it has {len(unknown)} unknown member(s)", code="unknown-member")
    if missing:
        raise RecordError(f"it lacks the member {missing[0]}", code="missing-member")
    for name, fits in _MEMBERS.items():
        if not fits(value[name]):
            raise RecordError(f"its member {name} has a value that the format does not allow", code="bad-value")


def _key_use(value: JsonValue) -> KeyUse | None:
    if not isinstance(value, dict):
        return None
    return KeyUse(
        uri=str(value["uri"]),
        generation=_integer(value["generation"]),
        state=str(value["state"]),
        thumbprint=_text(value["thumbprint"]),
    )


def _texts(value: JsonValue) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _integer(value: JsonValue) -> int:
    return value if isinstance(value, int) else 0


def _text(value: JsonValue) -> str | None:
    return value if isinstance(value, str) else None
