"""What a commit does to the table: the parts of one transaction, planned write by write.

All conditions of a transaction are judged against what stood before it. A few writes first look up whose a thing is,
which never changes, or how many a subject holds: then a guard item makes the transaction fail, to be planned anew, if
another one was added meanwhile.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from keyrung_verifier.limits import MAX_CREDENTIALS_PER_FACTOR
from keyrung_verifier.store.dynamodb_items import Key, Plain, encode_all, encode_key
from keyrung_verifier.store.protocol import Write

NEW = "attribute_not_exists(pk)"
THERE = "attribute_exists(pk)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a transaction does to one item.

    Attributes:
        action: `Put`, `Update` or `ConditionCheck`.
        condition: Must hold of what stood before.
        change: The update expression of an `Update`.
        values: The placeholders of condition and change.
        item: The attributes of a `Put`.
        guards: Whether a failed condition means that the plan is out of date, not that the write is refused.
    """

    action: str
    key: Key
    condition: str | None = None
    change: str | None = None
    values: Mapping[str, Plain] = field(default_factory=dict)
    item: Mapping[str, Plain | None] = field(default_factory=dict)
    guards: bool = False

    def request(self, table: str) -> dict[str, Any]:
        """Return the part as TransactWriteItems takes it."""
        body: dict[str, Any] = {"TableName": table}
        if self.action == "Put":
            body["Item"] = encode_key(self.key) | encode_all(self.item)
        else:
            body["Key"] = encode_key(self.key)
        if self.change is not None:
            body["UpdateExpression"] = self.change
        if self.condition is not None:
            body["ConditionExpression"] = self.condition
        if self.values:
            body["ExpressionAttributeValues"] = encode_all(self.values)
        return {self.action: body}


class Lookup(Protocol):
    """What a plan may read first."""

    def item(self, key: Key) -> Mapping[str, Any] | None:
        """Return an item as it stands now."""
        ...

    def items(self, partition: str, prefix: str) -> Iterable[Mapping[str, Any]]:
        """Return the items of a partition whose sort key begins so, in the order of their sort keys."""
        ...

    def located(self, key: Key) -> Mapping[str, Any] | None:
        """Return a locator, which never changes."""
        ...


@dataclass(slots=True)
class Plan:
    """The parts of one commit so far, each with the write that it belongs to."""

    lookup: Lookup
    parts: dict[Key, tuple[Part, Write]] = field(default_factory=dict)

    def add(self, part: Part, write: Write) -> None:
        """Add a part of a write.

        Raises:
            ValueError: It changes a thing that an earlier part of the commit changes.
        """
        found = self.parts.get(part.key)
        if found is None or _covers(part, found[0]):
            self.parts[part.key] = part, write if found is None else found[1]
        elif not _covers(found[0], part):
            raise ValueError(f"two writes of one commit change {part.key[1]}; commit them one after the other")

    def guard(self, subject_id: str, kind: str, factor: str, *, room: Callable[[Mapping[str, Any]], bool]) -> Part:
        """Return the part that fails unless the subject may hold one more of the factor.

        Args:
            subject_id: Whose.
            kind: `credential` or `ticket`.
            factor: Which.
            room: Whether an item takes up room.
        """
        key = (subject_key(subject_id), f"{kind}!guard#{factor}")
        # The guard sorts before what it guards, so it is never newer than the count.
        found = list(self.lookup.items(key[0], kind))
        held = sum(item["factor_name"] == factor and room(item) for item in found if "factor_name" in item)
        held += sum(
            part.item.get("factor_name") == factor
            for part, _ in self.parts.values()
            if part.key[0] == key[0] and part.key[1].startswith(f"{kind}#")
        )
        revision = next((item["guard_revision"] for item in found if item["sk"] == key[1]), 0)
        if held >= MAX_CREDENTIALS_PER_FACTOR:
            return Part(action="ConditionCheck", key=(key[0], "never"), condition=THERE)
        return Part(
            action="Update",
            key=key,
            condition="guard_revision = :before" if revision else NEW,
            change="SET guard_revision = :after",
            values={":after": revision + 1, **({":before": revision} if revision else {})},
            guards=True,
        )


def subject_key(subject_id: str) -> str:
    """Return the partition of what is about a subject."""
    return f"subject#{subject_id}"


def credential_locator(credential_id: str) -> Key:
    """Return where it says whose a credential is."""
    return f"credential#{credential_id}", "locator"


def ticket_locator(ticket_hash: str) -> Key:
    """Return where it says whose a ticket is."""
    return f"ticket#{ticket_hash}", "locator"


def challenge_key(challenge_hash: str) -> Key:
    """Return the key of a challenge."""
    return f"challenge#{challenge_hash}", "challenge"


def _covers(part: Part, other: Part) -> bool:
    """Return whether doing the one does all that the other is to do."""
    return part == other or (other.action == "ConditionCheck" and part.condition == other.condition)
