"""The rule about the audit log's archive: nobody can change or remove what was written."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

AUDIT_TRAIL = "keyrung:index:AuditTrail"
LOCK = "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What the rule sees of a resource: its own URN, its parent's, its type and its properties."""

    urn: str
    parent_urn: str | None
    type: str
    props: Mapping[str, Any]


def archives_are_locked(resources: Sequence[Resource]) -> Iterator[tuple[str, str]]:
    """Refuse an audit trail without a retention that nobody shortens; yield each message with the trail's URN."""
    for trail in resources:
        if trail.type != AUDIT_TRAIL:
            continue
        retentions = [
            _default_retention(lock.props) for lock in resources if lock.type == LOCK and lock.parent_urn == trail.urn
        ]
        if not any(retention.get("days") or retention.get("years") for retention in retentions):
            yield "the archive of the audit log is not locked; give its bucket a default retention", trail.urn
        elif any(retention.get("mode") != "COMPLIANCE" for retention in retentions):
            yield "an administrator can shorten the archive's retention; set its lock mode to COMPLIANCE", trail.urn


def _default_retention(props: Mapping[str, Any]) -> Mapping[str, Any]:
    rule = props.get("rule") or {}
    return rule.get("defaultRetention") or {}
