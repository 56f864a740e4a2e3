"""The OpenBao server process: its configuration, its ports, its start and its stop."""

import os
import subprocess
import time
from pathlib import Path

from keyrung_infra.errors import InfraError
from keyrung_infra.files import write_private
from keyrung_infra.local import processes
from keyrung_infra.local.client import Client, RefusedError, UnreachableError
from keyrung_infra.local.layout import OpenBaoLayout
from keyrung_infra.local.ports import LOOPBACK, free_ports, is_free

_START_SECONDS = 30.0
_POLL_SECONDS = 0.02
_PROBE_SECONDS = 3.0
_START_TRIES = 3
_PORT_TAKEN = "address already in use"

# Paths are relative to the server's folder, so that no path needs quoting and the socket's stays under its limit.
# Root tokens can be generated over the Unix socket only: any process of the machine can open the TCP port, only the
# owner the socket. mlock is gone from OpenBao 2.x; the user interface and telemetry are off by default and stay so.
_CONFIG = """\
# Written by `keyrung dev up` at each start; changes are lost.
api_addr = "https://{loopback}:{port}"
cluster_addr = "https://{loopback}:{cluster_port}"
log_level = "warn"

storage "raft" {{
  path = "data"
  node_id = "local"
  performance_multiplier = 1
}}

listener "tcp" {{
  address = "{loopback}:{port}"
  cluster_address = "{loopback}:{cluster_port}"
  tls_cert_file = "server.pem"
  tls_key_file = "server-key.pem"
  tls_min_version = "tls13"
}}

listener "unix" {{
  address = "admin.sock"
  socket_mode = "600"
  tls_disable = true
  disable_unauthed_generate_root_endpoints = false
}}
"""


class Server:
    """The server of one stack."""

    def __init__(self, layout: OpenBaoLayout, *, bao: Path) -> None:
        """Run ``bao`` on the files of ``layout``."""
        self._layout = layout
        self._bao = bao
        # No other process has this argument: it is how the server is recognised.
        self._argument = f"-config={layout.config}"

    def find(self) -> int | None:
        """Return the server's process id, or None when it is not running."""
        return processes.find(self._argument, hint=_number(self._layout.pid))

    def address(self) -> str | None:
        """Return https://127.0.0.1:PORT as last served, or None when there is none yet."""
        try:
            return self._layout.address.read_text("ascii").strip() or None
        except (OSError, ValueError):
            return None

    def client(self, *, token: str | None = None) -> Client:
        """Return a client of the TLS port.

        Raises:
            UnreachableError: If the server has never been started.
        """
        address = self.address()
        if address is None or not self._layout.ca.is_file():
            raise UnreachableError("OpenBao has never been started", fix="run keyrung dev up")
        return Client.over_tls(address, ca=self._layout.ca, token=token)

    def answers(self) -> bool:
        """Tell whether a server with our certificate answers at the address, sealed or not."""
        address = self.address()
        if address is None or not self._layout.ca.is_file():
            return False
        client = Client.over_tls(address, ca=self._layout.ca, timeout_seconds=_PROBE_SECONDS)
        try:
            client.call("GET", "sys/seal-status")
        except (UnreachableError, RefusedError):
            return False
        return True

    def ensure(self, *, restart: bool) -> None:
        """Have the server answer; one that runs and does not answer is replaced.

        Args:
            restart: Replace it in any case, since its files have changed.
        """
        running = self.find() is not None
        if running and not restart and self.answers():
            return
        if running:
            self.stop()
        self._start()

    def stop(self) -> bool:
        """Stop the server; return whether it was running."""
        pid = self.find()
        stopped = pid is not None and processes.stop(pid, self._argument)
        self._layout.pid.unlink(missing_ok=True)
        return stopped

    def _start(self) -> None:
        reason = ""
        for _ in range(_START_TRIES):
            self._configure()
            log_start = self._layout.log.stat().st_size if self._layout.log.exists() else 0
            process = processes.start_detached(
                [str(self._bao), "server", self._argument],
                folder=self._layout.folder,
                log=self._layout.log,
                # Nothing of the caller's environment may change what the server does (BAO_*, proxies).
                environment={"PATH": os.defpath, "HOME": str(self._layout.folder)},
            )
            write_private(self._layout.pid, f"{process.pid}\n".encode())
            if self._serves(process):
                processes.release(process)
                return
            reason = _last_words(self._layout.log, log_start)
            # Somebody took a port between the probe and the start: another turn chooses anew.
            if _PORT_TAKEN not in reason:
                break
        raise InfraError(f"OpenBao does not start ({reason})", fix=f"see {self._layout.log}, then run keyrung dev up")

    def _configure(self) -> None:
        """Write configuration and address: the remembered port, or another one if somebody else has it now.

        A new port does no harm, since every reader takes the address from its file. The cluster port only exists
        because raft wants one; nobody connects to it, so it changes at each start.
        """
        port, cluster_port = free_ports(2)
        remembered = self.address()
        if remembered is not None and is_free(int(remembered.rpartition(":")[2])):
            port = int(remembered.rpartition(":")[2])
        text = _CONFIG.format(loopback=LOOPBACK, port=port, cluster_port=cluster_port)
        write_private(self._layout.config, text.encode())
        write_private(self._layout.address, f"https://{LOOPBACK}:{port}\n".encode())

    def _serves(self, process: subprocess.Popen[bytes]) -> bool:
        """Wait until the server answers (True), or ends or takes too long (False)."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                return False
            if self.answers():
                return True
            time.sleep(_POLL_SECONDS)
        process.kill()
        process.wait()
        return False


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None


def _last_words(log: Path, start: int) -> str:
    """Return the last line of the log after ``start`` that says something."""
    with log.open("rb") as file:
        file.seek(start)
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["it said nothing"])[-1]
