"""Runs the verifier behind uvicorn, on loopback and over TLS."""

import errno
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn

from keyrung_infra.errors import InfraError
from keyrung_infra.serve.app import VerifierApp
from keyrung_infra.serve.bounded_http import BoundedHttp
from keyrung_infra.serve.build import Parts, build
from keyrung_infra.serve.limits import KEEP_ALIVE_SECONDS, MAX_CONNECTIONS, SHUTDOWN_SECONDS
from keyrung_infra.serve.settings import read_settings

_LOOPBACK = "127.0.0.1"
_DEFAULT_HTTPS_PORT = 443


def run(config: Path, root: Path, *, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; ``on_ready`` gets the URL once requests are answered.

    Raises:
        InfraError: If the configuration is wrong or the port is taken.
        VerifierError: If the log cannot be continued.
    """
    settings = read_settings(config)
    parts = build(settings, root, config)
    # uvicorn raises the signal that ended it once more; this way it ends the process in order, whichever it was.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app = VerifierApp(parts, on_ready=lambda: on_ready(parts.issuer))
    with listen(urlsplit(parts.issuer).port or _DEFAULT_HTTPS_PORT) as listener:
        server = bounded_server(app, certificate=root / settings.tls.certificate, key=root / settings.tls.key)
        with _recorded(parts), suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
    if not server.started:
        raise InfraError("the verifier could not start", fix="see the message above")


def bounded_server(app: VerifierApp, *, certificate: Path, key: Path) -> uvicorn.Server:
    """Return a server for ``app`` that no client can keep busy; raise `InfraError` for files that don't load."""
    config = uvicorn.Config(
        app,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        log_level="error",  # what a client does wrong is a warning there, and no line of ours
        access_log=False,
        server_header=False,
        proxy_headers=False,
        loop="keyrung_infra.serve.bounded_http:Loop",
        http=BoundedHttp,
        ws="none",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    try:
        config.load()
    except OSError as error:  # of which ssl.SSLError is one
        raise InfraError(f"the certificate {certificate} or its key does not load", fix="run keyrung dev up") from error
    return uvicorn.Server(config)


@contextmanager
def _recorded(parts: Parts) -> Iterator[None]:
    """Have the log say that the verifier serves, and at the end that it stopped."""
    parts.verifier.start(key_events=parts.records.key_events.new())
    parts.records.evidence.sign_waiting()
    try:
        yield
    finally:
        parts.verifier.stop()


def listen(port: int) -> socket.socket:
    """Return a socket that listens on the loopback address; raise `InfraError` if the port is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_LOOPBACK, port))
        listener.listen(MAX_CONNECTIONS)  # before readiness is announced, so that whoever reads it can connect at once
    except OSError as error:
        listener.close()
        if error.errno != errno.EADDRINUSE:
            raise
        raise InfraError(
            f"port {port} is taken, perhaps by a verifier that runs already",
            fix="stop it, or remove .keyrung/verifier/address and run keyrung dev up for another port",
        ) from error
    return listener
