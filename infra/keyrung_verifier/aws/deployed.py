"""The verifier of a deployment in AWS: put together from the document in S3, and anew when that changes.

A rotation, a compromised key or another client acts within seconds and needs no new code. A document that cannot be
taken gives nobody a right: the last good one stays, without the keys that the other one names as no longer active, and
the policy that goes with it ends by its own expiry.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from msgspec import structs

from keyrung_verifier.audit_end import utc_text
from keyrung_verifier.audit_writer import AuditWriter
from keyrung_verifier.aws.clients import AwsClients
from keyrung_verifier.aws.kms import KmsSealer, KmsSigner, parse_uri
from keyrung_verifier.aws.published import PublishedObject
from keyrung_verifier.callers import Client
from keyrung_verifier.deployment import Deployment, SealingKey, SigningKey, parse_deployment
from keyrung_verifier.errors import ConfigurationError, StoreError, UnavailableError, VerifierError
from keyrung_verifier.generations import ACTIVE, Generation, SealingLine, SigningLine
from keyrung_verifier.keys import ACCEPTED_STATES
from keyrung_verifier.metrics import Teller
from keyrung_verifier.policy_source import WatchedPolicySource
from keyrung_verifier.protocols import Clock, Random, Sealer, Signer
from keyrung_verifier.service import Verifier
from keyrung_verifier.settings import VerifierSettings
from keyrung_verifier.store.dynamodb import DynamoDbStore

CONFIG_VARIABLE = "KEYRUNG_CONFIG"
REGION_VARIABLE = "AWS_REGION"
_STORE = re.compile(r"dynamodb:table=([A-Za-z0-9_.-]{3,255});region=([a-z0-9-]+);shards=([1-9][0-9]{0,3})", re.ASCII)
_BEFORE_AN_END = ("pre-activation", "active")
# What brought a key into each state that a document may name (NIST SP 800-57 part 1, section 7).
_EVENTS = {
    "pre-activation": "key.created",
    "active": "key.activated",
    "suspended": "key.suspended",
    "deactivated": "key.deactivated",
    "compromised": "key.compromised",
    "destroyed": "key.destroyed",
}
_LOG = logging.getLogger(__name__)
_Key = TypeVar("_Key", SigningKey, SealingKey)


class DeploymentDocument:
    """The document that `KEYRUNG_CONFIG` names; it and the bundle are in the function's own region."""

    def __init__(self, environment: Mapping[str, str], clients: AwsClients, *, clock: Clock, teller: Teller) -> None:
        """Read nothing before the first `current`; raises `ConfigurationError` for a name that is none."""
        self.region = environment.get(REGION_VARIABLE, "")
        self._object = PublishedObject(
            clients.client("s3", self.region), environment.get(CONFIG_VARIABLE, ""), clock=clock
        )
        self._teller = teller
        self._judged: str | None = None
        self._current: Deployment | None = None

    def current(self) -> Deployment:
        """Return the newest good document, the same object as long as nothing changed.

        Raises:
            UnavailableError: There never was one.
        """
        stamp = self._object.stamp()
        if stamp is not None and stamp != self._judged:
            self._judged = stamp
            try:
                self._current = parse_deployment(self._object.read())
            except ConfigurationError as error:  # told once for each state of the object
                _LOG.error("%s", error)
                self.tell_refused()
        if self._current is None:
            raise UnavailableError("not_deployed")
        return self._current

    def tell_refused(self) -> None:
        """Count a document that is not taken: what it was to change goes on as before."""
        self._teller.tell("deployment refused", level="ERROR", RefusedDeployments=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    """A verifier that was put together, and what of it a document that is not taken can still end.

    Attributes:
        deployment: What it goes by.
        policy_keys: Whose signature of a policy counts.
    """

    verifier: Verifier
    deployment: Deployment
    signers: SigningLine
    sealer: SealingLine
    policy_keys: set[str]


class DeployedVerifier:
    """Gives the verifier of the deployment as it is now."""

    def __init__(self, document: DeploymentDocument, clients: AwsClients, *, clock: Clock, random: Random) -> None:
        """Build nothing before the first `current`."""
        self._document = document
        self._clients = clients
        self._clock = clock
        self._random = random
        self._refused: Deployment | None = None
        self._running: _Running | None = None

    def current(self) -> Verifier:
        """Return the verifier, put together anew after a change of the document.

        Raises:
            UnavailableError: There is no deployment that could be put together.
        """
        deployment, before = self._document.current(), self._running
        if deployment is not self._refused and (before is None or deployment is not before.deployment):
            try:
                made = self._build(deployment)
                made.verifier.start(key_events=_key_events(deployment, now=self._clock.now()))
            except VerifierError as error:
                _LOG.error("the deployment is not taken: %s", error)
                self._document.tell_refused()
                self._withdraw(deployment)
                if isinstance(error, ConfigurationError):  # all else may go away, and is tried again
                    self._refused = deployment
            else:
                self._running = made
                if before is not None:
                    _tell_counted(before.verifier)
        if self._running is None:
            raise UnavailableError("not_deployed")
        return self._running.verifier

    def _withdraw(self, refused: Deployment) -> None:
        """Let go of the keys that a document names as no longer active, whatever else is wrong with it."""
        running = self._running
        if running is None:
            return
        left = structs.replace(
            running.deployment,
            assertion_keys=_withdrawn(running.deployment.assertion_keys, refused.assertion_keys),
            seed_keys=_withdrawn(running.deployment.seed_keys, refused.seed_keys),
        )
        running.signers.renew(_signing_generations(left.assertion_keys, self._clients))
        running.sealer.renew(_sealing_generations(left.seed_keys, self._clients))
        running.policy_keys.intersection_update(refused.policy.keys)
        self._running = replace(running, deployment=left)

    def _build(self, deployment: Deployment) -> _Running:
        clock, random = self._clock, self._random
        signers = signing_line(deployment.assertion_keys, self._clients, clock=clock)
        sealer = sealing_line(deployment.seed_keys, self._clients, clock=clock)
        policy_keys = set(deployment.policy.keys)
        s3 = self._clients.client("s3", self._document.region)
        store = open_store(deployment.store, self._clients, random=random)
        audit = AuditWriter(
            store=store,
            signers=signing_line(deployment.audit_keys, self._clients, clock=clock),
            checkpoints=None,  # the archiver's, which has the audit key; this role has not
            clock=clock,
            random=random,
        )
        verifier = Verifier(
            settings=VerifierSettings(
                public_url=deployment.issuer,
                clients=[
                    Client(client_id=each.client_id, audience=each.audience, principal_arn=each.principal_arn)
                    for each in deployment.clients
                ],
            ),
            policy_source=WatchedPolicySource(
                PublishedObject(s3, deployment.policy.bundle, clock=clock),
                trusted_keys=deployment.policy.keys,
                counts=policy_keys.__contains__,
                store=store,
                audit=audit,
                clock=clock,
            ),
            store=store,
            signers=signers,
            sealer=sealer,
            audit=audit,
            clock=clock,
            random=random,
        )
        return _Running(
            verifier=verifier, deployment=deployment, signers=signers, sealer=sealer, policy_keys=policy_keys
        )


def open_store(uri: str, clients: AwsClients, *, random: Random) -> DynamoDbStore:
    """Return the store that ``uri`` names; raises `ConfigurationError` where it names none."""
    found = _STORE.fullmatch(uri)
    if found is None:
        raise ConfigurationError(f"{uri!r} names no store; write dynamodb:table=TABLE;region=REGION;shards=16")
    return DynamoDbStore(clients.client("dynamodb", found[2]), found[1], random=random, shards=int(found[3]))


def signing_line(keys: Sequence[SigningKey], clients: AwsClients, *, clock: Clock) -> SigningLine:
    """Return the generations of a signing key in KMS; raises `ConfigurationError`."""
    return SigningLine(_signing_generations(keys, clients), clock=clock)


def sealing_line(keys: Sequence[SealingKey], clients: AwsClients, *, clock: Clock) -> SealingLine:
    """Return the generations of the key in KMS that seals seeds; raises `ConfigurationError`."""
    return SealingLine(_sealing_generations(keys, clients), clock=clock)


def _signing_generations(keys: Sequence[SigningKey], clients: AwsClients) -> list[Generation[Signer]]:
    made: list[Generation[Signer]] = []
    for key in keys:
        signer = KmsSigner(
            client=clients.client("kms", parse_uri(key.uri)[0]),
            key_uri=key.uri,
            public_jwk=key.jwk,
            generation=key.generation,
            state=key.state,
        )
        if signer.key_id != key.thumbprint:
            raise ConfigurationError(f"{key.uri} has another public key than the one named; run `pulumi up`")
        made.append(Generation(key=signer, use_not_before=key.use_not_before))
    return made


def _sealing_generations(keys: Sequence[SealingKey], clients: AwsClients) -> list[Generation[Sealer]]:
    return [
        Generation(
            key=KmsSealer(
                client=clients.client("kms", parse_uri(key.uri)[0]),
                key_uri=key.uri,
                generation=key.generation,
                state=key.state,
            ),
            use_not_before=key.use_not_before,
        )
        for key in keys
    ]


def _withdrawn(keys: Sequence[_Key], later: Sequence[_Key]) -> list[_Key]:
    """Return the keys in the states of a later document where those take something away."""
    ended = {(key.uri, key.generation): key.state for key in later if key.state != ACTIVE}
    return [
        structs.replace(key, state=ended.get((key.uri, key.generation), key.state))
        if key.state in ACCEPTED_STATES
        else key
        for key in keys
    ]


def _tell_counted(replaced: Verifier) -> None:
    try:
        replaced.tell_counted()
    except StoreError as error:
        _LOG.error("the refusals that were only counted are lost: %s", error)


def _key_events(deployment: Deployment, *, now: datetime) -> Iterator[Mapping[str, object]]:
    """Yield the steps in the lives of the keys that the document tells of; each is in the log once.

    The document does not say since when a key is no longer active: what the log can vouch for is when it was seen.
    """
    lines: list[tuple[str, Sequence[SigningKey | SealingKey]]] = [
        ("assertion-signing", deployment.assertion_keys),
        ("audit-signing", deployment.audit_keys),
        ("credential-seed", deployment.seed_keys),
    ]
    for purpose, keys in lines:
        for key in keys:
            if key.state not in _EVENTS:
                raise ConfigurationError(f"{key.uri} is {key.state!r}, which is no state of a key; run `pulumi up`")
            states = dict.fromkeys([*_BEFORE_AN_END, key.state])  # each once, in this order
            for state in states:
                at = key.use_not_before if state in _BEFORE_AN_END else now
                yield {
                    "event": _EVENTS[state],
                    "event_id": f"{key.uri}#{key.generation}#{state}",
                    "purpose": purpose,
                    "at": utc_text(at),
                    "key": {
                        "uri": key.uri,
                        "generation": key.generation,
                        "state": state,
                        "thumbprint": key.thumbprint if isinstance(key, SigningKey) else None,
                    },
                }
