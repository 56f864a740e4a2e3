"""Fresh SoftHSM tokens.

SoftHSM reads SOFTHSM2_CONF when its library is initialised. Each token lies in a folder of its own, and
the library is initialised again when the variable moves, so that a test sees its own token and no other.
"""

import os
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.tools import required_tool

from keyrung_infra.local.layout import SoftHsmLayout
from keyrung_infra.local.softhsm import SoftHsm
from keyrung_infra.tools import Tools


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftHsmToken:
    """One token, with its own configuration file."""

    layout: SoftHsmLayout
    module: Path
    label: str

    @property
    def config(self) -> Path:
        """What SOFTHSM2_CONF names."""
        return self.layout.config

    @property
    def pin(self) -> str:
        """The user PIN."""
        return self.layout.pin.read_text("ascii").strip()

    def settings(self) -> dict[str, str]:
        """Return what the PKCS#11 back end is configured with."""
        return {"pkcs11Module": f"file:{self.layout.module}", "pkcs11Pin": f"file:{self.layout.pin}"}


def make_token(folder: Path, tools: Tools, *, label: str | None = None) -> SoftHsmToken:
    """Make a token under ``folder``; its label is unique unless given."""
    label = label or f"test-{secrets.token_hex(6)}"
    layout = SoftHsmLayout(folder=folder)
    SoftHsm(layout, module=tools.softhsm_module, token_bytes=secrets.token_bytes, label=label).up()
    return SoftHsmToken(layout=layout, module=tools.softhsm_module, label=label)


def second_token(token: SoftHsmToken, label: str) -> None:
    """Make another token beside ``token``, with the same PINs."""
    SoftHsm(token.layout, module=token.module, token_bytes=secrets.token_bytes, label=label).up()


def pkcs11_tool(layout: SoftHsmLayout, label: str, *arguments: str) -> str:
    """Run OpenSC's tool, logged in to the token ``label`` of ``layout``; return what it writes."""
    tool = required_tool(lambda tools: tools.pkcs11_tool)
    module, pin = layout.module.read_text("ascii").strip(), layout.pin.read_text("ascii").strip()
    done = subprocess.run(
        [tool, "--module", module, "--token-label", label, "--login", "--pin", "env:TOKEN_PIN", *arguments],
        env={**os.environ, "SOFTHSM2_CONF": str(layout.config), "TOKEN_PIN": pin},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def point_at(config: Path, module: Path, patch: pytest.MonkeyPatch) -> None:
    """Have this process, and the ones it starts, use the tokens of ``config``."""
    patch.setenv("SOFTHSM2_CONF", str(config))
    if "pkcs11" in sys.modules:
        sys.modules["pkcs11"].lib(str(module)).reinitialize()
