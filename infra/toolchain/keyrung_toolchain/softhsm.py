"""SoftHSM2, and the two programs that only tests use: OpenSC's pkcs11-tool and oathtool."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from . import debian
from .context import Context, Tool
from .errors import SetupError
from .files import write_atomically
from .processes import ask_version, find_program, run
from .versions import SOFTHSM_FLOOR, parse, show

SBIN = [Path("/usr/local/bin"), Path("/usr/bin")]

MODULE_PATTERNS = (
    # Debian, Fedora, Arch and a build from source, in this order.
    "usr/lib/softhsm/libsofthsm2.so",
    "usr/lib/*/softhsm/libsofthsm2.so",
    "usr/lib64/softhsm/libsofthsm2.so",
    "usr/lib64/pkcs11/libsofthsm2.so",
    "usr/local/lib/softhsm/libsofthsm2.so",
)

VERSION_COMMANDS = {
    # pkcs11-tool tells no version; its sibling from the same package does.
    "pkcs11-tool": ("opensc-tool", "--info"),
}
TEST_PROGRAMS = {"pkcs11-tool": "opensc", "oathtool": "oathtool"}


def provide(context: Context) -> list[Tool]:
    """Return SoftHSM2's library and its token program.

    Raises:
        SetupError: They are not there and can't be had; the message names what to install.
    """
    found = _softhsm(context, debian.SYSTEM, "the system")
    if found is None:
        packages = ["softhsm2", "libsofthsm2"]
        try:
            root = debian.provide(context, packages)
        except SetupError as problem:
            raise _missing("SoftHSM2", "softhsm2", problem) from problem
        found = _softhsm(context, root, _origin(root))
    if found is None:
        raise _missing("SoftHSM2", "softhsm2", None)
    return found


def find_test_programs(context: Context) -> list[Tool]:
    """Return those programs that tests use as independent witnesses and that the system has."""
    return [tool for name in TEST_PROGRAMS if (tool := _program(context, name, debian.SYSTEM))]


def provide_test_programs(context: Context) -> list[Tool]:
    """Return all programs that tests use.

    Raises:
        SetupError: One is not there and can't be had; the message names what to install.
    """
    found = find_test_programs(context)
    missing = set(TEST_PROGRAMS) - {tool.name for tool in found}
    packages = sorted(TEST_PROGRAMS[name] for name in missing)
    if missing:
        try:
            root = debian.provide(context, packages)
        except SetupError as problem:
            raise _missing("A program that the tests use", " ".join(packages), problem) from problem
        found += [tool for name in sorted(missing) if (tool := _program(context, name, root))]
    if len(found) != len(TEST_PROGRAMS):
        raise _missing("A program that the tests use", " ".join(packages), None)
    return found


def _missing(what: str, packages: str, problem: SetupError | None) -> SetupError:
    reason = f" {problem}" if problem else ""
    return SetupError(
        f"{what} is missing.{reason}",
        fix=f"Install it, on Debian with `apt-get install {packages}`, and run this again.",
    )


def _origin(root: Path) -> str:
    return "the system" if root == debian.SYSTEM else "Debian packages in the cache"


def _softhsm(context: Context, root: Path, origin: str) -> list[Tool] | None:
    program = _program(context, "softhsm2-util", root)
    module = next((path for pattern in MODULE_PATTERNS for path in sorted(root.glob(pattern))), None)
    if program is None or module is None or (parse(program.version) or (0, 0, 0)) < SOFTHSM_FLOOR:
        return None
    # Loading it in a process of its own shows a missing library here, not later in the middle of a deployment.
    run(
        [sys.executable, "-c", "import ctypes, sys; ctypes.CDLL(sys.argv[1]).C_GetFunctionList", module],
        env=context.env,
    )
    return [program, Tool(name="softhsm-module", path=module, version=program.version, origin=origin)]


def _program(context: Context, name: str, root: Path) -> Tool | None:
    teller, argument = VERSION_COMMANDS.get(name, (name, "--version"))
    path, teller_path = (_locate(context, program, root) for program in (name, teller))
    version = parse(ask_version([teller_path, argument], env=context.env)) if teller_path else None
    if path is None or version is None:
        return None
    return Tool(name=name, path=path, version=show(version), origin=_origin(root))


def _locate(context: Context, name: str, root: Path) -> Path | None:
    return find_program(name, context.env, extra=SBIN) if root == debian.SYSTEM else _wrapper(root, name)


def _wrapper(root: Path, name: str) -> Path | None:
    """Write a starter that finds the libraries unpacked beside the program."""
    program = root / "usr" / "bin" / name
    if not program.exists():
        return None
    wrapper = root / "bin" / name
    wrapper.parent.mkdir(exist_ok=True)
    folders = ":".join(map(str, _library_folders(root)))
    write_atomically(
        wrapper,
        f'#!/bin/sh\nLD_LIBRARY_PATH="{folders}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}" exec "{program}" "$@"\n',
        mode=0o755,
    )
    return wrapper


def _library_folders(root: Path) -> Sequence[Path]:
    patterns = ("lib/*-linux-*", "usr/lib/*-linux-*", "usr/lib")
    return [path for pattern in patterns for path in sorted(root.glob(pattern)) if path.is_dir()]
