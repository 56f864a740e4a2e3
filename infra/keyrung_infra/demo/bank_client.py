"""Alice's banking app: ordinary requests with her session, and the same again with an assertion."""

import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from keyrung_infra.errors import InfraError
from keyrung_verifier.client.challenge import StepUpChallenge, step_up_challenge
from keyrung_verifier.client.transport import ASSERTION_HEADER

_TIMEOUT_SECONDS = 10


class BankClient:
    """Talks to the sample API as one session."""

    def __init__(self, url: str, *, session_token: str, ca_file: Path) -> None:
        """Trust exactly the authority in ``ca_file``."""
        self._http = httpx.Client(
            base_url=url,
            verify=ssl.create_default_context(cafile=str(ca_file)),
            headers={"Authorization": f"Bearer {session_token}"},
            timeout=_TIMEOUT_SECONDS,
        )

    def send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, assertion: str = ""
    ) -> httpx.Response:
        """Send a request; with an assertion it is the retry after a step-up."""
        headers = {ASSERTION_HEADER: assertion} if assertion else {}
        content = None if body is None else json.dumps(body).encode()
        try:
            return self._http.request(method, path, content=content, headers=headers)
        except httpx.HTTPError as error:
            raise InfraError(
                f"the bank did not answer {method} {path} ({type(error).__name__})", fix="run the demo again"
            ) from error

    def expect(self, wanted_status: int, response: httpx.Response) -> httpx.Response:
        """Return the response if it has the wanted status."""
        if response.status_code != wanted_status:
            raise InfraError(
                f"{response.request.method} {response.request.url.path} answered {response.status_code}"
                f" instead of {wanted_status}",
                fix="look at `keyrung audit show`",
            )
        return response

    def asked(self, response: httpx.Response) -> StepUpChallenge:
        """Return what the guard asks for (RFC 9470 section 3)."""
        challenge = step_up_challenge(self.expect(httpx.codes.UNAUTHORIZED, response))
        if challenge is None:
            raise InfraError("the answer is not that of RFC 9470", fix="look at `keyrung audit show`")
        return challenge

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
