"""A real OpenBao server in a temp folder, run by the very code that runs the local stack."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from keyrung_infra.local.client import Client
from keyrung_infra.local.layout import TRANSIT_MOUNT, OpenBaoLayout
from keyrung_infra.local.openbao import OpenBao
from keyrung_infra.local.roles import root_client
from keyrung_infra.local.server import stop_server
from keyrung_infra.tools import Tools


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBaoServer:
    """A running server with its role tokens. The mount `keyrung` is the one that the roles may use."""

    layout: OpenBaoLayout
    openbao: OpenBao

    @property
    def address(self) -> str:
        """https://127.0.0.1:PORT, as of now."""
        return self.layout.address.read_text("ascii").strip()

    @property
    def ca(self) -> Path:
        """The authority behind the server's certificate."""
        return self.layout.ca

    def token(self, role: str) -> str:
        """Return the token of ``role``."""
        return self.layout.token(role).read_text("ascii").strip()

    def client(self, role: str) -> Client:
        """Return a client that acts as ``role``."""
        return self.openbao.server.client(token=self.token(role))

    @contextmanager
    def root(self) -> Iterator[Client]:
        """Yield a client that may do everything, for what no role may do; its token is revoked at the end."""
        with root_client(self.openbao.server.client(), self.openbao.root_token()) as client:
            yield client

    def settings(self, role: str) -> dict[str, str]:
        """Return what the Transit back end is configured with to act as ``role``."""
        return {
            "transitAddress": f"file:{self.layout.address}",
            "transitToken": f"file:{self.layout.token(role)}",
            "transitCaFile": str(self.ca),
        }

    @staticmethod
    def key_name(purpose: str) -> str:
        """Return a key name that no other test uses; it starts with the purpose, by which the roles are limited."""
        return f"{purpose}-{secrets.token_hex(6)}"


@contextmanager
def running_openbao(folder: Path, tools: Tools) -> Iterator[OpenBaoServer]:
    """Run a server under ``folder`` with an empty Transit mount, and stop it at the end."""
    layout = OpenBaoLayout(folder=folder)
    openbao = OpenBao(layout, bao=tools.bao, now=lambda: datetime.now(UTC))
    server = OpenBaoServer(layout=layout, openbao=openbao)
    try:
        openbao.up()
        server.client("deployer").call("POST", f"sys/mounts/{TRANSIT_MOUNT}", {"type": "transit"})
        yield server
    finally:
        stop_server(layout)
