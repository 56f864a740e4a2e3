"""Time-based one-time codes (RFC 6238): SHA-1, 6 digits, 30 seconds, as every authenticator app has them.

pyotp computes the codes. It also accepts full-width digits and any reuse, so nothing of what a client sends reaches
it: the answer must be exactly six ASCII digits, and is compared with the codes of three steps.
"""

import base64
import hmac
import re
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import quote, urlencode

import pyotp
from msgspec import Meta, Struct

from keyrung_verifier.challenge import Challenge
from keyrung_verifier.errors import UnavailableError, WrongAnswerError
from keyrung_verifier.factors.protocol import Attempt, Proof
from keyrung_verifier.limits import (
    MAX_CODE_CHARS,
    MIN_TOTP_SEED_BYTES,
    TOTP_DIGITS,
    TOTP_STEP_SECONDS,
    TOTP_WINDOW_STEPS,
)
from keyrung_verifier.models import Model, Offer, OtpOffer
from keyrung_verifier.protocols import Sealer
from keyrung_verifier.store.protocol import AdvanceCounter, Credential
from keyrung_verifier.strict import length_prefixed

NAME = "otp"
AMR = ("otp",)
SEED_LABEL = "keyrung totp seed v1"
# ASCII only: \d without the flag, and pyotp, also take full-width digits.
_CODE = re.compile(rf"[0-9]{{{TOTP_DIGITS}}}", re.ASCII)


class OtpAnswer(Model, frozen=True, tag=NAME, tag_field="factor"):
    """The code that the authenticator app shows; exactly six ASCII digits can be right."""

    code: Annotated[str, Meta(max_length=MAX_CODE_CHARS)]


def code_at(seed: bytes, step: int) -> str:
    """Return the code of a step (RFC 6238 section 4.2, RFC 4226 section 5.3)."""
    return pyotp.HOTP(base32(seed), digits=TOTP_DIGITS).at(step)


def step_of(seconds: float) -> int:
    """Return the step a moment lies in."""
    return int(seconds) // TOTP_STEP_SECONDS


def seed_context(*, subject_id: str, credential_id: str) -> bytes:
    """Return the context a seed is sealed under, so that it opens for its own credential only."""
    return length_prefixed(SEED_LABEL, subject_id, credential_id)


def base32(seed: bytes) -> str:
    """Return a seed as people and apps write it."""
    return base64.b32encode(seed).decode("ascii")


def otpauth_uri(*, issuer_name: str, subject_id: str, seed: bytes) -> str:
    """Return what an authenticator app scans: the key URI format, with every parameter spelt out."""
    parameters = {
        "secret": base32(seed),
        "issuer": issuer_name,
        "algorithm": "SHA1",
        "digits": TOTP_DIGITS,
        "period": TOTP_STEP_SECONDS,
    }
    label = f"{quote(issuer_name, safe='')}:{quote(subject_id, safe='')}"
    return f"otpauth://totp/{label}?{urlencode(parameters, quote_via=quote)}"


class Totp:
    """The factor `otp`."""

    name = NAME
    credential_factor = NAME
    guessable = True

    def proves(self, credential: Credential) -> frozenset[str]:
        """Return the one-time password alone: whoever relays a code passes it on (SP 800-63B-4 section 3.2.5)."""
        return frozenset({NAME})

    def offers(
        self, challenge_id: str, challenge: Challenge, credentials: Sequence[Credential], origin: str
    ) -> Sequence[Offer]:
        """Return one offer, however many authenticators there are."""
        return [OtpOffer()] if credentials else []

    def check(self, answer: Struct, attempt: Attempt) -> Proof:
        """Return the proof for the code of one of the subject's authenticators."""
        if not isinstance(answer, OtpAnswer) or _CODE.fullmatch(answer.code) is None:
            raise WrongAnswerError("code_form")
        matches = [
            (step, credential.credential_id, credential)
            for credential in attempt.credentials
            for step in _matching_steps(_open_seed(credential, attempt.sealer), answer.code, attempt.now.timestamp())
        ]
        if not matches:
            raise WrongAnswerError("wrong_code")
        # Where one code fits several steps, the latest: it takes the earlier ones with it.
        step, _, credential = max(matches, key=lambda match: match[:2])
        used = AdvanceCounter(name=f"{NAME}:{attempt.challenge.subject_id}", value=step)
        return Proof(factor=self, credential=credential, amr=AMR, writes=(used,))


def _matching_steps(seed: bytes, code: str, now_seconds: float) -> list[int]:
    present = step_of(now_seconds)
    steps = range(max(0, present - TOTP_WINDOW_STEPS), present + TOTP_WINDOW_STEPS + 1)
    # Every step is computed and compared, in constant time each, whichever fits.
    fits = [(step, hmac.compare_digest(code_at(seed, step), code)) for step in steps]
    return [step for step, fit in fits if fit]


def _open_seed(credential: Credential, sealer: Sealer) -> bytes:
    if credential.sealed_seed is None:
        raise UnavailableError("seed_missing")
    context = seed_context(subject_id=credential.subject_id, credential_id=credential.credential_id)
    try:
        seed = sealer.open(credential.sealed_seed, context=context)
    except Exception as error:  # whatever a key store raises, the outcome is the same: no seed
        raise UnavailableError("seed_key") from error
    if len(seed) < MIN_TOTP_SEED_BYTES:
        raise UnavailableError("seed_short")
    return seed
