"""AWS's own emulator of the Lambda runtime interface, which only tests use: built from its Go module, once."""

from __future__ import annotations

import re
from pathlib import Path

from . import go_modules
from .context import Context, Tool
from .errors import SetupError
from .files import locked, new_folder, sha256

NAME = "aws-lambda-rie"
MODULE = "github.com/aws/aws-lambda-runtime-interface-emulator"
_DIGEST = "sha256"


def find(context: Context) -> list[Tool]:
    """Return the emulator if the cache has it whole."""
    target = _target(context)
    try:
        whole = sha256(target / NAME) == (target / _DIGEST).read_text()
    except OSError:
        return []
    if not whole:
        context.progress.say(
            f"The cached Lambda emulator in {target} was changed. It is built anew when tests need it."
        )
        return []
    return [Tool(name=NAME, path=target / NAME, version=target.name, origin="a build from Go modules")]


def provide(context: Context) -> list[Tool]:
    """Return the emulator; build it first when need be.

    Raises:
        SetupError: It can't be built; the message says what is missing.
    """
    target = _target(context)
    target.parent.mkdir(exist_ok=True)
    with locked(target.parent, context.progress, "Waiting for another set-up that builds the Lambda emulator"):
        if not find(context):
            try:
                _build(context, target)
            except SetupError as problem:
                raise SetupError(
                    f"The Lambda emulator, which the tests use, could not be built. {problem}",
                    fix="Check the network, or install Go, and run this again.",
                ) from problem
    return find(context)


def _build(context: Context, target: Path) -> None:
    with (
        go_modules.workshop(context, _module(context), probe=f"{MODULE}/@v/{target.name}.info") as workshop,
        context.progress.step("Building the Lambda emulator from Go modules (only once, about a minute)"),
        new_folder(target) as folder,
    ):
        workshop.run("build", "-trimpath", "-ldflags", "-s -w", "-o", folder / NAME, f"{MODULE}/cmd/{NAME}")
        (folder / _DIGEST).write_text(sha256(folder / NAME))


def _target(context: Context) -> Path:
    """Return the folder of the version that our module names."""
    text = (_module(context) / "go.mod").read_text()
    version = re.search(rf"{re.escape(MODULE)} (v\S+)", text)
    if version is None:
        raise ValueError("our Go module does not name the emulator")
    return context.places.cache / "lambda-emulator" / version[1]


def _module(context: Context) -> Path:
    return context.places.toolchain / "lambda_emulator"
