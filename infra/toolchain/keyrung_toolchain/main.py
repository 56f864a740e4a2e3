"""Set-up from the first step to the last."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from . import environment, guardrails, lambda_emulator, pulumi_cli, record, softhsm
from .context import Context, Tool
from .errors import SetupError
from .files import locked
from .places import find_places
from .progress import Progress

NAMES = ("pulumi", "bao", "softhsm2-util", "softhsm-module")
TEST_NAMES = (*softhsm.TEST_PROGRAMS, lambda_emulator.NAME)
INTERRUPTED_EXIT_CODE = 130


def main(root: Path, arguments: list[str]) -> int:
    """Set everything up for the checkout at `root`; return the exit code."""
    parser = argparse.ArgumentParser(prog="setup.py", description="Set up everything that Keyrung needs.")
    parser.add_argument("--tests", action="store_true", help="also set up the programs that only tests use")
    parser.add_argument("--guardrails", action="store_true", help="also set up the policy pack for production stacks")
    options = parser.parse_args(arguments)
    progress = Progress(stream=sys.stderr)
    try:
        context = Context(places=find_places(root, os.environ), progress=progress, env=dict(os.environ))
        with locked(root, progress, "Waiting for another set-up of this folder"):
            _provide(context, with_test_programs=options.tests, with_guardrails=options.guardrails or options.tests)
    except SetupError as problem:
        progress.say(f"Set-up stopped. {problem}")
        return 1
    except OSError as problem:
        progress.say(f"Set-up stopped. {problem.filename or 'A file'}: {problem.strerror}.")
        return 1
    except KeyboardInterrupt:
        progress.say("Interrupted. Run the same command again to go on.")
        return INTERRUPTED_EXIT_CODE
    return 0


def _provide(context: Context, *, with_test_programs: bool, with_guardrails: bool) -> None:
    names = (*NAMES, *(TEST_NAMES if with_test_programs else ()), *((guardrails.NAME,) if with_guardrails else ()))
    if record.current(context, names):
        return
    if not record.current(context, NAMES):
        record.forget(context)
        environment.provide(context)
    tools = [environment.openbao(context), *softhsm.provide(context)]
    witnesses = softhsm.provide_test_programs if with_test_programs else softhsm.find_test_programs
    tools += witnesses(context)
    tools += lambda_emulator.provide(context) if with_test_programs else lambda_emulator.find(context)
    tools += guardrails.provide(context) if with_guardrails else guardrails.find(context)
    tools.append(pulumi_cli.provide(context))
    record.save(context, tools)
    _report(context, tools)


def _report(context: Context, tools: list[Tool]) -> None:
    for tool in tools:
        context.progress.say(f"{tool.name} {tool.version} from {tool.origin}")
