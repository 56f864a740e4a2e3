"""`keyrung bundle`: the zip that AWS Lambda runs."""

import json
from pathlib import Path

import click

from keyrung_infra.packaging.bundle import PYTHON_VERSION, Architecture, build_bundle


@click.group(name="bundle")
def command() -> None:
    """Build what AWS Lambda runs."""


@command.command(name="build")
@click.option(
    "--architecture",
    type=click.Choice([each.value for each in Architecture]),
    default=Architecture.ARM64.value,
    show_default=True,
    help="The function's processor.",
)
@click.option("--python-version", default=PYTHON_VERSION, show_default=True, help="The function's Python.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write.  [default: dist/verifier-ARCHITECTURE.zip]",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was built as JSON.")
def build(*, architecture: str, python_version: str, out: Path | None, as_json: bool) -> None:
    """Build the zip with verifier and archiver; the same sources and Python give the same bytes."""
    path = out or Path("dist", f"verifier-{architecture}.zip")
    made = build_bundle(architecture=Architecture(architecture), out=path, python_version=python_version)
    if as_json:
        facts = {
            "file": str(made.path),
            "compiled": made.compiled,
            "size_bytes": made.size_bytes,
            "unpacked_bytes": made.unpacked_bytes,
            "code_sha256": made.code_sha256,
        }
        click.echo(json.dumps(facts))
        return
    click.echo(f"{made.path}: {made.size_bytes} bytes, {made.unpacked_bytes} unpacked\n  sha256 {made.code_sha256}")
    if not made.compiled:
        click.echo(
            f"Not compiled: no Python {python_version} is here, so each cold start does it; install it and build again."
        )
