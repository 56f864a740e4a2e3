"""`keyrung policy check`: every mistake of a policy in one run."""

from pathlib import Path

import click

from keyrung_infra.cli.policy_common import (
    as_objects,
    count,
    finish,
    json_option,
    policy_argument,
    policy_path,
    read_policy,
)
from keyrung_policies.bundle import policy_digest


@click.command("check")
@policy_argument
@json_option
def command(path: Path | None, as_json: bool) -> None:
    """Find every mistake of the policy in PATH: a file, or all *.yaml files of a folder.

    Without PATH it is the project's policies/catalog.
    """
    compiled = read_policy(path, as_json=as_json)
    document = compiled.policy.document
    digest = policy_digest(compiled.policy)
    if as_json:
        warnings = as_objects(compiled.warnings)
        finish({"ok": True, "errors": [], "warnings": warnings, "digest": digest, "rules": len(document.rules)})
    for warning in compiled.warnings:
        click.echo(f"{warning} (warning)", err=True)
    click.echo(f"{policy_path(path)}: {count(len(document.rules), 'rule')}, no mistakes\n  digest {digest}")
