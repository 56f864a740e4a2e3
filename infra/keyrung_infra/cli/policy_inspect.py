"""`keyrung policy inspect`: what a signed bundle says, and whether a verifier would take it."""

from datetime import UTC, datetime
from pathlib import Path

import click

from keyrung_infra.cli.policy_common import end, finish, json_option
from keyrung_infra.errors import InfraError
from keyrung_infra.policy_signing import read_trusted_key
from keyrung_infra.project import STATE_FOLDER, find_root
from keyrung_infra.serve.settings import read_settings
from keyrung_policies.bundle import MAX_BUNDLE_BYTES, document_digest, open_bundle, read_unverified
from keyrung_policies.errors import BundleRefusedError, BundleUnknownSignerError


@click.command("inspect")
@click.argument("bundle", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--key",
    "key_files",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    help="A trusted public key (PEM or JWK); may be repeated. Without it those of the deployed verifier.",
)
@click.option("--minimum-version", type=click.IntRange(min=0), default=0, help="Refuse an older version than this.")
@json_option
def command(*, bundle: Path, key_files: tuple[Path, ...], minimum_version: int, as_json: bool) -> None:
    """Show what BUNDLE says, and whether a verifier that trusts these keys would take it now."""
    with bundle.open("rb") as file:
        # One byte over the limit is enough to see that it is exceeded.
        data = file.read(MAX_BUNDLE_BYTES + 1)
    key_id, payload = read_unverified(data)
    trusted = dict(map(read_trusted_key, key_files)) or _deployed_keys()
    refused = _refusal(data, trusted, minimum_version)
    facts = {
        "version": payload.version,
        "digest": document_digest(payload.policy),
        "signer": key_id,
        "not_before": datetime.fromtimestamp(payload.not_before, UTC).isoformat(),
        "expires_at": datetime.fromtimestamp(payload.expires_at, UTC).isoformat(),
        "rules": len(payload.policy.rules),
        "levels": len(payload.policy.levels),
        "bytes": len(data),
    }
    if as_json:
        reason = None if refused is None else {"reason": refused.reason, "message": str(refused)}
        finish({"ok": refused is None, **facts, "refused": reason}, found=refused is not None)
    width = max(map(len, facts))
    for name, value in facts.items():
        click.echo(f"{name.replace('_', ' '):{width}}  {value}")
    verdict = "good under the trusted keys" if refused is None else f"refused ({refused.reason}): {refused}"
    click.echo(f"{'verdict':{width}}  {verdict}")
    end(found=refused is not None)


def _refusal(data: bytes, trusted: dict[str, dict[str, str]], minimum_version: int) -> BundleRefusedError | None:
    if not trusted:
        return BundleUnknownSignerError("no key is given, and no verifier is deployed here; give one with --key.")
    try:
        open_bundle(data, trusted_keys=trusted, now=datetime.now(UTC), minimum_version=minimum_version)
    except BundleRefusedError as error:
        return error
    return None


def _deployed_keys() -> dict[str, dict[str, str]]:
    """Return the keys that the deployed verifier trusts; none where there is none."""
    try:
        config = find_root() / STATE_FOLDER / "verifier" / "config.json"
    except InfraError:
        return {}
    return read_settings(config).policy.keys if config.is_file() else {}
