"""Debian packages: installed as root, or unpacked into the user's cache without any privilege."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from .context import Context
from .errors import CommandError, SetupError
from .files import locked, new_folder
from .processes import find_program, run

SYSTEM = Path("/")
STATUS = Path("/var/lib/dpkg/status")

PATIENCE = [
    # A source that does not answer is given up within 10 s, and not asked again.
    *("-o", "Acquire::Retries=0"),
    *("-o", "Acquire::http::Timeout=10"),
    *("-o", "Acquire::https::Timeout=10"),
]
UNATTENDED = ["-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"]
TO_INSTALL = re.compile(r"^Inst (\S+) (?:\[\S+\] )?\((\S+) ", re.MULTILINE)
RECORD = "record.json"

UNPRIVILEGED = """\
Debug::NoLocking "true";
APT::Sandbox::User "";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"""
"""Neither locks nor the hooks that clean up the system's own folders work without root, and neither is needed."""


def provide(context: Context, packages: Sequence[str]) -> Path:
    """Bring `packages` and return the root folder under which they lie: `/`, or a folder in the cache.

    Raises:
        SetupError: There is no apt here, or the packages can't be had.
    """
    if find_program("apt-get", context.env) is None or find_program("dpkg", context.env) is None:
        raise SetupError("This system has no apt-get.")
    if os.geteuid() == 0:
        try:
            install(context, packages)
        except CommandError as problem:
            context.progress.say(f"{problem} Unpacking the packages into the cache instead.")
        else:
            return SYSTEM
    return unpack(context, packages)


def install(context: Context, packages: Sequence[str]) -> None:
    """Install `packages` into the system; fetch the package lists when they are missing or outdated."""
    env = {**context.env, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", *UNATTENDED, *PATIENCE, *packages]
    with context.progress.step(f"Installing {', '.join(packages)} with apt-get"):
        try:
            run(command, env=env)
        except CommandError:
            run(["apt-get", "update", *PATIENCE], env=env)
            run(command, env=env)


def unpack(context: Context, packages: Sequence[str], *, status: Path = STATUS) -> Path:
    """Unpack `packages` and the libraries that the system lacks into the cache; return the folder.

    What the system has already is read from `status`, dpkg's own list; only tests name another file.
    """
    parent = context.places.cache / "debian"
    parent.mkdir(exist_ok=True)
    name = "+".join(sorted(packages))
    target = parent / f"{name}-{_system_id(status)}"
    with locked(parent, context.progress, "Waiting for another set-up that is unpacking packages"):
        if (target / RECORD).exists():
            return target
        with context.progress.step(f"Unpacking {', '.join(packages)} into the cache"), new_folder(target) as folder:
            _fill(context, packages, folder, status)
    return target


def _system_id(status: Path) -> str:
    """Changes with the release of the system, whose libraries the packages are made for."""
    release = Path("/etc/os-release")
    text = release.read_bytes() if release.exists() else b""
    return hashlib.sha256(text + str(status).encode()).hexdigest()[:12]


def _fill(context: Context, packages: Sequence[str], folder: Path, status: Path) -> None:
    work = folder / "work"
    work.mkdir()
    try:
        apt = _configure(work, UNPRIVILEGED, {"Dir::State::status": status})
        versions = _resolve(context, packages, apt)
        _download(context, versions, apt, work)
    except CommandError:  # no package lists, or outdated ones
        apt = _configure(work, UNPRIVILEGED, {**_private_folders(work), "Dir::State::status": status})
        run(["apt-get", *apt, "update", *PATIENCE], env=context.env)
        versions = _resolve(context, packages, apt)
        _download(context, versions, apt, work)
    for package in sorted(work.glob("*.deb")):
        run(["dpkg", "-x", package, folder], env=context.env)
    shutil.rmtree(work)
    (folder / RECORD).write_text(json.dumps({"packages": versions}, indent=2, sort_keys=True))


def _private_folders(work: Path) -> dict[str, Path]:
    """Make apt's own folders below `work` and return the settings that name them."""
    settings = {
        "Dir::State": work / "state",
        "Dir::State::lists": work / "state" / "lists",
        "Dir::Cache": work / "cache",
        "Dir::Cache::archives": work / "cache" / "archives",
    }
    for folder in settings.values():
        (folder / "partial").mkdir(parents=True, exist_ok=True)
    return settings


def _configure(work: Path, text: str, settings: Mapping[str, Path]) -> list[str]:
    """Write a configuration that apt reads after all others; return the arguments that name it."""
    path = work / "apt.conf"
    path.write_text(text + "".join(f'{name} "{value}";\n' for name, value in settings.items()))
    return ["--config-file", str(path)]


def _resolve(context: Context, packages: Sequence[str], apt: list[str]) -> dict[str, str]:
    """Return name and version of each package that the system lacks."""
    said = run(["apt-get", *apt, "--simulate", "install", *UNATTENDED, *packages], env={**context.env, "LC_ALL": "C"})
    return dict(TO_INSTALL.findall(said))


def _download(context: Context, versions: dict[str, str], apt: list[str], work: Path) -> None:
    # apt checks each package against the hashes in the lists, and the lists against the archive's signature.
    names = [f"{name}={version}" for name, version in sorted(versions.items())]
    run(["apt-get", *apt, "download", *PATIENCE, *names], env=context.env, cwd=work)
