"""A light client that loads a verifier from a process of its own: `python -m support.load`, told on standard input.

It shares the machine's cores with the server, so it does as little as it can: connections stay open, requests are put
together from bytes, and of an answer only what the next request needs is decoded.
"""

import asyncio
import base64
import json
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Literal

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from keyrung_verifier.assertion import request_digest
from keyrung_verifier.factors.token_signature import LABEL, NAME
from keyrung_verifier.strict import length_prefixed

REQUEST = {"method": "POST", "uri": "https://bank.test/transfers", "body_sha256": "A" * 43}
TRANSFER = {"amount_minor": 500_000, "currency": "EUR", "payee": "Bob"}
Kind = Literal["empty", "evaluate", "step_up", "refused"]


@dataclass(frozen=True, kw_only=True)
class Person:
    """Who steps up, with a token whose private number is in the client's memory."""

    subject: str
    credential_id: str
    token_secret: int


@dataclass(frozen=True, kw_only=True)
class Load:
    """What to do: each person works on a connection of their own, one thing after another.

    Attributes:
        authorization: The application's Authorization header.
        display_digest: Of the text that the challenge shows.
    """

    kind: Kind
    port: int
    ca_file: str
    authorization: str
    policy_digest: str
    display_digest: str
    people: list[Person]


@dataclass(frozen=True, kw_only=True)
class Done:
    """How long each thing took, in seconds, and how long all of them together."""

    latencies: list[float]
    elapsed_seconds: float


def question(subject: str) -> dict[str, object]:
    """Return the body of an evaluation that needs a step-up with a token."""
    return {
        "subject": {"type": "user", "id": subject, "properties": {"kind": "person"}},
        "action": {"name": "payments.transfer"},
        "resource": {"type": "route", "id": "/transfers", "properties": TRANSFER},
        "context": {"session": {"id": f"session of {subject}"}},
    }


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with one request under way."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("closed"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) >= length and self._answer is not None:
            self._received = b""
            self._answer.set_result(head[9:12] + body)

    async def send(self, request: bytes, *statuses: bytes) -> bytes:
        """Return the body of the answer, which must have one of the statuses."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        answer = await self._answer
        if answer[:3] not in statuses:
            raise RuntimeError(answer.decode())
        return answer[3:]


def _post(path: str, body: object, authorization: str | None = None) -> bytes:
    data = json.dumps(body).encode()
    header = f"Authorization: {authorization}\r\n" if authorization else ""
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{header}Content-Length: {len(data)}\r\n\r\n".encode() + data


_MADE_UP = _post(f"/stepup/v1/challenges/{'A' * 43}/response", {"factor": "otp", "code": "000000"})
_EMPTY = b"GET /nothing-here HTTP/1.1\r\nHost: localhost\r\n\r\n"


class _Worker:
    """What one person does, again and again."""

    def __init__(self, load: Load, person: Person, connection: _Connection) -> None:
        self._load, self._person, self._connection = load, person, connection
        self._key = ec.derive_private_key(person.token_secret, ec.SECP256R1())
        self._request_digest = request_digest(REQUEST["method"], REQUEST["uri"], REQUEST["body_sha256"])
        asked = question(person.subject)
        self._evaluation = _post("/access/v1/evaluation", asked, load.authorization)
        self._creation = _post("/stepup/v1/challenges", {**asked, "request": REQUEST}, load.authorization)

    async def empty(self) -> None:
        await self._connection.send(_EMPTY, b"404")

    async def refused(self) -> None:
        await self._connection.send(_MADE_UP, b"403")

    async def evaluate(self) -> None:
        await self._connection.send(self._evaluation, b"200")

    async def step_up(self) -> None:
        await self.evaluate()
        made = json.loads(await self._connection.send(self._creation, b"201"))
        text = length_prefixed(
            LABEL,
            f"https://localhost:{self._load.port}",
            made["challenge_id"],
            self._person.subject,
            self._request_digest,
            "payments.transfer",
            self._load.policy_digest,
            self._load.display_digest,
            str(made["expires_at"]),
        )
        answer = {
            "factor": NAME,
            "credential_id": self._person.credential_id,
            "origin": f"https://localhost:{self._load.port}",
            "signature": self._signature(text),
        }
        await self._connection.send(_post(f"/stepup/v1/challenges/{made['challenge_id']}/response", answer), b"200")

    def _signature(self, text: bytes) -> str:
        r, s = decode_dss_signature(self._key.sign(text, ec.ECDSA(SHA256())))
        return base64.urlsafe_b64encode(r.to_bytes(32) + s.to_bytes(32)).rstrip(b"=").decode()


async def _again_and_again(work: Callable[[], Awaitable[None]], until: float) -> list[float]:
    latencies = []
    while (began := time.perf_counter()) < until:
        await work()
        latencies.append(time.perf_counter() - began)
    return latencies


async def _run(load: Load) -> None:
    loop, trust = asyncio.get_running_loop(), ssl.create_default_context(cafile=load.ca_file)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        works, transports = [], []
        for person in load.people:
            transport, connection = await loop.create_connection(
                _Connection, "127.0.0.1", load.port, ssl=trust, server_hostname="localhost"
            )
            transports.append(transport)
            works.append(getattr(_Worker(load, person, connection), load.kind))
        print("connected", flush=True)
        await loop.run_in_executor(None, sys.stdin.readline)  # so that all processes begin together
        began = time.perf_counter()
        all_latencies = await asyncio.gather(*(_again_and_again(work, began + float(line)) for work in works))
        elapsed = time.perf_counter() - began
        for transport in transports:
            transport.abort()
        done = Done(latencies=[each for latencies in all_latencies for each in latencies], elapsed_seconds=elapsed)
        print(json.dumps(asdict(done)), flush=True)


def main() -> None:
    """Read a load; for each line of seconds connect, say so, wait for another line, run, print what was measured."""
    told = json.loads(sys.stdin.readline())
    load = Load(**{**told, "people": [Person(**person) for person in told["people"]]})
    asyncio.run(_run(load))


if __name__ == "__main__":
    main()
