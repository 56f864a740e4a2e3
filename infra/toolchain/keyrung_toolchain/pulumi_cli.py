"""The Pulumi CLI: from PATH, the cache, the official installer, or a build from Go modules, in this order."""

from __future__ import annotations

from pathlib import Path

from . import language_host, pulumi_build, pulumi_cache, pulumi_official
from .context import Context, Tool
from .errors import SetupError
from .files import locked
from .processes import ask_version, find_program
from .versions import PULUMI_CEILING, PULUMI_FLOOR, PULUMI_VERSION, go_floor, parse, show

LANGUAGE_HOST = ("pulumi-language-python", "pulumi-language-python-exec")


def provide(context: Context) -> Tool:
    """Return a Pulumi CLI of a good version that can run Python programs.

    Raises:
        SetupError: No step works; the message lists why, and names what to install.
    """
    reasons: list[str] = []
    tool = _on_path(context, reasons) or _ours(context, reasons)
    if tool is None:
        module = context.places.toolchain / "pulumi" / "go.mod"
        raise SetupError(
            "The Pulumi CLI could not be set up:\n" + "".join(f"  - {reason}\n" for reason in reasons),
            fix=f"Install Pulumi {show(PULUMI_FLOOR)} or newer (https://www.pulumi.com/docs/install/), or "
            f"Go {show(go_floor(module))} or newer to build it with, and run this again.",
        )
    return tool


def good_version(said: str) -> str | None:
    """Return the version that `pulumi version` said if it is one that we run against."""
    version = parse(said)
    return show(version) if version and PULUMI_FLOOR <= version < PULUMI_CEILING else None


def _on_path(context: Context, reasons: list[str]) -> Tool | None:
    # What an earlier set-up put into the virtual environment is not the user's own choice.
    path = find_program("pulumi", context.env, skip=context.places.bin)
    if path is None:
        reasons.append("There is no `pulumi` on PATH.")
        return None
    said = ask_version([path, "version"], env={**context.env, "PULUMI_SKIP_UPDATE_CHECK": "true"}).strip()
    version = good_version(said)
    if version is None:
        reasons.append(f"{path} is version {said or 'unknown'}; {show(PULUMI_FLOOR)} to 3.x is needed.")
        return None
    folders = [path.parent, path.resolve().parent]
    if not all(any((folder / name).exists() for folder in folders) for name in LANGUAGE_HOST):
        reasons.append(f"{path} has no Python language host beside it.")
        return None
    language_host.remove(context)
    return Tool(name="pulumi", path=path, version=version, origin="PATH")


def _ours(context: Context, reasons: list[str]) -> Tool | None:
    """Return the CLI in the cache; put it there first when need be."""
    parent = context.places.cache / "pulumi"
    parent.mkdir(exist_ok=True)
    target = parent / PULUMI_VERSION
    with locked(parent, context.progress, "Waiting for another set-up that installs the Pulumi CLI"):
        entry = pulumi_cache.load(context, target)
        for install in (pulumi_official.install, pulumi_build.install):
            if entry is not None:
                break
            try:
                install(context, target)
                entry = pulumi_cache.load(context, target)
            except SetupError as problem:
                reasons.append(str(problem))
    return _tool(context, target, entry) if entry else None


def _tool(context: Context, target: Path, entry: pulumi_cache.Entry) -> Tool:
    folder = target / "bin"
    if entry.needs_language_host:
        folder = language_host.install(context, folder)
    return Tool(name="pulumi", path=folder / "pulumi", version=entry.version, origin=entry.origin)
