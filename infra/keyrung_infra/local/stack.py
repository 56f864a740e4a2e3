"""The local stack as a whole: up, down, what state it is in, and what plain `pulumi` needs to know of it."""

import json
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keyrung_infra.errors import InfraError
from keyrung_infra.files import write_private
from keyrung_infra.local.certificates import ensure_server
from keyrung_infra.local.folders import ensure_private
from keyrung_infra.local.layout import PULUMI_PASSPHRASE, TOKEN_LABEL, Layout
from keyrung_infra.local.locks import exclusive
from keyrung_infra.local.openbao import OpenBao, OpenBaoStatus
from keyrung_infra.local.ports import free_ports
from keyrung_infra.local.server import stop_server
from keyrung_infra.local.softhsm import SoftHsm, SoftHsmStatus
from keyrung_infra.tools import Tools

_CLIENT_SECRET_BYTES = 32


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class StackStatus:
    """What can be seen of the stack.

    Attributes:
        missing: Files that `up` makes and that are not there, relative to the project's folder.
    """

    openbao: OpenBaoStatus
    softhsm: SoftHsmStatus
    missing: tuple[str, ...]

    @property
    def is_up(self) -> bool:
        """Whether everything works."""
        return (
            self.openbao.state == "running"
            and not self.openbao.roles_without_token
            and self.softhsm.state == "ready"
            and not self.missing
        )

    def document(self) -> dict[str, Any]:
        """Return the status as plain values."""
        return {"up": self.is_up, **asdict(self)}


def stop_stack(root: Path) -> bool:
    """Stop the server of the project in ``root`` and keep all data; return whether it was running.

    It needs none of the tools, so that a stack can be stopped after they are gone.
    """
    layout = Layout(root=root.resolve())
    if not layout.state.is_dir():
        return False
    with exclusive(layout.lock):
        return stop_server(layout.openbao)


class Stack:
    """The local stack of the project in one folder."""

    def __init__(
        self,
        root: Path,
        *,
        tools: Tools,
        now: Callable[[], datetime] = _utc_now,
        token_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """Keep the stack's files under ``root`` and run ``tools``."""
        self.layout = Layout(root=root.resolve())
        self._tools = tools
        self._now = now
        self._token_bytes = token_bytes
        self.openbao = OpenBao(self.layout.openbao, bao=tools.bao, now=now)
        self.softhsm = SoftHsm(self.layout.softhsm, module=tools.softhsm_module, token_bytes=token_bytes)

    def up(self) -> StackStatus:
        """Bring everything up, from whatever state it is in. Repeatable; two at once take turns."""
        ensure_private(self.layout.state)
        with exclusive(self.layout.lock):
            token = self.softhsm.up()
            self.openbao.up()
            self._ensure_files()
            status = StackStatus(openbao=self.openbao.status(), softhsm=token, missing=self._missing())
            self._describe(status)
            return status

    def status(self) -> StackStatus:
        """Look without changing anything (the role tokens are renewed by the look)."""
        return StackStatus(openbao=self.openbao.status(), softhsm=self.softhsm.status(), missing=self._missing())

    def variables(self) -> dict[str, str]:
        """Return the environment variables, PATH aside, with which `pulumi`, `bao` and PKCS#11 tools use the stack.

        Raises:
            InfraError: If the stack was never up.
        """
        address = self.openbao.server.address()
        if address is None:
            raise InfraError("the local stack has not been set up", fix="run keyrung dev up")
        return {
            "PULUMI_BACKEND_URL": self.layout.pulumi_state.as_uri(),
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self.layout.pulumi_passphrase),
            "PULUMI_HOME": str(self.layout.pulumi_home),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "SOFTHSM2_CONF": str(self.layout.softhsm.config),
            "BAO_ADDR": address,
            "BAO_CACERT": str(self.layout.openbao.ca),
        }

    def path_folders(self) -> list[str]:
        """Return the folders that belong in front of PATH: Pulumi's own, and that of our commands."""
        return list(dict.fromkeys([str(self._tools.pulumi_folder), str(Path(sys.prefix, "bin"))]))

    def environment(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return ``base`` (this process's environment) with what a child process needs to use the stack."""
        base = os.environ if base is None else base
        path = os.pathsep.join([*self.path_folders(), base.get("PATH", os.defpath)])
        return {**base, **self.variables(), "PATH": path}

    def _ensure_files(self) -> None:
        layout = self.layout
        ensure_private(
            layout.verifier_certificate.parent,
            layout.sample_client_secret.parent,
            layout.verifier_address.parent,
            layout.pulumi_passphrase.parent,
            layout.pulumi_state,
            layout.pulumi_home,
        )
        ensure_server(
            layout.verifier_certificate,
            layout.verifier_certificate_key,
            authority=layout.openbao.ca,
            authority_key=layout.openbao.ca_key,
            now=self._now(),
        )
        if not layout.verifier_address.is_file():
            # localhost, not 127.0.0.1: the name stands in the certificate and can be a WebAuthn RP id.
            write_private(layout.verifier_address, f"https://localhost:{free_ports(1)[0]}\n".encode())
        if not layout.sample_client_secret.is_file():
            secret = self._token_bytes(_CLIENT_SECRET_BYTES).hex()
            write_private(layout.sample_client_secret, f"{secret}\n".encode())
        if not layout.pulumi_passphrase.is_file():
            write_private(layout.pulumi_passphrase, f"{PULUMI_PASSPHRASE}\n".encode())

    def _missing(self) -> tuple[str, ...]:
        layout = self.layout
        wanted = (
            layout.openbao.ca,
            layout.softhsm.config,
            layout.softhsm.module,
            layout.softhsm.pin,
            layout.verifier_certificate,
            layout.verifier_certificate_key,
            layout.verifier_address,
            layout.sample_client_secret,
            layout.pulumi_state,
            layout.pulumi_home,
            layout.pulumi_passphrase,
        )
        return tuple(str(path.relative_to(layout.root)) for path in wanted if not path.exists())

    def _describe(self, status: StackStatus) -> None:
        """Write addresses, process id and versions, if they changed, for programs and people that look."""
        document = {
            "openbao": {
                "address": status.openbao.address,
                "pid": status.openbao.pid,
                "version": status.openbao.version,
            },
            "softhsm": {
                "label": TOKEN_LABEL,
                "module": status.softhsm.module,
                "version": status.softhsm.version,
            },
            "tools": dict(self._tools.versions),
        }
        data = json.dumps(document, indent=2).encode() + b"\n"
        if not self.layout.description.is_file() or self.layout.description.read_bytes() != data:
            write_private(self.layout.description, data)
