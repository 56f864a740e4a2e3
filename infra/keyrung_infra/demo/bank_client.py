"""Alice's banking app: ordinary requests with her session, and the same again with an assertion."""

import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from keyrung_infra.errors import InfraError

_TIMEOUT_SECONDS = 10
_PARAMETER = re.compile(r'([a-z_]+)="([^"]*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUpAsked:
    """What a 401 of RFC 9470 says; ``header`` is the header as it came."""

    header: str
    error: str
    acr_values: str
    max_age: str
    step_up_uri: str


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
        headers = {"Step-Up-Assertion": assertion} if assertion else {}
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

    def asked(self, response: httpx.Response) -> StepUpAsked:
        """Return what the guard asks for (RFC 9470 section 3)."""
        header = self.expect(httpx.codes.UNAUTHORIZED, response).headers.get("www-authenticate", "")
        found = dict(_PARAMETER.findall(header))
        return StepUpAsked(
            header=header,
            error=found.get("error", ""),
            acr_values=found.get("acr_values", ""),
            max_age=found.get("max_age", ""),
            step_up_uri=found.get("stepup_uri", ""),
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
