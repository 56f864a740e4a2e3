"""`python -m keyrung_infra.sample_api --config FILE`: serves the bank over TLS on the loopback address."""

import socket
import ssl
import sys
from pathlib import Path

import click
import uvicorn

from keyrung_infra.errors import InfraError
from keyrung_infra.project import find_root
from keyrung_infra.sample_api.app import Settings, guarded_bank, read_settings
from keyrung_provisioners.errors import ProvisionerError
from keyrung_verifier.guard.asgi import verifier_client

LOOPBACK = "127.0.0.1"


@click.command()
@click.option("--config", "config_path", type=click.Path(path_type=Path), required=True, help="Configuration (JSON).")
def main(config_path: Path) -> None:
    """Serve until interrupted; the address is printed once it answers."""
    try:
        settings = read_settings(config_path)
        listener = _listen(settings.port)
        url = f"https://localhost:{listener.getsockname()[1]}"
        server = _server(settings, root=find_root(config_path.resolve().parent), url=url)
    except (InfraError, ProvisionerError) as error:
        click.echo(f"sample-api: {error}", err=True)
        sys.exit(1)
    click.echo(url)
    server.run(sockets=[listener])


def _listen(port: int) -> socket.socket:
    try:
        # Listening before the address is printed, so that whoever reads it can connect at once.
        return socket.create_server((LOOPBACK, port))
    except OSError as error:
        raise InfraError(f"port {port} is taken", fix="choose another, or 0 for a free one") from error


def _server(settings: Settings, *, root: Path, url: str) -> uvicorn.Server:
    try:
        http = verifier_client(root / settings.verifier_ca)
        config = uvicorn.Config(
            guarded_bank(settings, root=root, public_url=url, http=http),
            ssl_certfile=root / settings.certificate,
            ssl_keyfile=root / settings.key,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # nothing stands in front of it, so such headers come from clients
            log_level="warning",
        )
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise InfraError("a certificate or key cannot be read", fix="bring the local stack up first") from error
    return uvicorn.Server(config)


if __name__ == "__main__":
    main()
