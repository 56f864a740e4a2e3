"""The person's side of a step-up: look at a challenge, answer it, get the assertion.

The origin that a token signs is the one of this client's own TLS connection. The text to sign is refused unless it
begins with that origin, so a page in between cannot have it signed for somewhere else.
"""

import base64
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from keyrung_infra.errors import InfraError
from keyrung_infra.user_token import UserToken
from keyrung_verifier.factors.token_signature import LABEL
from keyrung_verifier.factors.token_signature import NAME as TOKEN_SIGNATURE
from keyrung_verifier.strict import length_prefixed

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

    def challenge(self, step_up_uri: str) -> Mapping[str, Any]:
        """Return what the challenge asks: its display text, factors and expiry."""
        return self._answer(self._http.get(step_up_uri))

    def answer_code(self, step_up_uri: str, code: str) -> str:
        """Answer with the code of an authenticator app; return the assertion."""
        return self._respond(step_up_uri, {"factor": "otp", "code": code})

    def answer_token(self, step_up_uri: str, token: UserToken) -> str:
        """Answer with a signature of the person's token; return the assertion."""
        challenge = self.challenge(step_up_uri)
        offer = next((each for each in challenge["factors"] if each["type"] == TOKEN_SIGNATURE), None)
        if offer is None:
            raise InfraError("this challenge does not take a token's signature", fix="use another factor")
        origin = f"https://{urlsplit(step_up_uri).netloc}"
        text = base64.urlsafe_b64decode(offer["signing_input"] + "==")
        if not text.startswith(length_prefixed(LABEL, origin, challenge["challenge_id"])):
            raise InfraError(
                f"the text to sign is not for {origin}, where it came from", fix="do not sign; report the page"
            )
        signature = base64.urlsafe_b64encode(token.sign(text)).rstrip(b"=").decode()
        return self._respond(
            step_up_uri,
            {
                "factor": TOKEN_SIGNATURE,
                "credential_id": offer["credential_id"],
                "origin": origin,
                "signature": signature,
            },
        )

    def _respond(self, step_up_uri: str, answer: Mapping[str, str]) -> str:
        return str(self._answer(self._http.post(f"{step_up_uri}/response", json=answer))["assertion"])

    @staticmethod
    def _answer(response: httpx.Response) -> Mapping[str, Any]:
        if response.status_code != httpx.codes.OK:
            raise StepUpRefusedError(
                "the verifier refused the answer", fix="ask for a new challenge", status=str(response.status_code)
            )
        found: Mapping[str, Any] = response.json()
        return found

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
