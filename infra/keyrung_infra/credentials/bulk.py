"""The import itself: secrets into their file, then one batch after the other into the store.

A batch is stored whole or not at all. What a killed run has stored, the next one finds (see `plan`) and leaves alone.
"""

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from keyrung_infra.credentials.csv_file import ImportRefusedError, Row, read_rows
from keyrung_infra.credentials.plan import IMPORTED, Plan, make_plan
from keyrung_infra.credentials.records import CredentialRecords
from keyrung_infra.credentials.secrets_file import RowKey, row_key, secrets_for
from keyrung_infra.errors import InfraError
from keyrung_verifier.credentials import PublicKey, Seed
from keyrung_verifier.factors.totp import otpauth_uri
from keyrung_verifier.tickets import TicketOrder

ENROL_PATH = "/enroll/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One file, checked, against one store.

    Attributes:
        rows: All its rows.
        plan: What is to be done.
        records: The store, its log, and what writes to them.
    """

    rows: Sequence[Row] = field(repr=False)
    plan: Plan = field(repr=False)
    records: CredentialRecords = field(repr=False)

    @classmethod
    def of(cls, path: Path, records: CredentialRecords, *, now_seconds: int) -> "Import":
        """Check the whole file.

        Raises:
            ImportRefusedError: It has mistakes; it names all of them.
        """
        rows, problems = read_rows(path)
        plan, more = make_plan(rows, records.credentials.list(), records.tickets.list(), now_seconds=now_seconds)
        if problems or more:
            raise ImportRefusedError(path, [*problems, *more])
        return cls(rows=rows, plan=plan, records=records)

    def run(
        self, *, issuer_name: str, public_url: str, out: Path | None, ttl_seconds: int, done: Callable[[int], None]
    ) -> None:
        """Do what is to be done.

        Args:
            issuer_name: What authenticator apps show beside a code.
            public_url: Where enrolment links lead.
            out: Where secrets go that are made here.
            ttl_seconds: How long enrolment links work.
            done: Called with the number of rows that were just stored.

        Raises:
            InfraError: There is no place for the secrets.
            CredentialError: Somebody changed the store meanwhile, so that a batch does not fit any more.
        """
        secrets, limit = self._secrets(issuer_name, public_url, out), self.records.credentials.batch_limit
        for batch in _batches(self.plan.of_kind("totp"), limit):
            self.records.credentials.add_seeds([_seed(row, secrets) for row in batch], sealer=self.records.sealer)
            done(len(batch))
        for batch in _batches(self.plan.of_kind("token"), limit):
            self.records.credentials.add_keys([_public_key(row) for row in batch])
            done(len(batch))
        for batch in _batches(self.plan.of_kind("webauthn"), limit):
            orders = [_order(row, secrets) for row in batch]
            self.records.tickets.issue(orders, ttl_seconds=ttl_seconds)
            done(len(batch))

    def _secrets(self, issuer_name: str, public_url: str, out: Path | None) -> Mapping[RowKey, str]:
        rows = self.plan.secret_rows()
        if not rows:
            return {}
        if out is None:
            raise InfraError(f"{len(rows)} rows need a secret made here", fix="say with --out which file it goes to")

        def make(row: Row) -> str:
            if row.kind == "webauthn":
                return f"{public_url}{ENROL_PATH}{self.records.tickets.order(row.subject).secret}"
            seed = self.records.credentials.new_seed()
            return otpauth_uri(issuer_name=issuer_name, subject_id=row.subject, seed=seed)

        return secrets_for(out, rows, self.rows, make)


def _seed(row: Row, secrets: Mapping[RowKey, str]) -> Seed:
    seed = row.seed
    if seed is None:
        (text,) = parse_qs(urlsplit(secrets[row_key(row)]).query)["secret"]
        seed = base64.b32decode(text)
    return Seed(subject_id=row.subject, seed=seed, evidence=_evidence(row))


def _public_key(row: Row) -> PublicKey:
    # Nothing was read back from a token and nothing was signed, so the key never counts as one in hardware.
    evidence = {**_evidence(row), "hardware": False, "possession_proven": False}
    return PublicKey(subject_id=row.subject, public_jwk=row.public_jwk or {}, evidence=evidence)


def _order(row: Row, secrets: Mapping[RowKey, str]) -> TicketOrder:
    return TicketOrder(subject_id=row.subject, secret=secrets[row_key(row)].rpartition("/")[2])


def _evidence(row: Row) -> dict[str, str | int | bool]:
    evidence: dict[str, str | int | bool] = {IMPORTED: True}
    if row.serial is not None:
        evidence["serial"] = row.serial
    return evidence


def _batches(rows: Sequence[Row], limit: int) -> Iterator[Sequence[Row]]:
    for start in range(0, len(rows), limit):
        yield rows[start : start + limit]
