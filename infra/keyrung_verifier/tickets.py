"""Enrolment tickets: the right to enrol one factor for one subject, once, within a stated time.

An operator issues one and sends its link; whoever holds the link redeems it. The store knows its hash only, so neither
a reader of the store nor of the log can redeem one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from keyrung_policies import jws
from keyrung_verifier.audit_writer import AuditWriter, Entry, hash_id
from keyrung_verifier.calls import Call, CallRunner
from keyrung_verifier.credentials import ACTOR, check_subject
from keyrung_verifier.errors import CredentialError, StrictFormError, TicketRefusedError
from keyrung_verifier.limits import (
    MAX_TICKET_TTL_SECONDS,
    MIN_TICKET_TTL_SECONDS,
    TICKET_BYTES,
    TICKET_TTL_SECONDS,
    TOKEN_ID_BYTES,
)
from keyrung_verifier.protocols import Clock, Random
from keyrung_verifier.store.protocol import ConditionFailedError, KeepTicket, RedeemTicket, RevokeTicket, Store, Ticket
from keyrung_verifier.strict import decode_base64url

FACTOR = "webauthn"


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketOrder:
    """A ticket to be issued; `secret` is what its link will carry."""

    subject_id: str
    secret: str = field(repr=False)


class Tickets:
    """The enrolment tickets in a store; each change travels with its audit record.

    Args:
        store: Where they are kept.
        audit: Writes to the same store.
        clock: The server's time.
        random: A secure source.
        operator: Who issues and revokes; the log names them by a keyed hash.
    """

    def __init__(self, *, store: Store, audit: AuditWriter, clock: Clock, random: Random, operator: str) -> None:
        self._store = store
        self._audit = audit
        self._clock = clock
        self._random = random
        self._operator = operator
        self._runner = CallRunner(audit=audit, clock=clock, random=random)

    def order(self, subject_id: str) -> TicketOrder:
        """Return a ticket with a new secret, not issued yet."""
        return TicketOrder(subject_id=subject_id, secret=jws.encode_base64url(self._random.token_bytes(TICKET_BYTES)))

    def issue(self, orders: Sequence[TicketOrder], *, ttl_seconds: int = TICKET_TTL_SECONDS) -> Sequence[Ticket]:
        """Issue tickets for WebAuthn enrolment, all or none.

        Args:
            orders: For whom, and the secrets.
            ttl_seconds: How long they can be redeemed.

        Raises:
            CredentialError: A subject is malformed or has too many open tickets, or the life is out of bounds.
        """
        if not MIN_TICKET_TTL_SECONDS <= ttl_seconds <= MAX_TICKET_TTL_SECONDS:
            raise CredentialError(
                f"a ticket lives {MIN_TICKET_TTL_SECONDS} to {MAX_TICKET_TTL_SECONDS} seconds; choose a time in between"
            )
        tickets = [self._ticket(order, ttl_seconds) for order in orders]
        try:
            self._audit.commit(
                [self._entry("ticket.issued", ticket) for ticket in tickets],
                [KeepTicket(ticket=ticket) for ticket in tickets],
            )
        except ConditionFailedError as error:
            whose = f"{error.write.ticket.subject_id!r}" if isinstance(error.write, KeepTicket) else "a subject"
            raise CredentialError(f"{whose} has too many open tickets; revoke one first") from error
        return tickets

    def redeem(self, secret: str) -> Ticket:
        """Use up a ticket and return whose it was; exactly one of any number of tries at once succeeds.

        Raises:
            TicketRefusedError: It is malformed, unknown, expired, used or revoked; one answer for all of them.
            UnavailableError: The store cannot do it now; nothing was used up.
        """
        return self._runner.run("ticket.redeemed", lambda call: self._redeem(call, secret), actor=None)

    def list(self, subject_id: str | None = None) -> Sequence[Ticket]:
        """Return the tickets of a subject, or all, oldest first; those past their time are forgotten."""
        return self._store.tickets(subject_id)

    def revoke(self, ticket_id: str) -> None:
        """Revoke an open ticket.

        Raises:
            CredentialError: It is unknown, or was redeemed or revoked.
        """
        found = next((ticket for ticket in self._store.tickets() if ticket.ticket_id == ticket_id), None)
        if found is None:
            raise CredentialError(f"there is no ticket {ticket_id!r}; look it up with `keyrung credential list`")
        try:
            revoke = RevokeTicket(ticket_id=ticket_id, now_seconds=self._now_seconds())
            self._audit.commit([self._entry("ticket.revoked", found)], [revoke])
        except ConditionFailedError as error:
            raise CredentialError(f"the ticket {ticket_id!r} was redeemed or revoked before; nothing to do") from error

    def _redeem(self, call: Call, secret: str) -> Ticket:
        try:
            decode_base64url(secret, size_bytes=TICKET_BYTES)
        except StrictFormError as error:
            raise TicketRefusedError("malformed") from error
        found = self._store.ticket(hash_id(secret))
        if found is None:
            raise TicketRefusedError("unknown")
        call.by_anybody = False
        call.learn(subject_id=found.subject_id, factor=found.factor, credential_id=found.ticket_id)
        redeem = RedeemTicket(ticket_hash=found.ticket_hash, now_seconds=self._now_seconds())
        try:
            self._audit.commit([call.record("success")], [redeem])
        except ConditionFailedError as error:
            raise TicketRefusedError(self._reason(found)) from error
        return found

    def _reason(self, ticket: Ticket) -> str:
        if ticket.revoked_at_seconds is not None:
            return "revoked"
        return "expired" if ticket.expires_at_seconds <= self._now_seconds() else "used"

    def _ticket(self, order: TicketOrder, ttl_seconds: int) -> Ticket:
        check_subject(order.subject_id)
        now_seconds = self._now_seconds()
        return Ticket(
            ticket_id=jws.encode_base64url(self._random.token_bytes(TOKEN_ID_BYTES)),
            ticket_hash=hash_id(order.secret),
            subject_id=order.subject_id,
            factor=FACTOR,
            created_at_seconds=now_seconds,
            expires_at_seconds=now_seconds + ttl_seconds,
        )

    def _entry(self, event: str, ticket: Ticket) -> Entry:
        return Entry(
            event=event,
            outcome="success",
            actor=ACTOR,
            operator=self._operator,
            subject_id=ticket.subject_id,
            factor=ticket.factor,
            credential_id=ticket.ticket_id,
        )

    def _now_seconds(self) -> int:
        return math.floor(self._clock.now().timestamp())
