"""The inventory in a table of DynamoDB, for a stack that is deployed from machines that come and go.

``dynamodb:table=TABLE;region=REGION`` names it. Whoever runs `pulumi up` or `keyrung key` needs GetItem, Query, PutItem
and DeleteItem on that table; the verifier needs nothing of it.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime

from keyrung_infra.errors import InfraError
from keyrung_infra.inventory import changes
from keyrung_infra.inventory.dynamodb_items import (
    event_item,
    event_of,
    position_key,
    row_item,
    row_key,
    row_of,
    statement_item,
    statement_of,
    uri_item,
)
from keyrung_infra.inventory.dynamodb_table import Item, Table, Write
from keyrung_provisioners.api import Custody, KeyDescription
from keyrung_provisioners.evidence import statement
from keyrung_provisioners.inventory import Claim, CustodyEvent, KeyEvent, KeyRow, Origin, Statement
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import KeyUri

# Names of tables and regions as AWS allows them.
_URI = re.compile(r"dynamodb:table=(?P<table>[A-Za-z0-9_.-]{3,255});region=(?P<region>[a-z]{2}(-[a-z]+)+-[0-9]+)")


class DynamoInventory:
    """An `Inventory` in one table; safe for many processes on many machines."""

    def __init__(self, table: Table) -> None:
        """Use ``table``; nothing is asked yet."""
        self._table = table

    @classmethod
    def parse(cls, uri: str) -> "DynamoInventory":
        """Return the inventory that ``uri`` names; raise `InfraError` if it names none."""
        found = _URI.fullmatch(uri)
        if found is None:
            raise InfraError(f"{uri} names no inventory", fix="write dynamodb:table=TABLE;region=REGION")
        return cls(Table.open(found["table"], found["region"]))

    def exclusive(self, owner: str, generation: int) -> AbstractContextManager[None]:
        """Hold a lock of this claim; it is over when its holder renews it no more."""
        return self._table.lock(f"{generation}:{owner}")

    def claim(self, claim: Claim, *, claim_id: bytes, now: datetime) -> tuple[KeyRow, bool]:
        """Put the row, or return the one that an earlier run put for the same thing."""

        def change() -> tuple[Sequence[Write], tuple[KeyRow, bool]]:
            known = self.row(claim.owner, claim.generation)
            if known is not None:
                changes.refuse_another_claim(known, claim)
                return (), (known, False)
            row = changes.claimed(claim, claim_id, now)
            writes = [self._table.put_new(row_item(row, version=1))]
            for uri in (claim.uri, claim.copy_to):
                if uri is not None:
                    living = self.find(uri)
                    changes.refuse_taken(uri, [] if living is None else [living])
                    writes.append(self._table.put_new(uri_item(uri, row)))
            return [*writes, *self._event(changes.event(row, "key.claimed", now))], (row, True)

        return self._table.commit(change)

    def record_created(self, row: KeyRow, found: KeyDescription, *, how: Origin, now: datetime) -> KeyRow:
        """Store fingerprint, public key and evidence, with the event that says how the key came to be."""
        created = changes.created(row, found)
        event = changes.event(created, changes.event_of_origin(how), now)

        def further() -> list[Write]:
            return [*self._statement(created, statement(created, found, how=how, now=now)), *self._event(event)]

        return self._changed(row, lambda current: changes.created(current, found), created, further)

    def record_custody(
        self, row: KeyRow, custody: Custody, found: KeyDescription, *, event: CustodyEvent, now: datetime
    ) -> KeyRow:
        """Store custody and evidence with the event; a key may be restored more than once, each time an event."""
        recorded = replace(row, custody=custody, evidence=dict(found.attributes))
        told = changes.event(recorded, event, now, at_each_time=True)

        def further() -> list[Write]:
            text = statement(recorded, found, how=event.removeprefix("key."), now=now)
            return [*(self._statement(recorded, text) if found.store else ()), *self._event(told)]

        return self._changed(
            row, lambda current: replace(current, custody=custody, evidence=recorded.evidence), recorded, further
        )

    def transition(
        self, row: KeyRow, state: KeyState, *, now: datetime, use_not_before: datetime | None = None
    ) -> KeyRow:
        """Move the key to ``state`` and append the event, both or neither; a destroyed one frees its names."""

        def change() -> tuple[Sequence[Write], KeyRow]:
            item = self._item(row)
            current = row_of(item)
            moved, event = changes.moved(row, current, state, now=now, use_not_before=use_not_before)
            stored = replace(current, state=state, state_since=now, use_not_before=moved.use_not_before)
            names = (row.claim.uri, row.claim.copy_to) if state is KeyState.DESTROYED else ()
            freed = [self._table.remove("uris", str(uri)) for uri in names if uri is not None]
            return [self._put(stored, item), *freed, *self._event(event)], moved

        return self._table.commit(change)

    def postpone(self, row: KeyRow, use_not_before: datetime) -> KeyRow:
        """Store the later moment."""
        later = replace(row, use_not_before=use_not_before)
        return self._changed(row, lambda current: replace(current, use_not_before=use_not_before), later)

    def set_cryptoperiod(self, row: KeyRow, days: int | None) -> KeyRow:
        """Store the days."""
        timed = replace(row, cryptoperiod_days=days)
        return self._changed(row, lambda current: replace(current, cryptoperiod_days=days), timed)

    def statements(self, row: KeyRow) -> Sequence[Statement]:
        """Return the statements about the key."""
        ours = row_key(row.claim.owner, row.claim.generation)
        return [statement_of(item) for item in self._table.query("statements") if item["row"] == ours]

    def unsigned_statements(self) -> Sequence[Statement]:
        """Return the statements without a signature."""
        return [statement_of(item) for item in self._table.query("statements") if "signed" not in item]

    def record_signature(self, position: int, signed: bytes) -> None:
        """Keep the first signature; two processes may sign at once."""
        item = self._table.get("statements", position_key(position))
        if item is not None:
            self._table.write({**item, "signed": signed.decode("ascii")}, only_if="attribute_not_exists(signed)")

    def note(self, event: KeyEvent) -> bool:
        """Append the event, once."""

        def change() -> tuple[Sequence[Write], bool]:
            known = self._table.get("event-ids", event.event_id) is not None
            return ((), False) if known else (self._event(event), True)

        return self._table.commit(change)

    def hand_over(self, row: KeyRow, owner: str) -> KeyRow:
        """Write the new owner into everything that is recorded of the key."""
        given = replace(row, claim=replace(row.claim, owner=owner))

        def change() -> tuple[Sequence[Write], KeyRow]:
            item = self._item(row)
            changes.refuse_second_owner(row, owner, taken=self.row(owner, row.claim.generation) is not None)
            current = row_of(item)
            stored = replace(current, claim=replace(current.claim, owner=owner))
            new = row_key(owner, row.claim.generation)
            names = [uri for uri in (row.claim.uri, row.claim.copy_to) if uri is not None]
            told = [each for each in self._table.query("statements") if each["row"] == item["sk"]]
            return [
                self._table.remove("keys", str(item["sk"])),
                self._table.put_new(row_item(stored, version=1, holder=str(item.get("holder", "")))),
                *(self._table.put(uri_item(uri, given)) for uri in names),
                *(self._table.put({**each, "row": new}) for each in told),
            ], given

        return self._table.commit(change)

    def hold(self, row: KeyRow, holder: str) -> None:
        """Remember the last holder."""

        def change() -> tuple[Sequence[Write], None]:
            item = self._item(row)
            return [self._put(row_of(item), {**item, "holder": holder})], None

        self._table.commit(change)

    def holder(self, row: KeyRow) -> str | None:
        """Return the last holder."""
        found = self._item(row).get("holder")
        return None if found is None else str(found)

    def find(self, uri: KeyUri) -> KeyRow | None:
        """Return the row of ``uri``, key or copy, that is not destroyed."""
        named = self._table.get("uris", str(uri))
        item = None if named is None else self._table.get("keys", str(named["row"]))
        return None if item is None else row_of(item)

    def row(self, owner: str, generation: int) -> KeyRow | None:
        """Return one row by its claim."""
        item = self._table.get("keys", row_key(owner, generation))
        return None if item is None else row_of(item)

    def line(self, owner: str) -> Sequence[KeyRow]:
        """Return the rows of one declared key, oldest generation first."""
        found = [row_of(item) for item in self._table.query("keys") if item["owner"] == owner]
        return sorted(found, key=lambda row: row.claim.generation)

    def rows(self) -> Sequence[KeyRow]:
        """Return every row, oldest claim first."""
        found = [row_of(item) for item in self._table.query("keys")]
        return sorted(found, key=lambda row: (row.claimed_at, row.claim.owner))

    def events(self, *, after: int = 0) -> Sequence[tuple[int, KeyEvent]]:
        """Return the events behind position ``after``."""
        return [(int(item["sk"]), event_of(item)) for item in self._table.query("events", after=position_key(after))]

    def _changed(
        self,
        row: KeyRow,
        change_row: Callable[[KeyRow], KeyRow],
        answer: KeyRow,
        further: Callable[[], Sequence[Write]] = lambda: (),
    ) -> KeyRow:
        """Commit what ``change_row`` makes of the row as it stands, with ``further`` writes, and return ``answer``."""

        def change() -> tuple[Sequence[Write], KeyRow]:
            item = self._item(row)
            return [self._put(change_row(row_of(item)), item), *further()], answer

        return self._table.commit(change)

    def _item(self, row: KeyRow) -> Item:
        item = self._table.get("keys", row_key(row.claim.owner, row.claim.generation))
        if item is None:
            raise InfraError(
                f"the inventory has lost the claim for {row.claim.uri}", fix="restore the table to an earlier moment"
            )
        return item

    def _put(self, row: KeyRow, item: Item) -> Write:
        """Return the write of a row that stands as ``item``, and fails if it does not stand so any more."""
        version = int(item["version"])
        new = row_item(row, version=version + 1, holder=str(item.get("holder", "")))
        return self._table.put(new, only_if="version = :version", version=version)

    def _event(self, event: KeyEvent) -> list[Write]:
        """Return the writes of the next event; one that is known already is the same change made twice."""
        position = self._next("events")
        known: Item = {"pk": "event-ids", "sk": event.event_id, "position": position}
        return [self._table.put_new(event_item(event, position)), self._table.put_new(known)]

    def _statement(self, row: KeyRow, text: bytes) -> list[Write]:
        return [self._table.put_new(statement_item(row, text, self._next("statements")))]

    def _next(self, partition: str) -> int:
        last = self._table.query(partition, last=True)
        return 1 + (int(last[0]["sk"]) if last else 0)
