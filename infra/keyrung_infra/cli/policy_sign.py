"""`keyrung policy sign`: a bundle, signed by a provisioned key where no stack does it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from keyrung_infra.cli.policy_common import finish, json_option, policy_argument, read_policy
from keyrung_infra.errors import InfraError
from keyrung_infra.files import write_private
from keyrung_infra.policy_signing import signed_bundle
from keyrung_policies.bundle import build_payload, policy_digest
from keyrung_policies.cases import run_cases
from keyrung_provisioners import encoding
from keyrung_provisioners.registry import open_manager
from keyrung_provisioners.uri import KeyUri


@click.command("sign")
@policy_argument
@click.option("--key", required=True, metavar="URI", help="The policy-signing key, of any back end.")
@click.option(
    "--setting",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="How its store is reached, named as in Pulumi.yaml (pkcs11Module, transitAddress, ...); a literal, file:PATH "
    "or env:NAME.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Where the bundle goes.")
@click.option("--version", type=click.IntRange(min=1), help="Must grow; without it the present Unix time.")
@click.option("--lifetime-days", type=click.IntRange(min=1), default=90, show_default=True, help="Days it lives.")
@json_option
def command(
    *,
    path: Path | None,
    key: str,
    settings: tuple[str, ...],
    out: Path,
    version: int | None,
    lifetime_days: int,
    as_json: bool,
) -> None:
    """Sign the policy in PATH, whose cases must pass, and write the bundle that a verifier takes.

    `pulumi up` does the same for the project's stack; this is for a policy that lives elsewhere.
    """
    compiled = read_policy(path, as_json=as_json)
    failed = [result.case.name for result in run_cases(compiled.policy, compiled.cases) if not result.passed]
    if failed:
        raise InfraError(f"the case {failed[0]!r} fails", fix="see `keyrung policy test`", case=failed[0])
    now = datetime.now(UTC).replace(microsecond=0)
    chosen = int(now.timestamp()) if version is None else version
    expires_at = now + timedelta(days=lifetime_days)
    payload = build_payload(compiled.policy, version=chosen, not_before=now, expires_at=expires_at)
    uri = KeyUri.parse(key)
    manager = open_manager(uri.scheme, dict(_setting(text) for text in settings), root=Path.cwd())
    found = manager.describe(uri)
    if found.public_key_pem is None:
        raise InfraError(f"{uri} has no public half", fix="sign with a policy-signing key", uri=str(uri))
    write_private(out, signed_bundle(payload, uri=uri, pem=found.public_key_pem, manager=manager, now=now))
    key_id, digest = encoding.thumbprint(found.public_key_pem), policy_digest(compiled.policy)
    if as_json:
        finish({"file": str(out), "version": chosen, "digest": digest, "key_id": key_id, "expires_at": str(expires_at)})
    click.echo(f"{out}: version {chosen}, until {expires_at:%Y-%m-%d %H:%M} UTC\n  digest {digest}\n  signer {key_id}")


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--setting {text!r} has no value; write NAME=VALUE.")
    return name, value
