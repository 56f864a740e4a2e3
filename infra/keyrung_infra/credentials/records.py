"""A deployed verifier's store and log, opened for a change at the command line: the local one, or one in AWS.

The variable `KEYRUNG_CONFIG` (`s3://BUCKET/deployment.json`) chooses a deployment in AWS, as it does for the verifier.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from keyrung_infra.project import find_root
from keyrung_infra.serve.build import build_records
from keyrung_infra.serve.settings import DEFAULT_CONFIG, read_settings
from keyrung_verifier.audit_writer import AuditWriter
from keyrung_verifier.credentials import Credentials
from keyrung_verifier.generations import SealingLine
from keyrung_verifier.store.protocol import Store
from keyrung_verifier.store.sqlite import SqliteStore
from keyrung_verifier.system import SystemClock, SystemRandom
from keyrung_verifier.tickets import Tickets

_CONFIG_VARIABLE = "KEYRUNG_CONFIG"


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialRecords:
    """People's credentials and the tickets for new ones, and what seals seeds."""

    credentials: Credentials
    tickets: Tickets
    sealer: SealingLine = field(repr=False)
    issuer: str


@contextmanager
def opened_records() -> Iterator[CredentialRecords]:
    """Open the log, with what happened to keys before so that each change has its place in it; sign its end after."""
    if _in_aws():
        yield _deployed_records()
        return
    root = find_root()
    settings = read_settings(root / DEFAULT_CONFIG)
    records = build_records(settings, root)
    records.audit.open()
    try:
        records.key_events.hand_over(records.audit)
        yield CredentialRecords(
            credentials=records.credentials, tickets=records.tickets, sealer=records.sealer, issuer=settings.issuer
        )
    finally:
        records.audit.checkpoint()


@contextmanager
def opened_store() -> Iterator[Store]:
    """Open the store alone, to read it: no key store is asked."""
    if _in_aws():
        from keyrung_infra.credentials.deployed import DeployedStore  # noqa: PLC0415 - boto3 only for AWS

        yield DeployedStore().store()
        return
    root = find_root()
    store = SqliteStore(root / read_settings(root / DEFAULT_CONFIG).store)
    try:
        yield store
    finally:
        store.close()


def _in_aws() -> bool:
    return bool(os.environ.get(_CONFIG_VARIABLE))


def _deployed_records() -> CredentialRecords:
    """Return the records in AWS; the archiver signs the log's end there."""
    from keyrung_infra.credentials.deployed import DeployedStore  # noqa: PLC0415 - boto3 only for AWS
    from keyrung_verifier.aws.deployed import signing_line  # noqa: PLC0415

    deployed = DeployedStore()
    store, clock, random = deployed.store(), SystemClock(), SystemRandom()
    signers = signing_line(deployed.deployment.audit_keys, deployed.clients, clock=clock)
    audit = AuditWriter(store=store, signers=signers, checkpoints=None, clock=clock, random=random)
    audit.open()
    operator = deployed.operator
    return CredentialRecords(
        credentials=Credentials(store=store, audit=audit, clock=clock, random=random, operator=operator),
        tickets=Tickets(store=store, audit=audit, clock=clock, random=random, operator=operator),
        sealer=deployed.sealer(),
        issuer=deployed.deployment.issuer,
    )
