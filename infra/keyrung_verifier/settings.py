"""What a deployment decides about the verifier, checked once when it starts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from keyrung_verifier.callers import Client
from keyrung_verifier.errors import ConfigurationError
from keyrung_verifier.limits import (
    ASSERTION_TTL_SECONDS,
    CHALLENGE_TTL_SECONDS,
    MAX_ASSERTION_TTL_SECONDS,
    MAX_CHALLENGE_TTL_SECONDS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierSettings:
    """The verifier's settings.

    Attributes:
        public_url: The https URL under which clients reach it, without a path; also the issuer of assertions. It is
            configured and never taken from a request.
        clients: The applications that may ask.
    """

    public_url: str
    clients: Sequence[Client] = field(repr=False)
    challenge_ttl_seconds: int = CHALLENGE_TTL_SECONDS
    assertion_ttl_seconds: int = ASSERTION_TTL_SECONDS

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.public_url)
            complete = parts.scheme == "https" and bool(parts.hostname) and parts.username is None and parts.port != 0
        except ValueError:
            complete = False
        # The origin is compared as text, so it has one spelling: no path, no trailing slash, lower case.
        if not complete or self.public_url != f"https://{parts.netloc}" or self.public_url != self.public_url.lower():
            raise ConfigurationError(
                "the public URL is not https://host[:port] in lower case without a path; correct it"
            )
        if not 0 < self.challenge_ttl_seconds <= MAX_CHALLENGE_TTL_SECONDS:
            raise ConfigurationError(f"the life of a challenge is not 1 to {MAX_CHALLENGE_TTL_SECONDS} s; correct it")
        if not 0 < self.assertion_ttl_seconds <= MAX_ASSERTION_TTL_SECONDS:
            raise ConfigurationError(f"the life of an assertion is not 1 to {MAX_ASSERTION_TTL_SECONDS} s; correct it")

    @property
    def issuer(self) -> str:
        """Return the issuer of assertions."""
        return self.public_url

    @property
    def origin(self) -> str:
        """Return the origin that token signatures are bound to (RFC 6454 section 6.2)."""
        return self.public_url
