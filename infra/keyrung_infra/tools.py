"""Where the programs are that set-up found or installed.

Set-up writes one file into the virtual environment; everything that starts `pulumi`, `bao` or a SoftHSM tool asks
here instead of searching again, so that the tested programs are the ones that run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from keyrung_infra.errors import InfraError

RECORD_NAME = "keyrung-tools.json"
_ONLY_FOR_TESTS = {"pkcs11-tool", "oathtool", "aws-lambda-rie"}


class ToolMissingError(InfraError):
    """A program that set-up provides is not there."""

    def __init__(self, name: str, *, target: str = "setup") -> None:
        super().__init__(f"{name} is not set up", fix=f"run `make {target}` in the project folder", tool=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Paths of the programs.

    Attributes:
        pulumi: The Pulumi CLI. Its folder, `pulumi_folder`, goes on PATH: the Python language host is beside it.
        bao: The OpenBao server and client.
        softhsm2_util: Makes tokens; call it with `--module` and the path in `softhsm_module`.
        softhsm_module: The PKCS#11 library.
        versions: What each program said its version is.
    """

    pulumi: Path
    bao: Path
    softhsm2_util: Path
    softhsm_module: Path
    versions: Mapping[str, str]
    _pkcs11_tool: Path | None = field(default=None, repr=False)
    _oathtool: Path | None = field(default=None, repr=False)
    _lambda_emulator: Path | None = field(default=None, repr=False)

    @property
    def pulumi_folder(self) -> Path:
        """The folder that goes first on PATH."""
        return self.pulumi.parent

    @property
    def pkcs11_tool(self) -> Path:
        """OpenSC's tool, which only the tests use."""
        return _required(self._pkcs11_tool, "pkcs11-tool")

    @property
    def oathtool(self) -> Path:
        """The one-time-password tool, which only the tests use."""
        return _required(self._oathtool, "oathtool")

    @property
    def lambda_emulator(self) -> Path:
        """The emulator of the Lambda runtime interface, which only the tests use."""
        return _required(self._lambda_emulator, "aws-lambda-rie")


def tools(record: Path | None = None) -> Tools:
    """Read what set-up recorded and check that the programs are still there.

    Args:
        record: The file to read; by default the one in the virtual environment that runs us.

    Raises:
        ToolMissingError: Set-up did not run, did not finish, or a program is gone.
    """
    path = record or Path(sys.prefix, RECORD_NAME)
    try:
        entries = json.loads(path.read_bytes())["tools"]
        paths = {name: Path(entry["path"]) for name, entry in entries.items()}
        versions = {name: str(entry["version"]) for name, entry in entries.items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ToolMissingError("The tool chain") from error
    return Tools(
        pulumi=_required(paths.get("pulumi"), "pulumi"),
        bao=_required(paths.get("bao"), "bao"),
        softhsm2_util=_required(paths.get("softhsm2-util"), "softhsm2-util"),
        softhsm_module=_required(paths.get("softhsm-module"), "libsofthsm2.so"),
        versions=versions,
        _pkcs11_tool=paths.get("pkcs11-tool"),
        _oathtool=paths.get("oathtool"),
        _lambda_emulator=paths.get("aws-lambda-rie"),
    )


def _required(path: Path | None, name: str) -> Path:
    if path is None or not path.is_file():
        raise ToolMissingError(
            name, target="test" if name in {"pkcs11-tool", "oathtool", "aws-lambda-rie"} else "setup"
        )
    return path
