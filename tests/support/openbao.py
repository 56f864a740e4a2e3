"""A real OpenBao server in a temp folder, run by the very code that runs the local stack."""

import os
import secrets
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from keyrung_infra.local.client import Client
from keyrung_infra.local.layout import TRANSIT_MOUNT, OpenBaoLayout
from keyrung_infra.local.openbao import OpenBao
from keyrung_infra.local.roles import root_client
from keyrung_infra.local.server import find_server, stop_server
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


def open_server(folder: Path, tools: Tools) -> OpenBaoServer:
    """Return the server under ``folder``, which may not run yet."""
    layout = OpenBaoLayout(folder=folder)
    return OpenBaoServer(layout=layout, openbao=OpenBao(layout, bao=tools.bao, now=lambda: datetime.now(UTC)))


def initialise(folder: Path, tools: Tools) -> None:
    """Make the files of a server with an empty Transit mount, to be copied: a copy starts in a fraction of the time."""
    server = open_server(folder, tools)
    try:
        server.openbao.up()
        server.client("deployer").call("POST", f"sys/mounts/{TRANSIT_MOUNT}", {"type": "transit"})
    finally:
        stop_server(server.layout)
    server.layout.address.unlink()  # each copy chooses a port of its own


@contextmanager
def running_copy(template: Path, folder: Path, tools: Tools) -> Iterator[OpenBaoServer]:
    """Run a copy of the server under ``template``; kill it at the end, since nobody needs its data any more."""
    shutil.copytree(template, folder)
    server = open_server(folder, tools)
    try:
        server.openbao.up()
        yield server
    finally:
        kill_server(server.layout)


def kill_server(layout: OpenBaoLayout) -> None:
    """Kill the server that runs on ``layout``, if one does, and wait for its end."""
    while (pid := find_server(layout)) is not None:
        os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)


def public_key(server: OpenBaoServer) -> str:
    """Return the public half of the key `policy-signing-kept`, by which kept data is recognised."""
    data = server.client("verifier").call("GET", "keyrung/keys/policy-signing-kept")["data"]
    return str(data["keys"]["1"]["public_key"])
