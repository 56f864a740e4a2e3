"""OpenBao as a real server: initialised once, unsealed at each start, one token per role, no root token left."""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from keyrung_infra.errors import InfraError
from keyrung_infra.files import write_private
from keyrung_infra.local import roles
from keyrung_infra.local.certificates import ensure_authority, ensure_server
from keyrung_infra.local.client import Client, RefusedError, UnreachableError
from keyrung_infra.local.folders import ensure_private
from keyrung_infra.local.layout import ROLES, OpenBaoLayout
from keyrung_infra.local.server import Server, find_server, stop_server

_ACTIVE_SECONDS = 30.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBaoStatus:
    """What can be seen of the server.

    Attributes:
        state: running, sealed, uninitialised, unreachable, stopped or missing (never started).
        roles_without_token: Roles whose token file is missing or refused.
    """

    state: str
    address: str | None = None
    pid: int | None = None
    version: str | None = None
    roles_without_token: tuple[str, ...] = ()


class OpenBao:
    """The OpenBao server of one stack."""

    def __init__(self, layout: OpenBaoLayout, *, bao: Path, now: Callable[[], datetime]) -> None:
        """Run ``bao`` on the files of ``layout``."""
        self._layout = layout
        self._now = now
        self.server = Server(layout, bao=bao)

    def up(self) -> None:
        """Bring the server to where every role can work, from whatever state it is in. Repeatable."""
        ensure_private(self._layout.folder, self._layout.data, self._layout.token(ROLES[0]).parent)
        self._prepare_storage()
        self.server.ensure(restart=self._ensure_certificates())
        root_token = self._ensure_open()
        self._wait_until_active()
        self._ensure_tokens(root_token)

    def status(self) -> OpenBaoStatus:
        """Look without changing anything."""
        pid, address = find_server(self._layout), self.server.address()
        if pid is None:
            return OpenBaoStatus(state="stopped" if address else "missing", address=address)
        try:
            client = self.server.client()
            seal = client.call("GET", "sys/seal-status")
        except (UnreachableError, RefusedError):
            return OpenBaoStatus(state="unreachable", address=address, pid=pid)
        state = "running"
        if seal["sealed"]:
            state = "sealed" if seal["initialized"] else "uninitialised"
        return OpenBaoStatus(
            state=state,
            address=address,
            pid=pid,
            version=str(seal["version"]),
            roles_without_token=tuple(roles.tokens_in_need(self._layout, client)) if state == "running" else ROLES,
        )

    def root_token(self) -> str:
        """Return a new root token; the caller revokes it."""
        return roles.generate_root(self._admin(), self._unseal_key())

    def _prepare_storage(self) -> None:
        """Mark new storage until its unseal key is saved, and clear away what a run left that ended before.

        OpenBao tells the unseal key once, in its answer, so a run that is killed at that moment leaves storage that
        nobody can ever open; one that meets a full disk leaves files that OpenBao can't read. The mark proves that
        nothing was kept in them yet.
        """
        has_key, is_marked = self._layout.unseal.is_file(), self._layout.initialising.is_file()
        if is_marked and not has_key:
            stop_server(self._layout)
            shutil.rmtree(self._layout.data)
            ensure_private(self._layout.data)
        elif is_marked:
            self._layout.initialising.unlink()
        if not has_key and not any(self._layout.data.iterdir()):
            write_private(self._layout.initialising, b"")

    def _ensure_certificates(self) -> bool:
        """Return whether the server must start anew to serve new ones."""
        now = self._now()
        made = ensure_authority(self._layout.ca, self._layout.ca_key, now=now)
        return (
            ensure_server(
                self._layout.certificate,
                self._layout.certificate_key,
                authority=self._layout.ca,
                authority_key=self._layout.ca_key,
                now=now,
            )
            or made
        )

    def _admin(self) -> Client:
        return Client.over_socket(self._layout.admin_socket)

    def _ensure_open(self) -> str | None:
        """Initialise and unseal as needed; return the root token if this call initialised."""
        status = self._admin().call("GET", "sys/seal-status")
        has_key = self._layout.unseal.is_file()
        if status["initialized"] and not has_key:
            raise InfraError(
                f"OpenBao's storage is there but its unseal key {self._layout.unseal} is not",
                fix="restore the file, or run make clean to begin anew without the keys it held",
            )
        root_token = None
        if not status["initialized"]:
            if has_key:
                raise InfraError(
                    f"OpenBao's storage {self._layout.data} is empty although its unseal key is there",
                    fix="restore the storage, or run make clean to begin anew without the keys it held",
                )
            root_token = self._initialise()
        if status["sealed"]:
            self._unseal()
        return root_token

    def _initialise(self) -> str:
        """Initialise with one key share; its key is on disk before anything is kept in the storage."""
        answer = self._admin().call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        write_private(self._layout.unseal, json.dumps({"keys_base64": answer["keys_base64"]}).encode())
        self._layout.initialising.unlink()
        return str(answer["root_token"])

    def _unseal_key(self) -> str:
        try:
            return str(json.loads(self._layout.unseal.read_bytes())["keys_base64"][0])
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise InfraError(
                f"the unseal key {self._layout.unseal} cannot be read",
                fix="restore the file, or run make clean to begin anew without the keys it opens",
            ) from error

    def _unseal(self) -> None:
        try:
            answer = self._admin().call("PUT", "sys/unseal", {"key": self._unseal_key()})
        except RefusedError as error:
            raise InfraError(
                f"the unseal key {self._layout.unseal} does not open OpenBao's storage",
                fix="restore the file that belongs to it, or run make clean to begin anew",
            ) from error
        if answer["sealed"]:
            raise InfraError("OpenBao stays sealed after its one key", fix="run make clean, then keyrung dev up")

    def _wait_until_active(self) -> None:
        """A server just unsealed is on standby until its raft storage has elected it."""
        deadline = time.monotonic() + _ACTIVE_SECONDS
        while True:
            try:
                self.server.client().call("GET", "sys/health")
            except RefusedError as error:
                if time.monotonic() >= deadline:
                    raise InfraError(
                        f"OpenBao is not active after {_ACTIVE_SECONDS:.0f} seconds",
                        fix=f"see {self._layout.log}, then run keyrung dev up",
                    ) from error
                time.sleep(_POLL_SECONDS)
            else:
                return

    def _ensure_tokens(self, root_token: str | None) -> None:
        client = self.server.client()
        needed = list(ROLES) if root_token else roles.tokens_in_need(self._layout, client)
        if not needed:
            return
        with roles.root_client(client, root_token or self.root_token()) as root:
            tokens = roles.issue_tokens(root, needed)
        roles.save_tokens(self._layout, tokens)
