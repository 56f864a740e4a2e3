"""Adding, listing and revoking the factors that subjects hold; an operator's work, never open over HTTP.

The seed of an authenticator app is shown once and stored sealed by a provisioned key, bound to its credential.
"""

import base64
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from keyrung_policies import jws
from keyrung_policies.canonical import canonical_bytes
from keyrung_policies.errors import CanonicalError
from keyrung_verifier.audit_writer import AuditWriter, Entry
from keyrung_verifier.errors import CredentialError
from keyrung_verifier.factors import token_signature, totp
from keyrung_verifier.keys import public_members, thumbprint
from keyrung_verifier.limits import MAX_ID_CHARS, TOKEN_ID_BYTES, TOTP_DIGITS, TOTP_SEED_BYTES, TOTP_STEP_SECONDS
from keyrung_verifier.protocols import Clock, Random, Sealer
from keyrung_verifier.store.protocol import (
    AddCredential,
    ConditionFailedError,
    Credential,
    ForgetFailures,
    RevokeCredential,
    Store,
)

ACTOR = "keyrung"
# Same rule as for identifiers from outside: no control character, so one subject has one spelling.
_SUBJECT = re.compile(rf"[^\x00-\x1f\x7f]{{1,{MAX_ID_CHARS}}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTotp:
    """A new authenticator; its secret exists here and in the app, and nowhere else in the clear."""

    credential_id: str
    secret_base32: str = field(repr=False)
    otpauth_uri: str = field(repr=False)


class Credentials:
    """The credentials in a store; each change travels with its audit record."""

    def __init__(self, *, store: Store, audit: AuditWriter, clock: Clock, random: Random) -> None:
        self._store = store
        self._audit = audit
        self._clock = clock
        self._random = random

    def add_totp(self, subject_id: str, *, sealer: Sealer, issuer_name: str) -> NewTotp:
        """Add an authenticator app and return what to type into it, once.

        Args:
            subject_id: Whose it is, exactly as the application names the subject.
            sealer: The provisioned key that seals the seed.
            issuer_name: What the app shows beside the code.

        Raises:
            CredentialError: The subject is malformed or holds too many.
        """
        _check_subject(subject_id)
        credential_id = jws.encode_base64url(self._random.token_bytes(TOKEN_ID_BYTES))
        seed = self._random.token_bytes(TOTP_SEED_BYTES)
        context = totp.seed_context(subject_id=subject_id, credential_id=credential_id)
        sealed = sealer.seal(seed, context=context)
        self._add(
            Credential(
                credential_id=credential_id,
                subject_id=subject_id,
                factor=totp.NAME,
                sealed_seed=sealed,
                evidence={"sealed_by": sealer.key_uri, "generation": sealer.generation},
                created_at_seconds=self._now_seconds(),
            )
        )
        secret = base64.b32encode(seed).decode("ascii")
        return NewTotp(
            credential_id=credential_id,
            secret_base32=secret,
            otpauth_uri=_otpauth_uri(issuer_name, subject_id, secret),
        )

    def add_token(
        self, subject_id: str, *, public_jwk: Mapping[str, str], evidence: Mapping[str, str | int | bool]
    ) -> Credential:
        """Add a key in the subject's hardware token, named by its RFC 7638 thumbprint.

        Args:
            subject_id: Whose it is.
            public_jwk: The public key; its algorithm is fixed from now on.
            evidence: What was read back from the token; `hardware: true` only where that was proven.

        Raises:
            CredentialError: The subject or key is malformed, the key is known, or the subject holds too many.
        """
        _check_subject(subject_id)
        key = public_members(public_jwk)
        if key is None:
            raise CredentialError("the key is not a valid P-256 or Ed25519 public key; pass its public JWK")
        try:
            canonical_bytes(dict(evidence))
        except CanonicalError as error:
            raise CredentialError("the evidence is not texts, integers and booleans; correct it") from error
        credential = Credential(
            credential_id=thumbprint(key),
            subject_id=subject_id,
            factor=token_signature.NAME,
            public_jwk=key,
            evidence=dict(evidence),
            created_at_seconds=self._now_seconds(),
        )
        self._add(credential)
        return credential

    def list(self, subject_id: str | None = None) -> Sequence[Credential]:
        """Return the credentials of a subject, or all, oldest first, the revoked ones too."""
        return self._store.credentials(subject_id)

    def revoke(self, credential_id: str) -> None:
        """Revoke a credential; it counts no more from the next request on (ASVS 5.0 6.5.6).

        Raises:
            CredentialError: It is unknown or revoked.
        """
        found = next((held for held in self._store.credentials() if held.credential_id == credential_id), None)
        if found is None:
            raise CredentialError(
                f"there is no credential {credential_id!r}; look it up with `keyrung credential list`"
            )
        revoke = RevokeCredential(credential_id=credential_id, now_seconds=self._now_seconds())
        try:
            self._audit.commit([_entry("credential.revoked", found)], [revoke])
        except ConditionFailedError as error:
            raise CredentialError(f"the credential {credential_id!r} was revoked before; nothing to do") from error

    def _add(self, credential: Credential) -> None:
        # Binding anew is what unlocks a factor after too many failures (SP 800-63B-4 section 3.2.2).
        unlock = ForgetFailures(subject_id=credential.subject_id, factor=credential.factor)
        try:
            self._audit.commit([_entry("credential.added", credential)], [AddCredential(credential=credential), unlock])
        except ConditionFailedError as error:
            raise CredentialError(
                "this credential is registered already, or the subject holds too many of this factor; revoke one first"
            ) from error

    def _now_seconds(self) -> int:
        return math.floor(self._clock.now().timestamp())


def _entry(event: str, credential: Credential) -> Entry:
    return Entry(
        event=event,
        outcome="success",
        actor=ACTOR,
        subject_id=credential.subject_id,
        factor=credential.factor,
        credential_id=credential.credential_id,
    )


def _check_subject(subject_id: str) -> None:
    if _SUBJECT.fullmatch(subject_id) is None:
        raise CredentialError(
            f"the subject id is empty, longer than {MAX_ID_CHARS} characters or has control characters; use the"
            " application's own id"
        )


def _otpauth_uri(issuer_name: str, subject_id: str, secret: str) -> str:
    label = f"{quote(issuer_name, safe='')}:{quote(subject_id, safe='')}"
    parameters = {
        "secret": secret,
        "issuer": issuer_name,
        "algorithm": "SHA1",
        "digits": TOTP_DIGITS,
        "period": TOTP_STEP_SECONDS,
    }
    return f"otpauth://totp/{label}?{urlencode(parameters, quote_via=quote)}"
