"""`keyrung dev`: the local stack."""

import json
import shlex
import sys
from typing import Any

import click

from keyrung_infra.local.stack import Stack, StackStatus, stop_stack
from keyrung_infra.project import find_root
from keyrung_infra.tools import tools

_json_option = click.option("--json", "as_json", is_flag=True, help="Write one JSON object to standard output.")


def _stack() -> Stack:
    return Stack(find_root(), tools=tools())


@click.group("dev")
def command() -> None:
    """Start, stop and look at the local stack.

    It is for development: its unseal key and PINs lie beside the data, readable by you only.
    """


@command.command()
@_json_option
def up(as_json: bool) -> None:
    """Bring everything up; repairs a stack that crashed or was left half started."""
    _show(_stack().up(), as_json=as_json)


@command.command()
@_json_option
def down(as_json: bool) -> None:
    """Stop the server; all data stays."""
    stopped = stop_stack(find_root())
    if as_json:
        click.echo(json.dumps({"stopped": stopped}))
    else:
        click.echo("OpenBao is stopped; its data is kept." if stopped else "OpenBao was not running.")


@command.command()
@_json_option
def status(as_json: bool) -> None:
    """Say of each part whether it works; the exit code is 0 only if all do."""
    found = _stack().status()
    _show(found, as_json=as_json)
    if not found.is_up:
        sys.exit(1)


@command.command()
@_json_option
def env(as_json: bool) -> None:
    """Print what plain `pulumi`, `bao` and PKCS#11 tools need: eval "$(keyrung dev env)"."""
    stack = _stack()
    if as_json:
        variables = stack.variables()
        click.echo(json.dumps({**variables, "PATH": stack.environment()["PATH"]}))
        return
    for name, value in stack.variables().items():
        click.echo(f"export {name}={shlex.quote(value)}")
    click.echo(f'export PATH={shlex.quote(":".join(stack.path_folders()))}:"$PATH"')


def _show(found: StackStatus, *, as_json: bool) -> None:
    document = found.document()
    if as_json:
        click.echo(json.dumps(document))
        return
    for line in _lines(document):
        click.echo(line)


def _lines(document: dict[str, Any]) -> list[str]:
    bao, hsm = document["openbao"], document["softhsm"]
    lines = [
        _line("OpenBao", bao["state"], bao["version"], bao["address"], bao["pid"] and f"process {bao['pid']}"),
        _line("SoftHSM", hsm["state"], hsm["version"], hsm["module"]),
    ]
    if bao["state"] == "running" and bao["roles_without_token"]:
        lines.append(f"No valid token for: {', '.join(bao['roles_without_token'])}.")
    if document["missing"]:
        lines.append(f"Missing: {', '.join(document['missing'])}.")
    if not document["up"]:
        lines.append("The local stack is not up: run keyrung dev up.")
    return lines


def _line(name: str, *facts: str | None) -> str:
    return f"{name}  {'  '.join(fact for fact in facts if fact)}"
