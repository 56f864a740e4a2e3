"""The clients of one process: each service and region once, all with the same credentials and the same end of time."""

import math
import time
from collections.abc import Callable, Mapping

from keyrung_verifier.aws.client import AwsClient
from keyrung_verifier.aws.credentials import find_credentials
from keyrung_verifier.aws.endpoint import find_endpoint
from keyrung_verifier.protocols import Clock, Random


class AwsClients:
    """Opens clients when they are first asked for.

    Args:
        environment: Names credentials and endpoints, as for the SDKs.
        clock: Dates signatures.
        random: Spreads retries.
        sleep: Waits for so many seconds.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        clock: Clock,
        random: Random,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._environment = environment
        self._credentials = find_credentials(environment, clock=clock)
        self._clock = clock
        self._random = random
        self._sleep = sleep
        self._clients: dict[tuple[str, str], AwsClient] = {}
        self._end_seconds = math.inf

    def end_at(self, end_seconds: float) -> None:
        """Let no call go on after that time (`time.monotonic`): what comes later answers nobody."""
        self._end_seconds = end_seconds

    def client(self, service: str, region: str) -> AwsClient:
        """Return the client of a service; raises `ConfigurationError` for a region or endpoint that is none."""
        if (service, region) not in self._clients:
            self._clients[service, region] = AwsClient(
                service,
                region=region,
                endpoint=find_endpoint(service, region, self._environment),
                credentials=self._credentials,
                clock=self._clock,
                random=self._random,
                end_seconds=lambda: self._end_seconds,
                sleep=self._sleep,
            )
        return self._clients[service, region]
