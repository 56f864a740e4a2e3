"""Who an application on AWS is, towards a verifier behind IAM: the signature of the role that it runs as."""

from collections.abc import Callable, Mapping
from typing import Literal
from urllib.parse import urlsplit

from keyrung_verifier.aws.credentials import find_credentials
from keyrung_verifier.aws.sigv4 import sign
from keyrung_verifier.protocols import Clock
from keyrung_verifier.system import SystemClock


def role_signature(
    environment: Mapping[str, str],
    *,
    region: str,
    service: Literal["execute-api", "lambda"],
    clock: Clock | None = None,
) -> Callable[[str, str, bytes], Mapping[str, str]]:
    """Return what signs a guard's calls: method, URL and body to headers.

    Args:
        environment: Where the role's credentials are, as the platform gives them.
        region: Where the verifier is.
        service: What stands in front of it: an HTTP API, or its function URL.
        clock: Dates the signatures.

    Raises:
        ConfigurationError: The environment names no credentials.
    """
    clock = clock or SystemClock()
    credentials = find_credentials(environment, clock=clock)

    def signed(method: str, url: str, body: bytes) -> Mapping[str, str]:
        parts = urlsplit(url)
        return sign(
            method=method,
            path=parts.path,  # only characters that every service writes as they are
            headers={"host": parts.netloc},
            body=body,
            credentials=credentials(),
            region=region,
            service=service,
            now=clock.now(),
        )

    return signed
