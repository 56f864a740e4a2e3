"""What an import has to do: each row compared with the other rows and with what people hold already.

A row says what its subject shall hold. One that is fulfilled is left alone, so that an import which ended in the middle
can be run again: it does the rest.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

from keyrung_infra.credentials.csv_file import Problem, Row
from keyrung_infra.credentials.listing import KINDS
from keyrung_verifier.keys import thumbprint
from keyrung_verifier.limits import MAX_CREDENTIALS_PER_FACTOR
from keyrung_verifier.store.protocol import Credential, Ticket

# What the evidence of an imported credential says, so that a second run knows it again.
IMPORTED = "imported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The rows that are to be done, and how many are fulfilled."""

    rows: Sequence[Row]
    already: int

    def of_kind(self, kind: str) -> list[Row]:
        """Return the rows of one kind that are to be done."""
        return [row for row in self.rows if row.kind == kind]

    def secret_rows(self) -> list[Row]:
        """Return the rows to be done for which a secret is made here."""
        return [row for row in self.rows if row.kind != "token" and row.seed is None]


def make_plan(
    rows: Sequence[Row], credentials: Sequence[Credential], tickets: Sequence[Ticket], *, now_seconds: int
) -> tuple[Plan, list[Problem]]:
    """Return what is to be done, and every row that cannot be done.

    Args:
        rows: The good rows of the file.
        credentials: What everybody holds.
        tickets: The tickets of everybody.
        now_seconds: Tickets past their time count no more.
    """
    held = _Held(credentials, tickets, now_seconds)
    problems = [*_repeated(rows), *held.conflicts(rows)]
    to_do = [row for row in rows if not held.fulfils(row)]
    problems += held.too_many(to_do)
    return Plan(rows=to_do, already=len(rows) - len(to_do)), problems


class _Held:
    def __init__(self, credentials: Sequence[Credential], tickets: Sequence[Ticket], now_seconds: int) -> None:
        self._revoked = {
            (one.subject_id, one.evidence.get("serial"))
            for one in credentials
            if one.evidence.get(IMPORTED) is True and one.revoked_at_seconds is not None
        }
        living = [one for one in credentials if one.revoked_at_seconds is None]
        self._imported = {
            (one.subject_id, KINDS.get(one.factor), one.evidence.get("serial"))
            for one in living
            if one.evidence.get(IMPORTED) is True
        }
        self._serial_owner = {one.evidence["serial"]: one.subject_id for one in living if "serial" in one.evidence}
        self._keys = {one.credential_id: one for one in credentials if one.public_jwk is not None}
        self._invited = {
            one.subject_id for one in tickets if one.revoked_at_seconds is None and now_seconds < one.expires_at_seconds
        }
        self._counts = Counter((one.subject_id, KINDS.get(one.factor)) for one in living)

    def fulfils(self, row: Row) -> bool:
        if row.kind == "webauthn":
            return row.subject in self._invited
        if row.public_jwk is not None:
            return thumbprint(row.public_jwk) in self._keys
        return (row.subject, row.kind, row.serial) in self._imported

    def conflicts(self, rows: Sequence[Row]) -> Iterator[Problem]:
        for row in rows:
            owner = row.subject if row.serial is None else self._serial_owner.get(row.serial, row.subject)
            if owner != row.subject:
                yield Problem(
                    line=row.line,
                    column="serial",
                    message=f"{row.serial} belongs to another subject",
                    fix="revoke that credential first, or correct the serial number",
                )
            # Revoking came after importing, so it wins; a device that comes back for somebody else is another matter.
            if row.seed is not None and (row.subject, row.serial) in self._revoked and not self.fulfils(row):
                yield Problem(
                    line=row.line,
                    column="serial",
                    message=f"{row.serial} was revoked for this subject",
                    fix="remove the row, or give the device a new seed and serial",
                )
            known = None if row.public_jwk is None else self._keys.get(thumbprint(row.public_jwk))
            if known is not None and (known.subject_id != row.subject or known.revoked_at_seconds is not None):
                yield Problem(
                    line=row.line,
                    column="public_key",
                    message="this key was registered before, for another subject or until it was revoked",
                    fix="have a new key made on the token",
                )

    def too_many(self, rows: Sequence[Row]) -> Iterator[Problem]:
        counts = self._counts.copy()
        for row in rows:
            counts[row.subject, row.kind] += 1
            if counts[row.subject, row.kind] > MAX_CREDENTIALS_PER_FACTOR:
                yield Problem(
                    line=row.line,
                    column="subject",
                    message=f"{row.subject!r} would hold over {MAX_CREDENTIALS_PER_FACTOR} of kind {row.kind}",
                    fix="revoke one first",
                )


def _repeated(rows: Sequence[Row]) -> Iterator[Problem]:
    for column, key_of, message in _UNIQUE:
        first: dict[Hashable, int] = {}
        for row in rows:
            key = key_of(row)
            if key is None:
                continue
            line = first.setdefault(key, row.line)
            if line != row.line:
                yield Problem(line=row.line, column=column, message=f"{message} line {line}", fix="keep one of them")


def _row_key(row: Row) -> Hashable:
    return row.subject, row.kind, row.serial, None if row.public_jwk is None else thumbprint(row.public_jwk)


# Column -> what no two rows may share (None: nothing to compare), and how that is told.
_UNIQUE: Sequence[tuple[str, Callable[[Row], Hashable], str]] = (
    ("subject", _row_key, "the same is said in"),
    ("serial", lambda row: row.serial, "this serial number stands already in"),
    ("seed", lambda row: row.seed, "this seed stands already in"),
    ("public_key", lambda row: None if row.public_jwk is None else thumbprint(row.public_jwk), "this key is that of"),
)
