"""Builds the Lambda zip: the modules that the handlers reach, and the locked wheels they need for another machine.

The same sources, lock and compiler give the same bytes: entries are sorted and times fixed. A changed hash of the zip
is a changed function, and nothing else is. Bytecode goes with the sources where a Python of the function's version is
at hand, since Lambda can keep none and would compile everything again at each cold start.
"""

import base64
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from modulefinder import ModuleFinder
from pathlib import Path

import keyrung_policies
import keyrung_verifier
from keyrung_infra.errors import InfraError
from keyrung_infra.files import write_private

LOCK = Path(__file__).with_name("bundle.lock")
HANDLERS = ("keyrung_verifier.handler",)
PYTHON_VERSION = "3.13"
# What AWS allows for a zip that is uploaded directly (Lambda quotas).
MAX_ZIP_BYTES = 50 * 1024 * 1024
_INSTALL_SECONDS = 300
# The earliest time that a zip can say.
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)
_PLAIN_FILE = 0o100644 << 16
_UNIX = 3
# What the installer writes about itself, and what only compilers and type checkers read. METADATA stays: a scanner of
# the deployed function tells by it which versions are inside.
_LEFT_OUT_NAMES = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", ".lock", "py.typed"}
_LEFT_OUT_ENDS = (".pyi", ".h")


class Architecture(StrEnum):
    """A processor that Lambda offers; the value is Lambda's name for it."""

    ARM64 = "arm64"
    X86_64 = "x86_64"


# Amazon Linux 2023, on which the runtimes from Python 3.12 on are built, has glibc 2.34.
_PLATFORMS = {Architecture.ARM64: "aarch64-manylinux_2_28", Architecture.X86_64: "x86_64-manylinux_2_28"}
# e_machine of the ELF header (System V ABI).
_MACHINES = {Architecture.ARM64: 183, Architecture.X86_64: 62}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A zip that was built.

    Attributes:
        compiled: Whether bytecode is in it.
        unpacked_bytes: What Lambda counts against its limit of 250 MB.
        code_sha256: Base64 of its SHA-256, as Lambda reports it of a deployed function.
    """

    path: Path
    compiled: bool
    size_bytes: int
    unpacked_bytes: int
    code_sha256: str


def build_bundle(*, architecture: Architecture, out: Path, python_version: str = PYTHON_VERSION) -> Bundle:
    """Build the zip at ``out`` and say what it is like.

    Raises:
        InfraError: A wheel of the lock cannot be had for that machine, or is for another one.
    """
    with tempfile.TemporaryDirectory(prefix="keyrung-bundle-") as folder:
        target = Path(folder)
        _install(target, architecture, python_version)
        _copy_own_modules(target)
        compiled = _compile(target, python_version)
        files = dict(_shipped(target))
    for name, data in files.items():
        _check_machine(name, data, architecture)
    data = _zip(files)
    if len(data) > MAX_ZIP_BYTES:
        raise InfraError(f"the bundle has {len(data)} bytes, and Lambda takes {MAX_ZIP_BYTES}", fix="ship less in it")
    write_private(out, data)
    return Bundle(
        path=out,
        compiled=compiled,
        size_bytes=len(data),
        unpacked_bytes=sum(map(len, files.values())),
        code_sha256=base64.b64encode(hashlib.sha256(data).digest()).decode("ascii"),
    )


def _install(target: Path, architecture: Architecture, python_version: str) -> None:
    command = [_uv(), "pip", "install", "--quiet", "--target", target, "--no-deps", "--require-hashes", "--requirement"]
    command += [LOCK, "--only-binary", ":all:", "--python-platform", _PLATFORMS[architecture]]
    command += ["--python-version", python_version, "--no-compile-bytecode", "--link-mode", "copy"]
    try:
        done = subprocess.run(
            list(map(str, command)),
            check=False,
            env=_environment(),
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InfraError("the packages of the bundle could not be fetched in time", fix="run it again") from error
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["no message"])[-1].strip()
        raise InfraError(
            f"the packages of the bundle cannot be installed for Python {python_version} on {architecture} ({said})",
            fix="check the network and the package index, or choose another version",
        )


def _uv() -> Path:
    beside = Path(sys.executable).with_name("uv")
    found = beside if beside.exists() else shutil.which("uv")
    if found is None:
        raise InfraError("uv, which fetches the packages of the bundle, is not there", fix="install it: pip install uv")
    return Path(found)


def _environment() -> Mapping[str, str]:
    """Return the caller's environment, with the package cache that set-up fills."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "keyrung", "uv")
    return {"UV_CACHE_DIR": str(cache), "UV_SYSTEM_CERTS": "true"} | dict(os.environ)


def _copy_own_modules(target: Path) -> None:
    """Copy our modules that the handlers import, at the top or late; what they never reach stays out."""
    roots = [Path(package.__path__[0]).parent for package in (keyrung_verifier, keyrung_policies)]
    finder = ModuleFinder(path=list(map(str, roots)))
    for handler in HANDLERS:
        finder.import_hook(handler)
    found = [Path(name) for module in finder.modules.values() if (name := getattr(module, "__file__", None))]
    for path in found:
        for root in roots:
            if root in path.parents:
                copy = target / path.relative_to(root)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(path.read_bytes())


def _compile(target: Path, python_version: str) -> bool:
    """Compile everything if a Python of that version is here; return whether it is."""
    python = _interpreter(python_version)
    if python is None:
        return False
    # Never checked against the sources, which Lambda keeps as they are (PEP 552); one hash seed, so that sets of
    # constants come in one order; without the folder's name, which is another one each time.
    options = ["-q", "-q", "--invalidation-mode", "unchecked-hash", "-s", str(target)]
    subprocess.run(
        [python, "-P", "-m", "compileall", *options, str(target)],
        check=False,  # a file that does not compile is shipped as it is: it fails where it is imported, or never
        env={**_environment(), "PYTHONHASHSEED": "0"},
        capture_output=True,
        timeout=_INSTALL_SECONDS,
    )
    return True


def _interpreter(python_version: str) -> str | None:
    if python_version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    found = subprocess.run(
        [_uv(), "python", "find", "--no-project", "--no-python-downloads", python_version],
        check=False,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=_INSTALL_SECONDS,
    )
    return found.stdout.strip() if found.returncode == 0 else None


def _shipped(target: Path) -> Iterator[tuple[str, bytes]]:
    for path in target.rglob("*"):
        name = path.relative_to(target)
        left_out = name.parts[0] == "bin" or path.name in _LEFT_OUT_NAMES or path.name.endswith(_LEFT_OUT_ENDS)
        if path.is_file() and not left_out:
            yield str(name), path.read_bytes()


def _check_machine(name: str, data: bytes, architecture: Architecture) -> None:
    """Raise `InfraError` for a library that the machine cannot load: it would fail at the first call, not here."""
    if not name.endswith(".so"):
        return
    is_64_bit, machine = data[:5] == b"\x7fELF\x02", int.from_bytes(data[18:20], "little")
    if not is_64_bit or machine != _MACHINES[architecture]:
        raise InfraError(f"{name} is not for {architecture}", fix="clear the package cache and build again")


def _zip(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _FIXED_TIME)
            entry.create_system, entry.external_attr = _UNIX, _PLAIN_FILE
            archive.writestr(entry, files[name], compress_type=zipfile.ZIP_DEFLATED, compresslevel=9)
    return buffer.getvalue()
