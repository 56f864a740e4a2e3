"""The environment of the policy pack: its own, because pulumi-policy needs older packages than the project."""

from __future__ import annotations

from pathlib import Path

from .context import Context, Tool
from .environment import create, requirement, uv_environment
from .errors import CommandError, SetupError
from .processes import ask_version, run

NAME = "pulumi-policy"
LOCK_NAME = "guardrails.lock"
_SAY_VERSION = "from importlib.metadata import version; print(version('pulumi-policy'))"


def find(context: Context) -> list[Tool]:
    """Return the environment's interpreter if it holds what the lock names."""
    python = _folder(context) / "bin" / "python"
    version = _locked_version(context)
    if ask_version([python, "-c", _SAY_VERSION], env=context.env).strip() != version:
        return []
    return [Tool(name=NAME, path=python, version=version, origin="the lock of the policy pack")]


def provide(context: Context) -> list[Tool]:
    """Make or repair the environment and return it.

    Raises:
        SetupError: It can't be made.
    """
    folder, lock = _folder(context), context.places.toolchain / LOCK_NAME
    python = folder / "bin" / "python"
    with context.progress.step("Installing the packages of the policy pack"):
        if not ask_version([python, "--version"], env=context.env):
            create(context, folder)
        try:
            uv = context.places.bin / "uv"
            run([uv, "pip", "sync", "--python", python, "--require-hashes", lock], env=uv_environment(context))
        except CommandError as problem:
            raise SetupError(
                f"The packages of the policy pack can't be installed ({problem.last_line}).",
                fix="Check the network and the package index that pip is set to use, and run this again.",
            ) from problem
    return find(context)


def _folder(context: Context) -> Path:
    return context.places.root / "policies" / "guardrails" / ".venv"


def _locked_version(context: Context) -> str:
    lock = (context.places.toolchain / LOCK_NAME).read_text()
    return requirement(lock, NAME).split(" ", 1)[0].removeprefix(f"{NAME}==")
