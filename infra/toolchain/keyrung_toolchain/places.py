"""The folders that set-up reads and writes: the checkout, its virtual environment and the user's cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import SetupError


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Paths, all absolute.

    Attributes:
        root: The checkout.
        cache: Our folder in the user's cache; shared between checkouts, removed by `make clean-cache`.
    """

    root: Path
    cache: Path

    @property
    def venv(self) -> Path:
        """The virtual environment."""
        return self.root / ".venv"

    @property
    def bin(self) -> Path:
        """The programs of the virtual environment."""
        return self.venv / "bin"

    @property
    def python(self) -> Path:
        """The interpreter of the virtual environment."""
        return self.bin / "python"

    @property
    def record(self) -> Path:
        """The one file that says where every tool is; `keyrung_infra.tools` reads it."""
        return self.venv / "keyrung-tools.json"

    @property
    def toolchain(self) -> Path:
        """This folder: locks, the Go module that names the Pulumi CLI, the language host."""
        return self.root / "infra" / "toolchain"


def find_places(root: Path, env: Mapping[str, str]) -> Places:
    """Return the places of the checkout at `root` for the user whose environment is `env`.

    Raises:
        SetupError: The cache folder can't be made.
    """
    base = Path(env.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # the XDG base directory specification says to ignore relative paths
        base = Path(env.get("HOME") or Path.home(), ".cache")
    cache = base / "keyrung"
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(
            f"The cache folder {cache} can't be made ({error.strerror}).",
            fix="Set XDG_CACHE_HOME to a folder that you may write.",
        ) from error
    return Places(root=root.resolve(), cache=cache)
