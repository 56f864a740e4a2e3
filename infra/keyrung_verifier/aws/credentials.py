"""Where the verifier gets its AWS credentials: from the environment, or from the platform's own endpoint.

A function of AWS Lambda finds them in its environment; one that was started from a snapshot finds there the address
of an endpoint instead, which gives temporary ones and new ones in time.
"""

import http.client
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias
from urllib.parse import urlsplit

from keyrung_verifier.aws.errors import AwsUnavailableError
from keyrung_verifier.errors import ConfigurationError
from keyrung_verifier.protocols import Clock

# The platform's endpoint is on this machine; it answers in milliseconds.
ENDPOINT_SECONDS = 2.0
# AWS has new credentials ready 5 minutes before the end of the old ones.
RENEW_BEFORE = timedelta(minutes=5)
MAX_ANSWER_BYTES = 64 * 1024
# Hosts to which the token may go in clear: loopback, and the link-local addresses of ECS and EKS.
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1", "169.254.170.2", "169.254.170.23", "fd00:ec2::23"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """An access key; temporary ones carry a session token."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


# Asked for each request, so it answers from memory; raises `AwsUnavailableError` where it has none.
CredentialSource: TypeAlias = Callable[[], Credentials]


def find_credentials(environment: Mapping[str, str], *, clock: Clock) -> CredentialSource:
    """Return the source that the environment names.

    Raises:
        ConfigurationError: It names none.
    """
    key_id, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    if key_id and secret:
        found = Credentials(
            access_key_id=key_id,
            secret_access_key=secret,
            session_token=environment.get("AWS_SESSION_TOKEN") or None,
        )
        return lambda: found
    uri = environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if uri:
        return EndpointCredentials(uri, token=environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", ""), clock=clock)
    raise ConfigurationError(
        "there are no AWS credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the function a role"
    )


class EndpointCredentials:
    """Credentials from the platform's endpoint, kept until shortly before their end; safe for threads."""

    def __init__(self, uri: str, *, token: str, clock: Clock) -> None:
        """Ask `uri`, with `token` as the Authorization header; nothing is asked before the first call."""
        parts = urlsplit(uri)
        in_clear = parts.scheme == "http" and parts.hostname in _LOCAL_HOSTS
        if not parts.hostname or not (parts.scheme == "https" or in_clear):
            raise ConfigurationError(
                "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor on this machine; correct it"
            )
        self._parts = parts
        self._token = token
        self._clock = clock
        self._lock = threading.Lock()
        self._known: tuple[Credentials, datetime] | None = None

    def __call__(self) -> Credentials:
        """Return credentials that are not over; raises `AwsUnavailableError`."""
        with self._lock:
            now = self._clock.now()
            if self._known is None or now >= self._known[1] - RENEW_BEFORE:
                try:
                    self._known = self._ask()
                except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
                    if self._known is None or now >= self._known[1]:
                        # Not chained: the answer that could not be read may hold a secret.
                        raise AwsUnavailableError("the credentials endpoint", type(error).__name__) from None
            return self._known[0]

    def _ask(self) -> tuple[Credentials, datetime]:
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._parts.hostname or "", self._parts.port, timeout=ENDPOINT_SECONDS)
        try:
            headers = {"Authorization": self._token} if self._token else {}
            path = self._parts.path + (f"?{self._parts.query}" if self._parts.query else "")
            connection.request("GET", path or "/", headers=headers)
            response = connection.getresponse()
            text = response.read(MAX_ANSWER_BYTES)
        finally:
            connection.close()
        answer = json.loads(text)
        credentials = Credentials(
            access_key_id=str(answer["AccessKeyId"]),
            secret_access_key=str(answer["SecretAccessKey"]),
            session_token=str(answer["Token"]),
        )
        return credentials, datetime.fromisoformat(answer["Expiration"])
