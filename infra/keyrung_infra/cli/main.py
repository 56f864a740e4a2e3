"""The `keyrung` command: a table of command groups, each loaded only when it is used.

`keyrung --help` needs nothing but click: the short texts stand in the table.
"""

import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click

# Command -> MODULE that has it as `command`, or MODULE:ATTRIBUTE; and its one line in the overview.
_COMMANDS: dict[str, tuple[str, str]] = {
    "dev": ("keyrung_infra.cli.dev", "Start, stop and look at the local stack."),
    "serve": ("keyrung_infra.cli.serve", "Run the verifier."),
    "key": ("keyrung_infra.cli.key", "List keys, prove them, and end or suspend their use."),
    "credential": ("keyrung_infra.cli.credential", "Add, import, list and revoke people's step-up credentials."),
    "custodian": ("keyrung_infra.cli.custodian", "Make keys for the people who hold shares of an escrow."),
    "escrow": ("keyrung_infra.cli.escrow", "Escrow keys with custodians, restore them, and rehearse it."),
    "policy": ("keyrung_infra.cli.policy", "Check, test, explain, compile and sign policies."),
    "audit": ("keyrung_infra.cli.audit", "Verify the audit log."),
    "doctor": ("keyrung_infra.cli.doctor", "Look at a deployment from outside and say what is wrong."),
    "backup": ("keyrung_infra.cli.backup", "Copy what the local verifier must not lose, while it works."),
    "bundle": ("keyrung_infra.cli.bundle", "Build what AWS Lambda runs."),
    "demo": ("keyrung_infra.cli.demo", "Show a completed step-up, from `pulumi up` to the audit log."),
}

_OUR_PACKAGES = {"keyrung_infra", "keyrung_provisioners", "keyrung_policies", "keyrung_verifier", "keyrung_audit"}


class LazyGroup(click.Group):
    """A group that imports a subcommand when it runs, not when it is listed."""

    def __init__(self, table: Mapping[str, tuple[str, str]], **settings: Any) -> None:
        super().__init__(**settings)
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the table's order."""
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command, or return None for a name that is not in the table."""
        if cmd_name not in self._table:
            return None
        module, _, attribute = self._table[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute or "command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the overview without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._table.items()])


@click.command(cls=LazyGroup, table=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="keyrung", prog_name="keyrung")
def cli() -> None:
    """Keys behind step-up authentication: provisioned, declared, enforced."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; every error of ours becomes one sentence, never a traceback."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run(given))


def run(arguments: Sequence[str]) -> int:
    """Run the command line with ``arguments`` and return the exit code.

    One sentence on standard error, or with ``--json`` an object `{"error": {...}}` on standard output.
    """
    as_json = "--json" in arguments
    try:
        result = cli.main(args=list(arguments), prog_name="keyrung", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Abort:
        return _fail("interrupted", {"type": "Interrupted"}, as_json=as_json, code=130)
    except click.ClickException as error:
        if as_json:
            return _fail(error.format_message(), {"type": "UsageError"}, as_json=True, code=error.exit_code)
        error.show()
        return error.exit_code
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return _fail(f"the system refused ({what}).", {"type": type(error).__name__}, as_json=as_json, code=1)
    except Exception as error:
        # Our families are recognised by their package: importing five packages to name them would slow every command.
        if type(error).__module__.partition(".")[0] not in _OUR_PACKAGES:
            raise
        return _fail(str(error), _document(error), as_json=as_json, code=1)


def _document(error: Exception) -> dict[str, object]:
    fields = getattr(error, "fields", None)
    return {
        "type": type(error).__name__,
        "fix": getattr(error, "fix", None),
        "fields": dict(fields) if isinstance(fields, dict) else {},
    }


def _fail(sentence: str, details: dict[str, object], *, as_json: bool, code: int) -> int:
    if as_json:
        click.echo(json.dumps({"error": {"message": sentence, **details}}))
    else:
        from keyrung_infra.generation_setting import with_setting  # noqa: PLC0415 - the help needs nothing but this file

        click.echo(f"keyrung: {with_setting(sentence)}", err=True)
    return code
