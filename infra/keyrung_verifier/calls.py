"""The choke point: every call runs in here, and leaves with a record of its outcome or not at all."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from keyrung_verifier.audit_writer import AuditWriter, Entry
from keyrung_verifier.errors import RefusedError, StoreError, UnavailableError, UnexpectedError
from keyrung_verifier.limits import TOKEN_ID_BYTES
from keyrung_verifier.protocols import Clock, Random
from keyrung_verifier.sampling import RefusalSampler
from keyrung_verifier.store.protocol import ConditionFailedError, CountFailure, Write

_LOG = logging.getLogger(__name__)
Result = TypeVar("Result")


@dataclass(slots=True, kw_only=True)
class Call:
    """What is known about a call so far; it grows while the call runs.

    Attributes:
        facts: Members of the call's `Entry`.
        marks: Writes that go with the record however the call ends.
        penalties: Writes that go with the record if the call is refused.
        by_anybody: Whether anybody can cause a refusal of this call, as long as nothing that the verifier knows is
            concerned; such refusals are sampled.
    """

    facts: dict[str, Any] = field(repr=False)
    correlation_id: str
    marks: Sequence[Write] = ()
    penalties: Sequence[Write] = ()
    by_anybody: bool = False

    def learn(self, **facts: object) -> None:
        """Keep facts for the record."""
        self.facts.update(facts)

    def record(self, outcome: str, reason: str | None = None) -> Entry:
        """Return the record of a call that ended so."""
        return Entry(**self.facts, outcome=outcome, reason=reason)


class CallRunner:
    """Runs calls: gives each a correlation id, and turns every way of failing into a recorded refusal."""

    def __init__(self, *, audit: AuditWriter, clock: Clock, random: Random) -> None:
        self._audit = audit
        self._random = random
        self.sampler = RefusalSampler(audit=audit, clock=clock)

    def new_correlation_id(self) -> str:
        """Return the name of a call."""
        return self._random.token_bytes(TOKEN_ID_BYTES).hex()

    def run(self, event: str, work: Callable[[Call], Result], *, actor: str | None) -> Result:
        """Return what the work returns; the work commits its own record of success.

        Raises:
            RefusedError: Nothing else leaves.
        """
        correlation_id = self.new_correlation_id()
        facts = {"event": event, "actor": actor, "correlation_id": correlation_id}
        call = Call(facts=facts, correlation_id=correlation_id, by_anybody=actor is None)
        try:
            return work(call)
        except RefusedError as error:
            self._refuse(call, error.reason)
            error.correlation_id = correlation_id
            raise
        except StoreError as error:
            # No record can be written, and without one nothing is granted.
            _LOG.error("call %s: the store failed: %s", correlation_id, error)
            raise UnavailableError("store", correlation_id=correlation_id) from error
        except Exception as error:
            # Only the kind of the error is logged: its text may quote what a client sent.
            _LOG.error("call %s: unexpected %s", correlation_id, type(error).__name__)
            self._refuse(call, "unexpected")
            raise UnexpectedError("unexpected", correlation_id=correlation_id) from error

    def _refuse(self, call: Call, reason: str) -> None:
        try:
            if not (call.by_anybody and self.sampler.takes(call.facts["event"], reason)):
                self._commit_refusal(call, reason)
        except StoreError as error:
            _LOG.error("call %s: the store failed: %s", call.correlation_id, error)
            raise UnavailableError("store", correlation_id=call.correlation_id) from error

    def _commit_refusal(self, call: Call, reason: str) -> None:
        refused = call.record("refused", reason)
        writes = [*call.marks, *call.penalties]
        while True:
            try:
                self._audit.commit([refused], writes)
            except ConditionFailedError as error:
                # A locked factor must not keep the challenge from counting, nor the other way round.
                writes.remove(error.write)
                if isinstance(error.write, CountFailure):
                    refused = call.record("refused", "throttled")
            else:
                return
