"""A SoftHSM token with random PINs, made once."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from keyrung_infra.errors import InfraError
from keyrung_infra.files import write_private
from keyrung_infra.local import token_program
from keyrung_infra.local.folders import ensure_private
from keyrung_infra.local.layout import TOKEN_LABEL, SoftHsmLayout
from keyrung_infra.local.locks import exclusive

_PROGRAM_SECONDS = 30
# 128 bits as 32 hexadecimal digits; SoftHSM takes 4 to 255 bytes.
_PIN_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftHsmStatus:
    """What can be seen of the token.

    Attributes:
        state: ready, without_pin, absent (no such token), or missing (never set up).
    """

    state: str
    module: str | None = None
    version: str | None = None


class SoftHsm:
    """The token of one stack."""

    def __init__(
        self,
        layout: SoftHsmLayout,
        *,
        module: Path,
        token_bytes: Callable[[int], bytes],
        label: str = TOKEN_LABEL,
    ) -> None:
        """Keep the token ``label`` under ``layout``, made by the SoftHSM library ``module``."""
        self._layout = layout
        self._module = module
        self._token_bytes = token_bytes
        self._label = label

    def up(self) -> SoftHsmStatus:
        """Have the token there and usable. Repeatable."""
        ensure_private(self._layout.folder, self._layout.tokens)
        with exclusive(self._layout.lock):
            _write_if_changed(self._layout.config, self._config())
            _write_if_changed(self._layout.module, f"{self._module}\n")
            found = self._ask(make=False)
            if found.state == "ready":
                self._read_pin(self._layout.pin)
                return found
            # PINs are on disk before the token has them, so that no run can end in a token without its PIN.
            if found.state == "absent":
                self._ensure_pin(self._layout.so_pin)
            self._ensure_pin(self._layout.pin)
            return self._ask(make=True)

    def status(self) -> SoftHsmStatus:
        """Look without changing anything."""
        if not self._layout.config.is_file():
            return SoftHsmStatus(state="missing")
        return self._ask(make=False)

    def _config(self) -> str:
        return (
            "# Written by `keyrung dev up`.\n"
            f"directories.tokendir = {self._layout.tokens}\n"
            "objectstore.backend = file\n"
            "objectstore.umask = 0077\n"
            "log.level = ERROR\n"
        )

    def _ask(self, *, make: bool) -> SoftHsmStatus:
        request: dict[str, object] = {"module": str(self._module), "label": self._label, "make": make}
        if make:
            request |= {"pin": self._read_pin(self._layout.pin), "so_pin": self._read_pin(self._layout.so_pin)}
        try:
            # No site packages (-S) and nothing of the caller's environment (-I): it starts in a few milliseconds.
            done = subprocess.run(
                [sys.executable, "-I", "-S", token_program.__file__],
                input=json.dumps(request).encode(),
                env={"SOFTHSM2_CONF": str(self._layout.config)},
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=_PROGRAM_SECONDS,
                check=False,
            )
            answer = json.loads(done.stdout)
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            raise InfraError(
                f"the SoftHSM library {self._module} does not work ({type(error).__name__})",
                fix="run make setup, then keyrung dev up",
            ) from error
        if "error" in answer:
            raise InfraError(
                f"the SoftHSM token {self._label} in {self._layout.folder} cannot be used ({answer['error']})",
                fix="make room or correct the permissions there, then run keyrung dev up",
            )
        return SoftHsmStatus(state=answer["state"], module=str(self._module), version=answer["version"])

    def _ensure_pin(self, path: Path) -> None:
        if not path.is_file():
            write_private(path, f"{self._token_bytes(_PIN_BYTES).hex()}\n".encode())

    def _read_pin(self, path: Path) -> str:
        try:
            pin = path.read_text("ascii").strip()
        except (OSError, ValueError):
            pin = ""
        if not pin:
            raise InfraError(
                f"the SoftHSM token is there but its PIN file {path} is missing or empty",
                fix="restore the file, or run make clean to begin anew without the token's keys",
            )
        return pin


def _write_if_changed(path: Path, text: str) -> None:
    try:
        if path.read_text() == text:
            return
    except (OSError, ValueError):
        pass
    write_private(path, text.encode())
