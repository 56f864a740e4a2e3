"""Calls of one AWS service: signed, tried again where that can help, and over by their deadline.

A call may reach the service more than once, so each must be safe to repeat: reads, signatures, writes under a token
that names them, and puts of the same object are.
"""

import http.client
import json
import math
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from keyrung_verifier.aws.connections import Connections
from keyrung_verifier.aws.credentials import CredentialSource
from keyrung_verifier.aws.endpoint import Endpoint
from keyrung_verifier.aws.errors import AwsRefusedError, AwsUnavailableError
from keyrung_verifier.aws.retry import Backoff
from keyrung_verifier.aws.sigv4 import sign
from keyrung_verifier.protocols import Clock, Random
from keyrung_verifier.timed_connection import Response

# A whole call with its retries; a step-up makes about seven, and a gateway gives up after 29 s.
CALL_SECONDS = 4.0
# One try: the slowest good answers take some hundred milliseconds, a dead connection answers never.
TRY_SECONDS = 1.5
# "Common errors" of the services, and those of DynamoDB and KMS that mean "slower" or "again".
THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "SlowDown",
        "Throttling",
        "ThrottlingError",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
    }
)
_AGAIN = THROTTLED | {"RequestTimeout", "RequestTimeoutException", "TransactionInProgressException"}
_FIRST_SERVER_ERROR = 500
_FIRST_ERROR = 300
_XML_CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,64})</Code>")


class AwsClient:
    """One service in one region; safe for threads.

    Args:
        service: As AWS names it, such as `kms`.
        region: Such as `eu-central-1`.
        endpoint: Where it is (see `find_endpoint`).
        credentials: Who asks; called for each request.
        clock: Dates signatures.
        random: Spreads retries.
        end_seconds: When the caller's own time is over, on `time.monotonic`; no call goes on after it.
        sleep: Waits for so many seconds.
    """

    def __init__(
        self,
        service: str,
        *,
        region: str,
        endpoint: Endpoint,
        credentials: CredentialSource,
        clock: Clock,
        random: Random,
        call_seconds: float = CALL_SECONDS,
        end_seconds: Callable[[], float] = lambda: math.inf,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.service = service
        self.region = region
        self.backoff = Backoff(random=random, sleep=sleep)
        self.call_seconds = call_seconds
        self._end_seconds = end_seconds
        self._endpoint = endpoint
        self._credentials = credentials
        self._clock = clock
        self._connections = Connections(endpoint)

    def send(self, method: str, path: str, *, headers: Mapping[str, str], body: bytes, what: str) -> Response:
        """Return the answer to a request that the service accepted.

        Args:
            method: The HTTP method.
            path: The path, percent-encoded.
            headers: In lower case; the host and the signature are added.
            body: The body.
            what: The call as errors name it.

        Raises:
            AwsRefusedError: The service refuses it.
            AwsUnavailableError: The service cannot do it now, or did not answer in time.
        """
        deadline_seconds = min(time.monotonic() + self.call_seconds, self._end_seconds())
        reason = "unreachable"
        for _ in self.backoff.tries(deadline_seconds=deadline_seconds):
            until_seconds = min(deadline_seconds, time.monotonic() + TRY_SECONDS)
            signed = self._signed(method, path, headers, body)
            try:
                response = self._connections.exchange(method, path, signed, body, deadline_seconds=until_seconds)
            except (OSError, http.client.HTTPException):
                reason = "unreachable"
                continue
            if response.status < _FIRST_ERROR:
                return response
            code, members = _error(response)
            if code not in _AGAIN and response.status < _FIRST_SERVER_ERROR:
                raise AwsRefusedError(what, code=code, status=response.status, body=members)
            reason = "throttled" if code in THROTTLED else "failed"
        raise AwsUnavailableError(what, reason)

    def call(self, target: str, members: Mapping[str, Any], *, json_version: str) -> dict[str, Any]:
        """Return the answer to an operation of a service that speaks JSON; raises what `send` raises.

        Args:
            target: The operation, such as `TrentService.Sign`.
            members: The members of the request.
            json_version: The protocol's version, `1.0` or `1.1`.
        """
        headers = {"content-type": f"application/x-amz-json-{json_version}", "x-amz-target": target}
        what = f"{self.service}:{target.rpartition('.')[2]}"
        response = self.send("POST", "/", headers=headers, body=json.dumps(members).encode(), what=what)
        try:
            answer = json.loads(response.body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise AwsUnavailableError(what, "failed")
        return answer

    def close(self) -> None:
        """Close the connections that wait."""
        self._connections.close()

    def _signed(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        return sign(
            method=method,
            path=path,
            headers={**headers, "host": self._endpoint.authority},
            body=body,
            credentials=self._credentials(),
            region=self.region,
            service=self.service,
            now=self._clock.now(),
        )


def _error(response: Response) -> tuple[str, Mapping[str, Any]]:
    """Return the service's name for an error, and the members of a JSON answer."""
    in_xml = _XML_CODE.search(response.body)
    if in_xml is not None:
        return in_xml[1].decode("ascii"), {}
    try:
        members = json.loads(response.body)
    except ValueError:
        members = None
    if not isinstance(members, dict):
        return f"HTTP {response.status}", {}
    # "The type may be followed by a URI, and may stand behind a namespace" (the AWS JSON protocols of Smithy).
    named = str(members.get("__type") or response.headers.get("x-amzn-errortype", ""))
    return named.partition(":")[0].rpartition("#")[2] or f"HTTP {response.status}", members
