"""Runs the verifier behind uvicorn, on loopback and over TLS."""

import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn

from keyrung_infra.errors import InfraError
from keyrung_infra.serve.app import create_app
from keyrung_infra.serve.build import build
from keyrung_infra.serve.settings import read_settings

_LOOPBACK = "127.0.0.1"
_SHUTDOWN_SECONDS = 5
_DEFAULT_HTTPS_PORT = 443


def run(config: Path, root: Path, *, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; ``on_ready`` gets the URL once requests are answered.

    Raises:
        InfraError: If the configuration is wrong or the port is taken.
    """
    settings = read_settings(config)
    parts = build(settings, root)
    listener = _listen(urlsplit(parts.issuer).port or _DEFAULT_HTTPS_PORT)
    certificate, key = root / settings.tls.certificate, root / settings.tls.key
    for file in (certificate, key):
        if not file.is_file():
            raise InfraError(f"the TLS file {file} is missing", fix="run keyrung dev up")
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(parts, on_ready=lambda: on_ready(parts.issuer)),
            ssl_certfile=str(certificate),
            ssl_keyfile=str(key),
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        )
    )
    with listener, suppress(KeyboardInterrupt):  # uvicorn raises it again after it has ended in order
        server.run(sockets=[listener])
    if not server.started:
        raise InfraError("the verifier could not start", fix="see the message above")


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_LOOPBACK, port))
        listener.listen()  # before readiness is announced, so that whoever reads it can connect at once
    except OSError as error:
        listener.close()
        if error.errno != errno.EADDRINUSE:
            raise
        raise InfraError(
            f"port {port} is taken, perhaps by a verifier that runs already",
            fix="stop it, or remove .keyrung/verifier/address and run keyrung dev up for another port",
        ) from error
    return listener
