"""One line of the audit log: its members are a closed list, so that a code, a seed or a token has no place to stand."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from keyrung_policies.model import Value


class Line(Struct, frozen=True, kw_only=True):
    """The members in the log's own spelling; subjects and sessions are keyed hashes, challenges and jti hashes."""

    v: int
    shard: str
    seq: int
    prev: str
    time: str
    event: str
    outcome: str | None
    reason: str | None
    actor: str | None
    subject: str | None
    session: str | None
    action: str | None
    request_digest: str | None
    rule_ids: Sequence[str]
    policy_digest: str | None
    policy_version: int | None
    factor: str | None
    credential_id: str | None
    key: Mapping[str, str | int | None] | None
    challenge: str | None
    jti: str | None
    correlation_id: str | None
    attributes: Mapping[str, Value]
    detail: Mapping[str, str]
