"""`keyrung policy new`: start from a policy of the library."""

from pathlib import Path

import click

from keyrung_infra.cli.policy_common import CATALOG, finish, json_option, policy_path
from keyrung_infra.cli.policy_render import PARAMETERS_SUFFIX, TEMPLATE_SUFFIX, rendered_policy
from keyrung_infra.errors import InfraError
from keyrung_policies import library
from keyrung_policies.compile import compile_path
from keyrung_policies.errors import PolicyErrors


@click.command("new")
@click.argument("name", required=False)
@click.option("--environment", default="dev", show_default=True, help="Whose parameters.")
@click.option("--template", "as_template", is_flag=True, help="Copy the template itself and its parameters.")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help=f"[default: {CATALOG}]")
@json_option
def command(*, name: str | None, environment: str, as_template: bool, folder: Path | None, as_json: bool) -> None:
    """Write the policy NAME of the library as a file to start from; without NAME, list what there is."""
    if name is None:
        _list(as_json=as_json)
        return
    texts = _texts(name, environment, as_template=as_template)
    target = policy_path(folder)
    paths = {target / file: text for file, text in texts.items()}
    for path in paths:
        if path.exists():
            raise InfraError(f"{path} exists already", fix="remove it, or choose another --folder")
    target.mkdir(parents=True, exist_ok=True)
    for path, text in paths.items():
        path.write_text(text, "utf-8")
    if as_json:
        finish({"name": name, "files": [str(path) for path in paths]})
    for path in paths:
        click.echo(path)
    template = target / f"{name}{TEMPLATE_SUFFIX}"
    next_step = f"render {template} --environment prod" if as_template else f"test {target}"
    click.echo(f"Change it as you need, then run `keyrung policy {next_step}`.", err=True)
    if not as_template and not _compiles(target):
        click.echo(
            f"It does not fit beside what is in {target} yet: mend what `keyrung policy check {target}` names,"
            " or remove it and start in another --folder.",
            err=True,
        )


def _compiles(folder: Path) -> bool:
    try:
        compile_path(folder)
    except PolicyErrors:
        return False
    return True


def _texts(name: str, environment: str, *, as_template: bool) -> dict[str, str]:
    if as_template:
        return {
            f"{name}{TEMPLATE_SUFFIX}": library.template_text(name),
            f"{name}{PARAMETERS_SUFFIX}": library.parameters_text(name),
        }
    text = rendered_policy(name, environment).text
    # From here on the file is the author's own.
    return {f"{name}.yaml": text[: text.rindex("\n# Rendered from")]}


def _list(*, as_json: bool) -> None:
    found = {name: library.parameters(name) for name in library.names()}
    if as_json:
        finish({name: {"about": one.about, "environments": list(one.environments)} for name, one in found.items()})
    width = max(map(len, found))
    for name, one in found.items():
        click.echo(f"{name:{width}}  {one.about}")
