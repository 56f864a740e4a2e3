"""`keyrung policy compile`: the canonical document that is hashed, signed and shipped."""

from pathlib import Path

import click
import msgspec

from keyrung_infra.cli.policy_common import count, finish, json_option, policy_argument, read_policy
from keyrung_policies.bundle import policy_digest
from keyrung_policies.canonical import canonical_bytes


@click.command("compile")
@policy_argument
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write it to this file.")
@json_option
def command(*, path: Path | None, out: Path | None, as_json: bool) -> None:
    """Write the policy in PATH as canonical JSON (RFC 8785), to standard output without --out.

    The same content gives the same bytes, in whichever order and files it is written. Without PATH it is the project's
    policies/catalog.
    """
    policy = read_policy(path, as_json=as_json).policy
    document = msgspec.to_builtins(policy.document)
    text = canonical_bytes(document)
    if out is not None:
        out.write_bytes(text)
    summary = {"digest": policy_digest(policy), "rules": len(policy.document.rules), "bytes": len(text)}
    if as_json:
        finish(summary | ({"document": document} if out is None else {"file": str(out)}))
    if out is None:
        click.echo(text)
        return
    click.echo(f"{out}: {count(len(policy.document.rules), 'rule')}, {len(text)} bytes\n  digest {summary['digest']}")
