"""moto's server on loopback, made to behave where it matters: one request at a time, tokens of transactions, faults.

moto's dictionaries break under two requests at once, so requests are taken one after the other: what is shown is that
conditions and transactions have the right form; that they are atomic is DynamoDB's own promise.
"""

import io
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from moto.dynamodb.models import dynamodb_backends
from moto.kms.models import kms_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import make_server

from keyrung_verifier.aws.endpoint import Endpoint

_BACKENDS = (dynamodb_backends, kms_backends, s3_backends)
_MOTO = DomainDispatcherApplication(create_backend_app)
_ONE_AT_A_TIME = threading.Lock()


@dataclass(slots=True)
class Fault:
    """An answer that is given instead of moto's, so many times, to operations whose name ends so."""

    operation: str
    members: Mapping[str, Any]
    times: int = 1_000_000
    status: int = 400


FAULTS: list[Fault] = []
_DONE_TOKENS: set[str] = set()


@contextmanager
def moto_server() -> Iterator[Endpoint]:
    """Run the server in a thread of this process, on a free port."""
    server = make_server("127.0.0.1", 0, _serve, threaded=True, request_handler=MotoRequestHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Endpoint(scheme="http", host="127.0.0.1", port=server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def forget_everything() -> None:
    """Empty the parts of moto that tests use, and let nothing go wrong."""
    FAULTS.clear()
    _DONE_TOKENS.clear()
    for accounts in _BACKENDS:
        for regions in accounts.values():
            for backend in regions.values():
                backend.reset()


def _serve(environ: Any, start_response: Any) -> list[bytes]:
    with _ONE_AT_A_TIME:
        operation = str(environ.get("HTTP_X_AMZ_TARGET", "")).rpartition(".")[2]
        fault = next((fault for fault in FAULTS if fault.operation == operation and fault.times), None)
        if fault is not None:
            fault.times -= 1
            start_response(f"{fault.status} Fault", [("Content-Type", "application/x-amz-json-1.0")])
            return [json.dumps(fault.members).encode()]
        if operation == "TransactWriteItems":
            return _transact(environ, start_response)
        return list(_MOTO(environ, start_response))


def _transact(environ: Any, start_response: Any) -> list[bytes]:
    """Answer a transaction that was done before as DynamoDB does for 10 minutes; moto knows no tokens."""
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    environ["wsgi.input"] = io.BytesIO(body)
    token = json.loads(body)["ClientRequestToken"]
    if token in _DONE_TOKENS:
        start_response("200 OK", [("Content-Type", "application/x-amz-json-1.0")])
        return [b"{}"]
    statuses: list[str] = []

    def started(status: str, headers: Any, *more: Any) -> Any:
        statuses.append(status)
        return start_response(status, headers, *more)

    answer = list(_MOTO(environ, started))
    if statuses[0].startswith("200"):
        _DONE_TOKENS.add(token)
    return answer
