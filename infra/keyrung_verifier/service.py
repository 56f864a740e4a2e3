"""The verifier: one method for each thing that can be asked of it, behind every shell.

Every method that decides, changes or refuses something runs inside `CallRunner.run`: strict reading first, then the
decision, then one durable commit of the effect together with its audit record, and only then the answer.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from keyrung_verifier import answering, challenging, evaluating, models, paths, possession, spending
from keyrung_verifier.audit_writer import AuditWriter, Entry, key_facts
from keyrung_verifier.callers import Caller, CallerRegistry
from keyrung_verifier.calls import Call, CallRunner
from keyrung_verifier.core import Core
from keyrung_verifier.errors import CallerRefusedError, StoreError, UnavailableError
from keyrung_verifier.generations import SigningLine
from keyrung_verifier.policy_source import PolicySource
from keyrung_verifier.protocols import Clock, Random, Sealer
from keyrung_verifier.self_test import check_random
from keyrung_verifier.settings import VerifierSettings
from keyrung_verifier.store.protocol import Store

Answer = dict[str, Any]


class Verifier:
    """The one core.

    Args:
        settings: What the deployment decides.
        policy_source: Gives the policy in force.
        store: Durable memory.
        signers: The generations of the assertion key.
        sealer: The key that seals seeds.
        audit: Writes to the same store.
        clock: The server's time.
        random: A secure source.
    """

    def __init__(
        self,
        *,
        settings: VerifierSettings,
        policy_source: PolicySource,
        store: Store,
        signers: SigningLine,
        sealer: Sealer,
        audit: AuditWriter,
        clock: Clock,
        random: Random,
    ) -> None:
        self._core = Core(
            settings=settings,
            policy_source=policy_source,
            store=store,
            signers=signers,
            sealer=sealer,
            audit=audit,
            clock=clock,
            random=random,
        )
        self._callers = CallerRegistry(settings.clients)
        self._runner = CallRunner(audit=audit, clock=clock, random=random)

    def start(self, *, key_events: Iterable[Mapping[str, object]] = ()) -> None:
        """Open the audit log, take in what happened to keys, record that this process serves, and sign a checkpoint.

        Args:
            key_events: Steps in the lives of keys, oldest first (see `AuditWriter.append_key_event`). They come before
                the first record of a key's use, so that a reader finds every key made before it was used.

        Raises:
            ConfigurationError: The random source fails or repeats itself.
        """
        check_random(self._core.random)
        self._core.audit.open()
        for event in key_events:
            self._core.audit.append_key_event(event)
        self._record_life("verifier.started")
        self.maintain()

    def stop(self) -> None:
        """Record what was only counted and that this process ends, and sign a checkpoint."""
        self.tell_counted()
        self._record_life("verifier.stopped")

    def tell_counted(self) -> None:
        """Record what was only counted: another verifier takes over in this process; raises `StoreError`."""
        self._runner.sampler.tell()

    def maintain(self) -> None:
        """Forget what is over, record what was only counted, and sign a checkpoint when one is due.

        A shell calls this every few seconds.
        """
        self._core.store.housekeep(self._core.now_seconds())
        self._runner.sampler.tell_if_over()
        self._core.audit.checkpoint_if_due()

    def authenticate(self, authorization: str | None, principal: str | None = None) -> Caller:
        """Return the application behind an Authorization header or a vouched-for ARN; a refusal is recorded."""
        try:
            return self._callers.authenticate(authorization, principal)
        except CallerRefusedError as error:
            refusal = error

        def refuse(_call: Call) -> Caller:
            raise refusal

        return self._runner.run("caller.refused", refuse, actor=None)

    def evaluate(self, caller: Caller, body: bytes) -> Answer:
        """Answer an AuthZEN evaluation request."""
        return self._runner.run(
            "access.evaluated",
            lambda call: _plain(evaluating.evaluate(self._core, call, body)),
            actor=caller.client_id,
        )

    def evaluate_many(self, caller: Caller, body: bytes) -> Answer:
        """Answer an AuthZEN evaluations request."""
        return self._runner.run(
            "access.evaluated",
            lambda call: _plain(evaluating.evaluate_many(self._core, call, body)),
            actor=caller.client_id,
        )

    def create_challenge(self, caller: Caller, body: bytes) -> Answer:
        """Make a challenge for a request that needs a step-up."""
        return self._runner.run(
            "challenge.created",
            lambda call: _plain(challenging.create_challenge(self._core, call, caller, body)),
            actor=caller.client_id,
        )

    def read_challenge(self, challenge_id: str) -> Answer:
        """Show a challenge to whoever holds its id; only a refusal is recorded, as nothing else happens."""
        return self._runner.run(
            "challenge.answered", lambda call: _plain(answering.view(self._core, call, challenge_id)), actor=None
        )

    def respond(self, challenge_id: str, body: bytes, dpop: str | None = None) -> Answer:
        """Take an answer to a challenge, with its DPoP header; a right one uses it up and gives an assertion."""
        return self._runner.run(
            "challenge.answered",
            lambda call: _plain(answering.respond(self._core, call, challenge_id, body, dpop)),
            actor=None,
        )

    def spend(self, caller: Caller, body: bytes) -> Answer:
        """Use up an assertion for the request it was made for."""
        return self._runner.run(
            "assertion.spent",
            lambda call: _plain(spending.spend(self._core, call, caller, body)),
            actor=caller.client_id,
        )

    def jwks(self) -> Answer:
        """Return the public keys that assertions verify with."""
        return _plain(models.JsonWebKeySet(keys=[dict(key) for key in self._core.signers.verifying().values()]))

    def authzen_configuration(self) -> Answer:
        """Return the metadata of the decision point."""
        url = self._core.settings.public_url
        return _plain(
            models.AuthzenConfiguration(
                policy_decision_point=url,
                access_evaluation_endpoint=f"{url}{paths.EVALUATION}",
                access_evaluations_endpoint=f"{url}{paths.EVALUATIONS}",
            )
        )

    def health(self) -> Answer:
        """Say that the verifier can decide now, or raise `UnavailableError`."""
        try:
            policy = self._core.policy_source.current()
            self._core.store.audit_tail(self._core.store.audit_shards[0])
        except StoreError as error:
            raise UnavailableError("store") from error
        return _plain(models.Health(status="ok", policy_digest=policy.digest))

    def dpop_nonce(self) -> str:
        """Return the nonce that a client's next DPoP proof should carry (RFC 9449 section 8.2)."""
        return possession.nonces(self._core)[0]

    def new_correlation_id(self) -> str:
        """Return an id for an answer that no call stands behind."""
        return self._runner.new_correlation_id()

    def _record_life(self, event: str) -> None:
        entry = Entry(event=event, outcome="success", actor="keyrung", key=key_facts(self._core.signers.current()))
        self._core.audit.commit([entry])
        self._core.audit.checkpoint()


def _plain(answer: Struct) -> Answer:
    plain: Answer = msgspec.to_builtins(answer)
    return plain
