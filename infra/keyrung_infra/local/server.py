"""The OpenBao server process: its configuration, its ports, its start and its stop."""

import os
import re
import shutil
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
# Two raft files of 16 MiB to begin with, and as much again to grow.
_MIN_FREE_BYTES = 64 << 20
_ADDRESS = re.compile(rf"https://{re.escape(LOOPBACK)}:[0-9]{{1,5}}")
_PORT_TAKEN = "address already in use"

# Paths are relative to the server's folder, so that no path needs quoting and the socket's stays under its limit.
# Root tokens can be generated over the Unix socket only: any process of the machine can open the TCP port, only the
# owner the socket (OpenBao ignores the mode unless user and group are given). mlock is gone from OpenBao; the user
# interface and telemetry are off by default and stay so.
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
  socket_user = "{user}"
  socket_group = "{group}"
  tls_disable = true
  disable_unauthed_generate_root_endpoints = false
}}
"""


def find_server(layout: OpenBaoLayout) -> int | None:
    """Return the process id of the server that runs on ``layout``, or None."""
    return processes.find(_argument(layout), hint=_number(layout.pid))


def stop_server(layout: OpenBaoLayout) -> bool:
    """Stop the server that runs on ``layout``, with its data kept; return whether there was one."""
    pid = find_server(layout)
    stopped = pid is not None and processes.stop(pid, _argument(layout))
    layout.pid.unlink(missing_ok=True)
    return stopped


def _argument(layout: OpenBaoLayout) -> str:
    """Return the argument by which the server is recognised: no other process has it."""
    return f"-config={layout.config}"


class Server:
    """The server of one stack."""

    def __init__(self, layout: OpenBaoLayout, *, bao: Path) -> None:
        """Run ``bao`` on the files of ``layout``."""
        self._layout = layout
        self._bao = bao

    def address(self) -> str | None:
        """Return https://127.0.0.1:PORT as last served, or None when there is none yet."""
        try:
            text = self._layout.address.read_text("ascii").strip()
        except (OSError, ValueError):
            return None
        return text if _ADDRESS.fullmatch(text) else None

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
        """Tell whether a server with our certificate answers at the address and on the socket, sealed or not."""
        address = self.address()
        if address is None or not self._layout.ca.is_file():
            return False
        over_tls = Client.over_tls(address, ca=self._layout.ca, timeout_seconds=_PROBE_SECONDS)
        over_socket = Client.over_socket(self._layout.admin_socket, timeout_seconds=_PROBE_SECONDS)
        try:
            over_tls.call("GET", "sys/seal-status")
            over_socket.call("GET", "sys/seal-status")
        except (UnreachableError, RefusedError):
            return False
        return True

    def ensure(self, *, restart: bool) -> None:
        """Have the server answer; one that runs and does not answer is replaced.

        Args:
            restart: Replace it in any case, since its files have changed.
        """
        running = find_server(self._layout) is not None
        if running and not restart and self.answers():
            return
        if running:
            stop_server(self._layout)
        self._start()

    def _start(self) -> None:
        self._check_room()
        reason = ""
        for _ in range(_START_TRIES):
            self._configure()
            log_start = self._layout.log.stat().st_size if self._layout.log.exists() else 0
            process = processes.start_detached(
                [str(self._bao), "server", _argument(self._layout)],
                folder=self._layout.folder,
                log=self._layout.log,
                # Nothing of the caller's environment may change what the server does (BAO_*, proxies).
                environment={"PATH": os.defpath, "HOME": str(self._layout.folder)},
            )
            try:
                write_private(self._layout.pid, f"{process.pid}\n".encode())
                served = self._serves(process)
            except BaseException:
                processes.abandon(process)
                raise
            if served:
                processes.release(process)
                return
            processes.abandon(process)
            reason = _last_words(self._layout.log, log_start)
            # Somebody took a port between the probe and the start: another turn chooses anew.
            if _PORT_TAKEN not in reason:
                break
        raise InfraError(f"OpenBao does not start ({reason})", fix=f"see {self._layout.log}, then run keyrung dev up")

    def _check_room(self) -> None:
        """Refuse to start on a full disk: the storage maps files that grow, and OpenBao crashes when they can't."""
        free_bytes = shutil.disk_usage(self._layout.folder).free
        if free_bytes < _MIN_FREE_BYTES:
            raise InfraError(
                f"the disk of {self._layout.folder} has {free_bytes >> 20} MiB left and OpenBao needs "
                f"{_MIN_FREE_BYTES >> 20}",
                fix="make room, then run keyrung dev up",
            )

    def _configure(self) -> None:
        """Write configuration and address: the remembered port, or another one if somebody else has it now.

        A new port does no harm, since every reader takes the address from its file. The cluster port only exists
        because raft wants one; nobody connects to it, so it changes at each start.
        """
        port, cluster_port = free_ports(2)
        remembered = self.address()
        if remembered is not None and is_free(int(remembered.rpartition(":")[2])):
            port = int(remembered.rpartition(":")[2])
        text = _CONFIG.format(
            loopback=LOOPBACK, port=port, cluster_port=cluster_port, user=os.getuid(), group=os.getgid()
        )
        write_private(self._layout.config, text.encode())
        write_private(self._layout.address, f"https://{LOOPBACK}:{port}\n".encode())

    def _serves(self, process: subprocess.Popen[bytes]) -> bool:
        """Tell whether the server answers before it ends and in time."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                return False
            if self.answers():
                return True
            time.sleep(_POLL_SECONDS)
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
