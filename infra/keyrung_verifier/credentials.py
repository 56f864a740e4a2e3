"""Adding, listing and revoking the factors that subjects hold; an operator's work, never open over HTTP.

The seed of an authenticator app is shown once and stored sealed by a provisioned key, bound to its credential. Several
credentials that are added together are added whole or not at all.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from keyrung_policies import jws
from keyrung_policies.canonical import canonical_bytes
from keyrung_policies.errors import CanonicalError
from keyrung_verifier.audit_writer import AuditWriter, Entry
from keyrung_verifier.errors import CredentialError
from keyrung_verifier.factors import token_signature, totp
from keyrung_verifier.keys import public_members, thumbprint
from keyrung_verifier.limits import CHALLENGE_ID_BYTES, MAX_ID_CHARS, TOKEN_ID_BYTES, TOTP_SEED_BYTES
from keyrung_verifier.protocols import Clock, Random, Sealer
from keyrung_verifier.store.protocol import (
    AddCredential,
    ConditionFailedError,
    Credential,
    ForgetFailures,
    RevokeCredential,
    RevokeTicket,
    Store,
    Ticket,
    Write,
)

ACTOR = "operator"
# Same rule as for identifiers from outside: no control character, so one subject has one spelling.
_SUBJECT = re.compile(rf"[^\x00-\x1f\x7f]{{1,{MAX_ID_CHARS}}}")
# What an app shows before the colon; another colon would end it early.
_ISSUER_NAME = re.compile(r"[^\x00-\x1f\x7f:]{1,64}")

Evidence = Mapping[str, str | int | bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTotp:
    """A new authenticator; its secret exists here and in the app, and nowhere else in the clear."""

    credential_id: str
    secret_base32: str = field(repr=False)
    otpauth_uri: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """A TOTP seed on its way into the store; `evidence` says where it came from."""

    subject_id: str
    seed: bytes = field(repr=False)
    evidence: Evidence = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A public key that a person's token is said to hold; `evidence` says who says so."""

    subject_id: str
    public_jwk: Mapping[str, str]
    evidence: Evidence = field(default_factory=dict)


class Credentials:
    """The credentials in a store; each change travels with its audit record.

    Args:
        store: Where they are kept.
        audit: Writes to the same store.
        clock: The time of each change.
        random: A secure source.
        operator: Who makes the changes; the log names them by a keyed hash.
    """

    def __init__(self, *, store: Store, audit: AuditWriter, clock: Clock, random: Random, operator: str) -> None:
        self._store = store
        self._audit = audit
        self._clock = clock
        self._random = random
        self._operator = operator

    def new_seed(self) -> bytes:
        """Return a new TOTP seed (RFC 4226 section 4 R6)."""
        return self._random.token_bytes(TOTP_SEED_BYTES)

    @property
    def batch_limit(self) -> int:
        """Return how many credentials can be added at once."""
        return self._store.batch_limit

    def add_totp(self, subject_id: str, *, sealer: Sealer, issuer_name: str) -> NewTotp:
        """Add an authenticator app and return what to type into it, once.

        Args:
            subject_id: Whose it is, exactly as the application names the subject.
            sealer: The provisioned key that seals the seed.
            issuer_name: What the app shows beside the code.

        Raises:
            CredentialError: Subject or issuer name is malformed, or the subject holds too many.
        """
        check_issuer_name(issuer_name)
        seed = self.new_seed()
        (added,) = self.add_seeds([Seed(subject_id=subject_id, seed=seed)], sealer=sealer)
        return NewTotp(
            credential_id=added.credential_id,
            secret_base32=totp.base32(seed),
            otpauth_uri=totp.otpauth_uri(issuer_name=issuer_name, subject_id=subject_id, seed=seed),
        )

    def add_seeds(self, seeds: Sequence[Seed], *, sealer: Sealer) -> Sequence[Credential]:
        """Add authenticators whose secret is known already, all or none.

        Raises:
            CredentialError: A subject is malformed or holds too many.
        """
        for seed in seeds:
            check_subject(seed.subject_id)
        ids = [jws.encode_base64url(self._random.token_bytes(TOKEN_ID_BYTES)) for _ in seeds]
        contexts = [
            totp.seed_context(subject_id=seed.subject_id, credential_id=credential_id)
            for seed, credential_id in zip(seeds, ids, strict=True)
        ]
        sealed = sealer.seal_many([(seed.seed, context) for seed, context in zip(seeds, contexts, strict=True)])
        sealed_by = {"sealed_by": sealer.key_uri, "generation": sealer.generation}
        return self._add(
            [
                Credential(
                    credential_id=credential_id,
                    subject_id=seed.subject_id,
                    factor=totp.NAME,
                    sealed_seed=text,
                    evidence={**seed.evidence, **sealed_by},
                    created_at_seconds=self._now_seconds(),
                )
                for seed, credential_id, text in zip(seeds, ids, sealed, strict=True)
            ]
        )

    def add_token(
        self,
        subject_id: str,
        *,
        public_jwk: Mapping[str, str],
        evidence: Evidence,
        prove: Callable[[bytes], bytes],
    ) -> Credential:
        """Add a key in the subject's hardware token, named by its RFC 7638 thumbprint.

        Args:
            subject_id: Whose it is.
            public_jwk: The public key; its algorithm is fixed from now on.
            evidence: What was read back from the token; `hardware: true` only where that was proven.
            prove: Returns the key's signature over the given bytes, in JOSE form; they are new each time.

        Raises:
            CredentialError: The subject or key is malformed, the private half is not at hand, the key is known, or the
                subject holds too many.
        """
        check_subject(subject_id)
        key = checked_key(public_jwk)
        text = token_signature.enrolment_input(
            subject_id=subject_id, key_id=thumbprint(key), nonce=self._random.token_bytes(CHALLENGE_ID_BYTES)
        )
        if not jws.signature_fits(key, signing_input=text, signature=prove(text)):
            raise CredentialError("the token does not prove that it holds this key; check which token is plugged in")
        proven = PublicKey(subject_id=subject_id, public_jwk=key, evidence={**evidence, "possession_proven": True})
        return self.add_keys([proven])[0]

    def add_keys(self, keys: Sequence[PublicKey]) -> Sequence[Credential]:
        """Add public keys without asking for a signature, all or none.

        Raises:
            CredentialError: A subject or key is malformed, a key is known, or a subject holds too many.
        """
        return self._add([self._token_credential(key) for key in keys])

    def list(self, subject_id: str | None = None) -> Sequence[Credential]:
        """Return the credentials of a subject, or all, oldest first, the revoked ones too."""
        return self._store.credentials(subject_id)

    def revoke(self, credential_id: str) -> None:
        """Revoke a credential; neither it nor what it earned counts from the next request on (ASVS 5.0 6.5.6).

        Raises:
            CredentialError: It is unknown or revoked.
        """
        found = self._store.credential(credential_id)
        if found is None:
            raise CredentialError(
                f"there is no credential {credential_id!r}; look it up with `keyrung credential list`"
            )
        revoke = RevokeCredential(credential_id=credential_id, now_seconds=self._now_seconds())
        try:
            self._audit.commit([self._entry("credential.revoked", found)], [revoke])
        except ConditionFailedError as error:
            raise CredentialError(f"the credential {credential_id!r} was revoked before; nothing to do") from error

    def revoke_all(self, subject_id: str) -> Sequence[str]:
        """Revoke every credential and open ticket of a subject in one commit; return their ids.

        That ends the subject's open challenges and unspent assertions too, also where they enrol again (ASVS 5.0
        7.4.2): a challenge is answered, and an assertion pays, with what stood when it was made and stands still.

        Raises:
            CredentialError: There is nothing to revoke, or it changed just now.
        """
        now_seconds = self._now_seconds()
        held = [each for each in self._store.credentials(subject_id) if each.revoked_at_seconds is None]
        tickets = [
            each
            for each in self._store.tickets(subject_id)
            if each.redeemed_at_seconds is None and each.revoked_at_seconds is None
        ]
        if not held and not tickets:
            raise CredentialError(f"{subject_id!r} has no credential and no open ticket; check the subject's id")
        writes: list[Write] = [RevokeTicket(ticket_id=each.ticket_id, now_seconds=now_seconds) for each in tickets]
        writes += [RevokeCredential(credential_id=each.credential_id, now_seconds=now_seconds) for each in held]
        entries = [self._entry("ticket.revoked", each) for each in tickets]
        entries += [self._entry("credential.revoked", each) for each in held]
        try:
            self._audit.commit(entries, writes)
        except ConditionFailedError as error:
            raise CredentialError(f"what {subject_id!r} holds was changed just now; do it again") from error
        return [each.credential_id for each in held] + [each.ticket_id for each in tickets]

    def _token_credential(self, key: PublicKey) -> Credential:
        check_subject(key.subject_id)
        members = checked_key(key.public_jwk)
        try:
            canonical_bytes(dict(key.evidence))
        except CanonicalError as error:
            raise CredentialError("the evidence is not texts, integers and booleans; correct it") from error
        return Credential(
            credential_id=thumbprint(members),
            subject_id=key.subject_id,
            factor=token_signature.NAME,
            public_jwk=members,
            evidence=dict(key.evidence),
            created_at_seconds=self._now_seconds(),
        )

    def _add(self, credentials: Sequence[Credential]) -> Sequence[Credential]:
        writes: list[Write] = []
        for credential in credentials:
            # Binding anew is what unlocks a factor after too many failures (SP 800-63B-4 section 3.2.2).
            unlock = ForgetFailures(subject_id=credential.subject_id, factor=credential.factor)
            writes += [AddCredential(credential=credential), unlock]
        try:
            self._audit.commit([self._entry("credential.added", credential) for credential in credentials], writes)
        except ConditionFailedError as error:
            whose = f" of {error.write.credential.subject_id!r}" if isinstance(error.write, AddCredential) else ""
            raise CredentialError(
                f"this credential{whose} is registered already, or the subject holds too many of this factor;"
                " revoke one first"
            ) from error
        return credentials

    def _entry(self, event: str, of: Credential | Ticket) -> Entry:
        return Entry(
            event=event,
            outcome="success",
            actor=ACTOR,
            operator=self._operator,
            subject_id=of.subject_id,
            factor=of.factor,
            credential_id=of.ticket_id if isinstance(of, Ticket) else of.credential_id,
        )

    def _now_seconds(self) -> int:
        return math.floor(self._clock.now().timestamp())


def check_subject(subject_id: str) -> None:
    """Raise `CredentialError` unless the text can name a subject."""
    if _SUBJECT.fullmatch(subject_id) is None:
        raise CredentialError(
            f"the subject id is empty, longer than {MAX_ID_CHARS} characters or has control characters; use the"
            " application's own id"
        )


def check_issuer_name(name: str) -> None:
    """Raise `CredentialError` unless an authenticator app can show the name."""
    if _ISSUER_NAME.fullmatch(name) is None:
        raise CredentialError("the issuer name is empty, over 64 characters, or has a colon or control character")


def checked_key(public_jwk: Mapping[str, str]) -> dict[str, str]:
    """Return the required members of a public key.

    Raises:
        CredentialError: It is no valid public key of ours.
    """
    key = public_members(public_jwk)
    if key is None:
        raise CredentialError("the key is not a valid P-256 or Ed25519 public key; pass its public JWK")
    return key
