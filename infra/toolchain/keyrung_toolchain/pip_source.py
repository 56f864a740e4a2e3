"""Finding a pip that can install into an environment without one.

pip runs straight from its wheel. Python ships that wheel inside `ensurepip`; Debian moves it to the package
python3-pip-whl, which is fetched like the other Debian packages when it is missing.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from . import debian
from .context import Context
from .errors import SetupError

DEBIAN_WHEELS = Path("usr/share/python-wheels")


def find(context: Context) -> tuple[str, ...]:
    """Return the arguments that make an interpreter run pip.

    Raises:
        SetupError: There is no pip anywhere; the message names what to install.
    """
    for wheel in _wheels(Path("/")):
        return (f"{wheel}/pip",)
    try:
        root = debian.provide(context, ["python3-pip-whl"])
    except SetupError as problem:
        raise SetupError(
            f"Python's package installer is missing. {problem}", fix="Install it with `apt-get install python3-venv`."
        ) from problem
    for wheel in _wheels(root):
        return (f"{wheel}/pip",)
    raise SetupError("Python's package installer is missing.", fix="Install it with `apt-get install python3-venv`.")


def _wheels(root: Path) -> Iterator[Path]:
    spec = importlib.util.find_spec("ensurepip")
    if spec is not None and spec.origin is not None:
        yield from sorted(Path(spec.origin).parent.glob("_bundled/pip-*.whl"))
    yield from sorted((root / DEBIAN_WHEELS).glob("pip-*.whl"))
