"""Debian packages: installed as root, or unpacked into the user's cache without any privilege."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Sequence
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
    # Absolute paths: apt reads the relative ones below its own folders.
    as_we_are = ["-o", "Debug::NoLocking=1", "-o", f"Dir::State::status={status}", "-o", "APT::Sandbox::User="]
    try:
        versions = _resolve(context, packages, as_we_are)
        _download(context, versions, as_we_are, work)
    except CommandError:  # no package lists, or outdated ones
        as_we_are += _private_lists(context, work, as_we_are)
        versions = _resolve(context, packages, as_we_are)
        _download(context, versions, as_we_are, work)
    for package in sorted(work.glob("*.deb")):
        run(["dpkg", "-x", package, folder], env=context.env)
    shutil.rmtree(work)
    (folder / RECORD).write_text(json.dumps({"packages": versions}, indent=2, sort_keys=True))


def _resolve(context: Context, packages: Sequence[str], options: list[str]) -> dict[str, str]:
    """Return name and version of each package that the system lacks."""
    said = run(
        ["apt-get", "--simulate", "install", *UNATTENDED, *options, *packages], env={**context.env, "LC_ALL": "C"}
    )
    return dict(TO_INSTALL.findall(said))


def _download(context: Context, versions: dict[str, str], options: list[str], work: Path) -> None:
    # apt checks each package against the hashes in the lists, and the lists against the archive's signature.
    names = [f"{name}={version}" for name, version in sorted(versions.items())]
    run(["apt-get", "download", *PATIENCE, *options, *names], env=context.env, cwd=work)


def _private_lists(context: Context, work: Path, options: list[str]) -> list[str]:
    """Fetch package lists into `work` and return the options that make apt use them."""
    (work / "state" / "lists" / "partial").mkdir(parents=True)
    (work / "cache" / "archives" / "partial").mkdir(parents=True)
    private = ["-o", f"Dir::State={work / 'state'}", "-o", f"Dir::Cache={work / 'cache'}"]
    run(["apt-get", "update", *PATIENCE, *options, *private], env=context.env)
    return private
