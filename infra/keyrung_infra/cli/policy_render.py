"""`keyrung policy render`: a template and one environment's parameters to the policy that is reviewed and signed."""

import os
from pathlib import Path

import click

from keyrung_infra.cli.policy_common import EXIT_FINDINGS, count, finish, json_option, tell_and_end
from keyrung_infra.errors import InfraError
from keyrung_policies import library
from keyrung_policies.errors import PolicyErrors
from keyrung_policies.parameters import Parameters, ParameterValue, read_parameters
from keyrung_policies.source import MAX_FILE_BYTES
from keyrung_policies.templating import Rendered, render

TEMPLATE_SUFFIX = ".yaml.j2"
PARAMETERS_SUFFIX = ".parameters.yaml"


@click.command("render")
@click.argument("template", metavar="TEMPLATE")
@click.option("--environment", required=True, help="Whose parameters, as in prod.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the policy to this file.")
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 unless --out holds this very text.")
@json_option
def command(*, template: str, environment: str, out: Path | None, check: bool, as_json: bool) -> None:
    """Render TEMPLATE: a file NAME.yaml.j2 beside its NAME.parameters.yaml, or the name of a template of the library.

    The policy is compiled too; a mistake is told at its line of the template. Without --out it goes to standard output.
    """
    if check and out is None:
        raise click.UsageError("--check compares with a file; give it with --out.")
    try:
        rendered = rendered_policy(template, environment)
        rules_count = len(rendered.compile().policy.document.rules)
    except PolicyErrors as refused:
        tell_and_end(refused.errors, as_json=as_json)
    document = {"environment": environment, "rules": rules_count, "file": None if out is None else str(out)}
    if check and out is not None:
        same = out.is_file() and out.read_bytes() == rendered.text.encode()
        if as_json:
            finish({"ok": same, **document}, found=not same)
        click.echo(f"{out}: {'is' if same else 'is not'} what {template} gives for {environment}")
        raise click.exceptions.Exit(0 if same else EXIT_FINDINGS)
    if out is not None:
        out.write_text(rendered.text, "utf-8")
    if as_json:
        finish({"ok": True, **document} | ({"policy": rendered.text} if out is None else {}))
    if out is None:
        click.echo(rendered.text, nl=False)
        return
    click.echo(f"{out}: {count(rules_count, 'rule')}, for {environment}")


def rendered_policy(template: str, environment: str) -> Rendered:
    """Return a template, by its file or by its name in the library, rendered for an environment.

    Raises:
        InfraError: There is no such template, or it has no parameters for this environment.
        PolicyErrors: The template or its parameters are wrong.
    """
    if template.endswith(TEMPLATE_SUFFIX):
        path = Path(template)
        text = _text(path)
        beside = path.with_name(path.name.removesuffix(TEMPLATE_SUFFIX) + PARAMETERS_SUFFIX)
        parameters = read_parameters(_text(beside).encode(), file=str(beside))
    else:
        text, parameters = library.template_text(template), library.parameters(template)
    named = template if template.endswith(TEMPLATE_SUFFIX) else f"{template}{TEMPLATE_SUFFIX}"
    return render(_headed(text, os.path.basename(named), environment), _values(parameters, environment), file=named)


def _headed(text: str, name: str, environment: str) -> str:
    """Return the template as it is: the line that tells where the policy is from stands at its end, so lines agree."""
    return f"{text.rstrip()}\n\n# Rendered from {name} for {environment}: change the template, not this file.\n"


def _values(parameters: Parameters, environment: str) -> dict[str, ParameterValue]:
    values = parameters.environments.get(environment)
    if values is None:
        known = ", ".join(parameters.environments)
        raise InfraError(
            f"there are no parameters for {environment!r}", fix=f"use one of {known}", environment=environment
        )
    return values


def _text(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise InfraError(f"{path} exceeds {MAX_FILE_BYTES} bytes", fix="split the template")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InfraError(f"{path} is not UTF-8", fix="save it as UTF-8") from error
