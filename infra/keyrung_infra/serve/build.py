"""Puts the verifier together from its configuration: provisioned keys, store, log, policy."""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_infra.operator import operating_user
from keyrung_infra.serve.evidence import EvidenceSigner
from keyrung_infra.serve.follow import DeploymentFollower
from keyrung_infra.serve.key_watch import KeyWatch
from keyrung_infra.serve.keys import DeployedKeys
from keyrung_infra.serve.overdue import OverdueCheck
from keyrung_infra.serve.settings import Settings
from keyrung_infra.serve.turns import Turns
from keyrung_provisioners.inventory import KeyEvent
from keyrung_provisioners.sources import resolve
from keyrung_verifier.audit_end import utc_text
from keyrung_verifier.audit_writer import AuditWriter
from keyrung_verifier.callers import Client
from keyrung_verifier.checkpoints import CheckpointFile
from keyrung_verifier.credentials import Credentials
from keyrung_verifier.generations import SealingLine
from keyrung_verifier.policy_source import BundleFile, WatchedPolicySource
from keyrung_verifier.service import Verifier
from keyrung_verifier.settings import VerifierSettings
from keyrung_verifier.store.group_commit import Aside
from keyrung_verifier.store.sqlite import SqliteStore
from keyrung_verifier.system import SystemClock, SystemRandom
from keyrung_verifier.tickets import Tickets


class KeyEvents:
    """What happened to keys since it was last asked, from the inventory."""

    def __init__(self, inventory: SqliteInventory) -> None:
        """Begin at the inventory's first event; a repeat is harmless, since events carry an id."""
        self._inventory = inventory
        self._position = 0

    def new(self) -> Iterator[Mapping[str, object]]:
        """Yield the events that came since the last call, oldest first, as the audit log takes them."""
        for position, event in self._inventory.events(after=self._position):
            yield _audit_form(event)
            self._position = position

    def hand_over(self, audit: AuditWriter) -> None:
        """Append what came since the last call to the log."""
        for event in self.new():
            audit.append_key_event(event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """The store with its audit log, and what writes to it."""

    store: SqliteStore
    audit: AuditWriter
    credentials: Credentials
    tickets: Tickets
    sealer: SealingLine
    keys: DeployedKeys = field(repr=False)
    key_events: KeyEvents = field(repr=False)
    evidence: EvidenceSigner
    overdue: OverdueCheck
    watch: KeyWatch = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The verifier and what else works on its store; the follower takes in what a later `pulumi up` deploys.

    Attributes:
        turns: In which threads call the verifier.
    """

    issuer: str
    verifier: Verifier
    turns: Turns
    records: Records
    follower: DeploymentFollower = field(repr=False)


def build_records(settings: Settings, root: Path, *, aside: Aside = nullcontext) -> Records:
    """Return the store, log and credentials of ``settings``; relative paths start at ``root``.

    Threads wait for disk and keys in ``aside``.

    Raises:
        InvalidSettingError: If a reference cannot be resolved.
        BackendUnavailableError: If a key store cannot be reached.
        InfraError: If a store holds another key than the declared one.
    """
    clock, random, operator = SystemClock(), SystemRandom(), operating_user()
    store, inventory = SqliteStore(root / settings.store, aside=aside), root / settings.inventory
    keys = DeployedKeys(settings, root, clock, aside=aside)
    audit_line = keys.audit_line(KeyWatch(inventory))
    audit = AuditWriter(
        store=store,
        signers=audit_line,
        checkpoints=CheckpointFile(root / settings.audit.checkpoints),
        clock=clock,
        random=random,
    )
    key_events = KeyEvents(SqliteInventory(inventory))
    watch = KeyWatch(inventory, on_news=partial(key_events.hand_over, audit))
    return Records(
        store=store,
        audit=audit,
        credentials=Credentials(store=store, audit=audit, clock=clock, random=random, operator=operator),
        tickets=Tickets(store=store, audit=audit, clock=clock, random=random, operator=operator),
        sealer=keys.seed_line(watch),
        keys=keys,
        key_events=key_events,
        evidence=EvidenceSigner(inventory=SqliteInventory(inventory), signers=audit_line),
        overdue=OverdueCheck(inventory=SqliteInventory(inventory), now=clock.now),
        watch=watch,
    )


def build(settings: Settings, root: Path, config: Path) -> Parts:
    """Return the verifier of ``settings``, which follows the file ``config``; raises what `build_records` raises."""
    turns = Turns()
    records = build_records(settings, root, aside=turns.aside)
    clock = SystemClock()
    issuer = resolve(settings.issuer, root=root)
    policy_source = WatchedPolicySource(
        BundleFile(root / settings.policy.bundle),
        trusted_keys=settings.policy.keys,
        counts=records.watch.counts,
        store=records.store,
        audit=records.audit,
        clock=clock,
    )
    verifier = Verifier(
        settings=VerifierSettings(public_url=issuer, clients=_clients(settings, root)),
        policy_source=policy_source,
        store=records.store,
        signers=records.keys.assertion_line(records.watch),
        sealer=records.sealer,
        audit=records.audit,
        clock=clock,
        random=SystemRandom(),
    )
    follower = DeploymentFollower(config, keys=records.keys, policy_source=policy_source)
    return Parts(issuer=issuer, verifier=verifier, turns=turns, records=records, follower=follower)


def _clients(settings: Settings, root: Path) -> list[Client]:
    return [
        Client(
            client_id=client.client_id,
            audience=client.audience,
            secret=resolve(client.secret, root=root, secret=True),
        )
        for client in settings.clients
    ]


def _audit_form(event: KeyEvent) -> Mapping[str, object]:
    return {
        "event": event.event,
        "event_id": event.event_id,
        "purpose": event.purpose.value if event.purpose else "unknown",
        "at": utc_text(event.at),
        "key": {
            "uri": event.uri,
            "generation": event.generation,
            "state": event.state.value if event.state else "unknown",
            "thumbprint": event.fingerprint,
        },
    }
