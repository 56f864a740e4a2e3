"""`keyrung serve`: the verifier as a local server."""

from pathlib import Path

import click

from keyrung_infra.project import find_root
from keyrung_infra.serve.run import run
from keyrung_infra.serve.settings import DEFAULT_CONFIG


@click.command("serve")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"The verifier's configuration, by default {DEFAULT_CONFIG}.",
)
def command(config: Path | None) -> None:
    """Run the verifier that `pulumi up` configured, until interrupted."""
    root = find_root()
    run(config or root / DEFAULT_CONFIG, root, on_ready=lambda url: click.echo(f"verifier ready at {url}", err=True))
