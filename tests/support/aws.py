"""AWS as moto's server plays it on loopback, and clients of ours that reach it; no real account is asked.

moto takes one request after the other, so what it shows is that conditions and transactions have the right form; that
they are atomic is DynamoDB's own promise.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from moto.dynamodb.models import dynamodb_backends
from moto.kms.models import kms_backends
from moto.kms.utils import ECDSAPrivateKey
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

from keyrung_verifier.aws.client import CALL_SECONDS, AwsClient
from keyrung_verifier.aws.credentials import Credentials
from keyrung_verifier.aws.endpoint import Endpoint
from keyrung_verifier.system import SystemClock, SystemRandom

REGION = "eu-central-1"
CREDENTIALS = Credentials(access_key_id="AKIDEXAMPLE", secret_access_key="not-the-key-of-anybody")
_BACKENDS = (dynamodb_backends, kms_backends, s3_backends)
_CLIENTS: list[AwsClient] = []


@contextmanager
def moto_server() -> Iterator[Endpoint]:
    """Run moto's server in a thread of this process, on a free port of loopback."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield Endpoint(scheme="http", host="127.0.0.1", port=server.get_host_and_port()[1])
    finally:
        server.stop()


def forget_everything() -> None:
    """Empty the parts of moto that tests use."""
    for accounts in _BACKENDS:
        for regions in accounts.values():
            for backend in regions.values():
                backend.reset()


def url(endpoint: Endpoint) -> str:
    """Return the endpoint as the SDKs want it."""
    return f"{endpoint.scheme}://{endpoint.authority}"


def aws_client(
    service: str,
    endpoint: Endpoint,
    *,
    call_seconds: float = CALL_SECONDS,
    sleep: Callable[[float], None] = lambda _seconds: None,
) -> AwsClient:
    """Return a client of ours; it does not wait between tries unless told how."""
    made = AwsClient(
        service,
        region=REGION,
        endpoint=endpoint,
        credentials=lambda: CREDENTIALS,
        clock=SystemClock(),
        random=SystemRandom(),
        call_seconds=call_seconds,
        sleep=sleep,
    )
    _CLIENTS.append(made)
    return made


def close_clients() -> None:
    """Close the connections of every client made so far."""
    while _CLIENTS:
        _CLIENTS.pop().close()


def sdk_client(service: str, endpoint: Endpoint) -> Any:
    """Return a client of boto3, to prepare and to look at what ours did."""
    return boto3.client(
        service,
        region_name=REGION,
        endpoint_url=url(endpoint),
        aws_access_key_id=CREDENTIALS.access_key_id,
        aws_secret_access_key=CREDENTIALS.secret_access_key,
    )


def sign_digests_as_kms_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have moto sign a digest (`MessageType=DIGEST`) as it is: it hashes again whatever it gets."""

    def sign(key: Any, message: bytes, _signing_algorithm: str) -> bytes:
        algorithm = ec.ECDSA(Prehashed(SHA256()) if len(message) == 32 else SHA256())
        signature: bytes = key.private_key.sign(message, algorithm)
        return signature

    monkeypatch.setattr(ECDSAPrivateKey, "sign", sign)
