"""What calls of AWS report: out of reach now, or refused."""

from collections.abc import Mapping
from typing import Any

from keyrung_verifier.errors import VerifierError


class AwsError(VerifierError):
    """Base of what a call of AWS reports."""


class AwsUnavailableError(AwsError):
    """The service did not answer in time, throttles, or failed; trying later may help.

    Whether the call had an effect is not known, unless `reason` is `throttled`.

    Attributes:
        reason: `throttled`, `failed` (the service's own error), `unreachable` or `credentials`.
    """

    def __init__(self, what: str, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"{what} cannot be asked now ({reason}); check the network, the role's credentials and the service's quotas"
        )


class AwsRefusedError(AwsError):
    """The service understood the call and refuses it.

    Attributes:
        code: The service's name for the error, such as `AccessDeniedException`.
        status: The HTTP status.
        body: The members of the answer; empty where it is not JSON.
    """

    def __init__(self, what: str, *, code: str, status: int, body: Mapping[str, Any]) -> None:
        self.code = code
        self.status = status
        self.body = body
        super().__init__(f"{what} was refused ({code}); check the role's policy and what the call names")
