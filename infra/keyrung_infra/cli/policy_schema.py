"""`keyrung policy schema`: the JSON Schema with which an editor checks and completes policy files."""

import json
from pathlib import Path

import click

from keyrung_infra.cli.policy_common import finish, json_option
from keyrung_policies.schema import policy_schema


@click.command("schema")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write it to this file.")
@json_option
def command(*, out: Path | None, as_json: bool) -> None:
    """Write the JSON Schema of policy files, to standard output without --out.

    An editor with a YAML language server uses it in files that begin with
    `# yaml-language-server: $schema=` and the path of the schema.
    """
    schema = policy_schema()
    if out is None:
        finish(schema)
    out.write_text(json.dumps(schema, indent=2) + "\n", "utf-8")
    if as_json:
        finish({"file": str(out)})
    click.echo(f"{out}: begin policy files with `# yaml-language-server: $schema={out}`")
