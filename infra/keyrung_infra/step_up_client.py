"""The person's side of a step-up: look at a challenge, answer it, get the assertion.

The origin that a token signs is the one of this client's own TLS connection. The text to sign is refused unless it
begins with that origin and the challenge that was opened, so a page in between cannot have it signed for somewhere
else.
"""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from keyrung_infra.errors import InfraError
from keyrung_infra.user_token import UserToken
from keyrung_provisioners import encoding
from keyrung_verifier.factors.token_signature import LABEL
from keyrung_verifier.factors.token_signature import NAME as TOKEN_SIGNATURE
from keyrung_verifier.models import AssertionIssued, ChallengeView, TokenSignatureOffer
from keyrung_verifier.strict import length_prefixed

_Form = TypeVar("_Form", ChallengeView, AssertionIssued)
_TIMEOUT_SECONDS = 10


class StepUpRefusedError(InfraError):
    """The verifier did not take the answer; it says no more than that."""


class StepUpClient:
    """Answers challenges over TLS, trusting exactly the authority in ``ca_file``."""

    def __init__(self, ca_file: Path) -> None:
        """Open no connection yet."""
        self._http = httpx.Client(
            verify=ssl.create_default_context(cafile=str(ca_file)), timeout=_TIMEOUT_SECONDS, follow_redirects=False
        )

    def challenge(self, step_up_uri: str) -> ChallengeView:
        """Return what the challenge asks: its display text, factors and expiry."""
        return self._send("GET", step_up_uri, ChallengeView)

    def answer_code(self, step_up_uri: str, code: str) -> str:
        """Answer with the code of an authenticator app; return the assertion."""
        return self._respond(step_up_uri, {"factor": "otp", "code": code})

    def answer_token(self, step_up_uri: str, token: UserToken) -> str:
        """Answer with a signature of the person's token; return the assertion."""
        origin, challenge_id = _origin(step_up_uri), step_up_uri.rpartition("/")[2]
        factors = self.challenge(step_up_uri).factors
        offer = next((each for each in factors if isinstance(each, TokenSignatureOffer)), None)
        if offer is None:
            raise InfraError("this challenge does not take a token's signature", fix="use another factor")
        text = _decoded(offer.signing_input)
        if not text.startswith(length_prefixed(LABEL, origin, challenge_id)):
            raise InfraError(
                f"the text to sign is not for this challenge of {origin}", fix="do not sign; report the page"
            )
        answer = {
            "factor": TOKEN_SIGNATURE,
            "credential_id": offer.credential_id,
            "origin": origin,
            "signature": encoding.base64url(token.sign(text)),
        }
        return self._respond(step_up_uri, answer)

    def _respond(self, step_up_uri: str, answer: Mapping[str, str]) -> str:
        return self._send("POST", f"{step_up_uri}/response", AssertionIssued, answer).assertion

    def _send(self, method: str, uri: str, form: type[_Form], body: Mapping[str, str] | None = None) -> _Form:
        origin = _origin(uri)
        try:
            response = self._http.request(method, uri, json=body)
            if response.status_code == httpx.codes.OK:
                return msgspec.json.decode(response.content, type=form)
        except (httpx.HTTPError, msgspec.MsgspecError) as error:
            raise InfraError(
                f"{origin} did not answer as the verifier does ({type(error).__name__})",
                fix="check that the verifier runs and that its certificate is of the expected authority",
            ) from error
        if response.status_code == httpx.codes.ACCEPTED:
            raise InfraError(
                "the answer is right, and this challenge needs another one besides",
                fix="answer the same challenge with another of its factors as well",
            )
        raise StepUpRefusedError(
            "the verifier refused the answer", fix="ask for a new challenge", status=str(response.status_code)
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def _origin(uri: str) -> str:
    """Return the origin of an https URI; nothing is asked or signed over anything else."""
    parts = urlsplit(uri)
    if parts.scheme != "https" or not parts.netloc:
        raise InfraError("the challenge is not at an https address", fix="do not answer; report the page")
    return f"https://{parts.netloc}"


def _decoded(text: str) -> bytes:
    try:
        return encoding.from_base64url(text)
    except ValueError:
        return b""  # which is no text for any challenge
