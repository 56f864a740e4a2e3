"""A whole verifier over a real SQLite store, with software keys of the test and a clock that the test sets."""

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256

from keyrung_policies.bundle import build_payload, sign_bundle
from keyrung_policies.compile import compile_texts
from keyrung_policies.policy_set import PolicySet
from keyrung_verifier.audit_writer import AuditWriter
from keyrung_verifier.callers import Client
from keyrung_verifier.checkpoints import CheckpointFile
from keyrung_verifier.credentials import Credentials
from keyrung_verifier.entry import Reply, WebRequest, serve
from keyrung_verifier.factors.totp import code_at, step_of
from keyrung_verifier.generations import Generation, SigningLine
from keyrung_verifier.policy_source import BundleFile, WatchedPolicySource
from keyrung_verifier.protocols import Clock, Random, Signer
from keyrung_verifier.service import Verifier
from keyrung_verifier.settings import VerifierSettings
from keyrung_verifier.store.protocol import Store
from keyrung_verifier.store.sqlite import SqliteStore
from keyrung_verifier.system import SystemRandom
from keyrung_verifier.tickets import Tickets

OPERATOR = "the operator"
ORIGIN = "https://verifier.example:8443"
START = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)
TESTS = Path(__file__).parents[1]
CATALOG = TESTS.parent / "policies" / "catalog"
CLIENT = Client(client_id="sample-api", audience="https://api.example", secret="s" * 40)
OTHER_CLIENT = Client(client_id="other-api", audience="https://other.example", secret="o" * 40)
TOKEN_FACTOR = "token-signature-origin-bound"
EMPTY_BODY = hashlib.sha256(b"").digest()


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class SettableClock:
    def __init__(self, moment: datetime = START) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def advance(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


class UnsafeTestKey:
    """A P-256 key in this process's memory; meets the `Signer` Protocol. For tests only."""

    algorithm = "ES256"
    state = "active"

    def __init__(self, name: str, *, secret: int | None = None, generation: int = 1) -> None:
        self.generation = generation
        # A fixed secret lets several processes share one key.
        number = secret or int.from_bytes(hashlib.sha256(name.encode()).digest())
        self.private = ec.derive_private_key(number, ec.SECP256R1())
        numbers = self.private.public_key().public_numbers()
        self.public_jwk = {
            "kty": "EC",
            "crv": "P-256",
            "x": b64(numbers.x.to_bytes(32)),
            "y": b64(numbers.y.to_bytes(32)),
        }
        # RFC 7638 written out again, so that the test does not lean on the code under test.
        self.key_id = b64(
            hashlib.sha256(json.dumps(self.public_jwk, sort_keys=True, separators=(",", ":")).encode()).digest()
        )
        self.key_uri = f"software:name={name}"

    def sign(self, data: bytes) -> bytes:
        r, s = decode_dss_signature(self.private.sign(data, ec.ECDSA(SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)


class UnsafeTestSealer:
    """AES-GCM with a key in memory; meets the `Sealer` Protocol. For tests only."""

    key_uri = "software:name=seeds"
    generation = 1
    state = "active"

    def __init__(self) -> None:
        self._cipher = AESGCM(hashlib.sha256(b"seal").digest())
        self.opened = 0

    def seal_many(self, items: Sequence[tuple[bytes, bytes]]) -> list[str]:
        return [self._seal(plaintext, context) for plaintext, context in items]

    def _seal(self, plaintext: bytes, context: bytes) -> str:
        nonce = SystemRandom().token_bytes(12)
        return b64(nonce + self._cipher.encrypt(nonce, plaintext, context))

    def open(self, sealed: str, *, context: bytes) -> bytes:
        self.opened += 1
        data = unb64(sealed)
        return self._cipher.decrypt(data[:12], data[12:], context)


ASSERTION_KEY = UnsafeTestKey("assertion")
AUDIT_KEY = UnsafeTestKey("audit")
POLICY_KEY = UnsafeTestKey("policy")


def one_generation(signer: Signer, clock: Clock) -> SigningLine:
    """Return the line of a key that was never rotated."""
    return SigningLine([Generation(key=signer, use_not_before=START - timedelta(days=1))], clock=clock)


def key_events(key: UnsafeTestKey) -> list[dict[str, object]]:
    """Return what an inventory would hand over for a key that was made and activated."""
    name = {"uri": key.key_uri, "generation": key.generation, "thumbprint": key.key_id}
    return [
        {
            "event": event,
            "event_id": f"{key.key_uri}-{event}",
            "purpose": "test",
            "at": "2026-11-25T11:00:00.000000Z",
            "key": name | {"state": state},
        }
        for event, state in [("key.created", "pre-activation"), ("key.activated", "active")]
    ]


def catalog_texts() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in CATALOG.glob("*.yaml")}


@cache
def _policy_of(texts: frozenset[tuple[str, bytes]]) -> PolicySet:
    return compile_texts(dict(texts)).policy


def bundle_bytes(
    *,
    version: int = 1,
    texts: Mapping[str, bytes] | None = None,
    key: UnsafeTestKey = POLICY_KEY,
    not_before: datetime = START - timedelta(days=1),
    expires_at: datetime = START + timedelta(days=30),
) -> bytes:
    policy = _policy_of(frozenset((texts or catalog_texts()).items()))
    payload = build_payload(policy, version=version, not_before=not_before, expires_at=expires_at)
    return sign_bundle(payload, key_id=key.key_id, algorithm=key.algorithm, sign=key.sign)


@dataclass(frozen=True, kw_only=True)
class Totp:
    credential_id: str
    seed: bytes = field(repr=False)

    def code(self, moment: datetime, *, steps: int = 0) -> str:
        return code_at(self.seed, step_of(moment.timestamp()) + steps)


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]
    raw: bytes

    def without_correlation(self) -> bytes:
        return self.raw.replace(self.body["correlation_id"].encode(), b"*")


class World:
    """One deployment in a folder; `reopen` gives a second process's view of it."""

    def __init__(
        self,
        folder: Path,
        *,
        texts: Mapping[str, bytes] | None = None,  # the policy of a bundle that is not there yet
        clock: SettableClock | None = None,
        signer: Signer = ASSERTION_KEY,
        audit_signer: Signer = AUDIT_KEY,
        signers: SigningLine | None = None,
        audit_signers: SigningLine | None = None,
        random: Random | None = None,
        store: Store | None = None,
        checkpoint_records: int = 100,
        clients: Sequence[Client] = (CLIENT, OTHER_CLIENT),
        start: bool = True,
    ) -> None:
        self.folder = folder
        self.clock = clock or SettableClock()
        self.signer = signer
        self.random = random or SystemRandom()
        self.signer_counts: Callable[[str], bool] = lambda _key_id: True  # what an inventory says of the policy key
        self.sealer = UnsafeTestSealer()
        self.bundle_path = folder / "policy-bundle.json"
        if not self.bundle_path.exists():
            self.bundle_path.write_bytes(bundle_bytes(texts=texts))
        self.checkpoint_path = folder / "checkpoints.jsonl"
        self.store = store or SqliteStore(folder / "store.db")
        self.audit = AuditWriter(
            store=self.store,
            signers=audit_signers or one_generation(audit_signer, self.clock),
            checkpoints=CheckpointFile(self.checkpoint_path),
            clock=self.clock,
            random=self.random,
            checkpoint_records=checkpoint_records,
        )
        self.policy_source = WatchedPolicySource(
            BundleFile(self.bundle_path),
            trusted_keys={POLICY_KEY.key_id: POLICY_KEY.public_jwk},
            counts=self._signer_counts,
            store=self.store,
            audit=self.audit,
            clock=self.clock,
        )
        self.settings = VerifierSettings(public_url=ORIGIN, clients=clients)
        self.verifier = Verifier(
            settings=self.settings,
            policy_source=self.policy_source,
            store=self.store,
            signers=signers or one_generation(signer, self.clock),
            sealer=self.sealer,
            audit=self.audit,
            clock=self.clock,
            random=self.random,
        )
        self.credentials = Credentials(
            store=self.store, audit=self.audit, clock=self.clock, random=self.random, operator=OPERATOR
        )
        self.tickets = Tickets(
            store=self.store, audit=self.audit, clock=self.clock, random=self.random, operator=OPERATOR
        )
        if start:
            self.verifier.start(key_events=[event for key in (ASSERTION_KEY, AUDIT_KEY) for event in key_events(key)])

    def _signer_counts(self, key_id: str) -> bool:
        return self.signer_counts(key_id)

    def close(self) -> None:
        self.store.close()

    # -- HTTP ---------------------------------------------------------------------------------------------------

    def http(
        self,
        method: str,
        path: str,
        body: object = b"",
        *,
        client: Client | None = None,
        authorization: str | None = None,
        dpop: str | None = None,
        request_id: str | None = None,
    ) -> Answer:
        if client is not None:
            authorization = "Basic " + base64.b64encode(f"{client.client_id}:{client.secret}".encode()).decode()
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        reply: Reply = serve(
            self.verifier,
            WebRequest(
                method=method, path=path, authorization=authorization, dpop=dpop, request_id=request_id, body=data
            ),
        )
        return Answer(status=reply.status, headers=reply.headers, body=json.loads(reply.body), raw=reply.body)

    def evaluate(self, action: str, *, client: Client = CLIENT, **changes: Any) -> Answer:
        return self.http("POST", "/access/v1/evaluation", evaluation(action, **changes), client=client)

    def challenge(self, action: str = "profile.update", *, client: Client = CLIENT, **changes: Any) -> Answer:
        return self.http("POST", "/stepup/v1/challenges", challenge_body(action, **changes), client=client)

    def challenge_id(self, action: str = "profile.update", **changes: Any) -> str:
        made = self.challenge(action, **changes)
        assert made.status == 201, made.body
        return str(made.body["challenge_id"])

    def view(self, challenge_id: str) -> Answer:
        return self.http("GET", f"/stepup/v1/challenges/{challenge_id}")

    def respond(self, challenge_id: str, answer: object) -> Answer:
        return self.http("POST", f"/stepup/v1/challenges/{challenge_id}/response", answer)

    def respond_code(self, challenge_id: str, code: str) -> Answer:
        return self.respond(challenge_id, {"factor": "otp", "code": code})

    def spend(
        self,
        assertion: str,
        *,
        client: Client = CLIENT,
        asked: Mapping[str, Any] | None = None,
        dpop: Mapping[str, str] | None = None,
        **request: Any,
    ) -> Answer:
        """Spend for a change of the profile, or for what is ``asked`` as in `challenge_body`."""
        body = challenge_body(**{"action": "profile.update", **(asked or {})}, request=http_request(**request))
        body["assertion"] = assertion
        if dpop is not None:
            body["dpop"] = dict(dpop)
        return self.http("POST", "/stepup/v1/assertions/spend", body, client=client)

    # -- credentials and short cuts -----------------------------------------------------------------------------

    def enrol_totp(self, subject: str = "alice") -> Totp:
        made = self.credentials.add_totp(subject, sealer=self.sealer, issuer_name="Sample Bank")
        return Totp(credential_id=made.credential_id, seed=base64.b32decode(made.secret_base32))

    def enrol_token(self, subject: str = "alice", *, name: str = "token", hardware: bool = False) -> UnsafeTestKey:
        key = UnsafeTestKey(f"{name}-{subject}")
        self.credentials.add_token(subject, public_jwk=key.public_jwk, evidence={"hardware": hardware}, prove=key.sign)
        return key

    def step_up(self, totp: Totp, **changes: Any) -> str:
        """Return an assertion earned with a code."""
        answer = self.respond_code(self.challenge_id(**changes), totp.code(self.clock.now()))
        assert answer.status == 200, answer.body
        return str(answer.body["assertion"])

    def lines(self) -> list[bytes]:
        tails = map(self.store.audit_tail, self.store.audit_shards)
        found = [self.store.audit_line(tail.shard, seq) for tail in tails for seq in range(tail.seq + 1)]
        return [line for line in found if line is not None]

    def records(self, event: str | None = None) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = [json.loads(line) for line in self.lines()]
        return [record for record in found if event in {None, record["event"]}]

    def last_reason(self, event: str) -> str | None:
        reason: str | None = self.records(event)[-1]["reason"]
        return reason


def evaluation(
    action: str,
    *,
    subject: str = "alice",
    session: str | Mapping[str, str] | None = "sid-1",
    kind: str = "person",
    resource: Mapping[str, object] | None = None,
    **context: object,
) -> dict[str, Any]:
    named = {} if session is None else {"session": {"id": session} if isinstance(session, str) else dict(session)}
    return {
        "subject": {"type": "user", "id": subject, "properties": {"kind": kind}},
        "action": {"name": action},
        "resource": {"type": "thing", "id": "1", "properties": dict(resource or {})},
        "context": named | context,
    }


LARGE_TRANSFER = {"amount_minor": 250000, "currency": "EUR", "payee": "Bob"}


def http_request(method: str = "POST", uri: str = "https://api.example/profile", body: bytes = b"{}") -> dict[str, str]:
    return {"method": method, "uri": uri, "body_sha256": b64(hashlib.sha256(body).digest())}


def challenge_body(action: str, *, request: Mapping[str, str] | None = None, **changes: Any) -> dict[str, Any]:
    return evaluation(action, **changes) | {"request": dict(request or http_request())}


def at_once(count: int, work: Callable[[int], Any]) -> Sequence[Any]:
    """Run the work in that many threads which start together; return the results."""
    barrier = threading.Barrier(count)
    results: list[Any] = [None] * count

    def run(number: int) -> None:
        barrier.wait()
        results[number] = work(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def respond_many(folder: Path, challenge_id: str, code: str, count: int) -> list[int]:
    """Try that many times, as a process of its own would."""
    world = World(folder)
    statuses = [world.respond_code(challenge_id, code).status for _ in range(count)]
    world.close()
    return statuses


def respond_each(folder: Path, challenge_ids: Sequence[str], code: str) -> list[int]:
    """Answer each challenge with the same code, as a process of its own would."""
    world = World(folder)
    statuses = [world.respond_code(challenge_id, code).status for challenge_id in challenge_ids]
    world.close()
    return statuses


def spend_many(folder: Path, assertion: str, count: int, **asked: Any) -> list[int]:
    """Spend that many times, as a process of its own would."""
    world = World(folder)
    statuses = [world.spend(assertion, **asked).status for _ in range(count)]
    world.close()
    return statuses
