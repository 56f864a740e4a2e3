"""Writes the tables of back ends in provisioners/README.md from what the classes state: `make tables`."""

from importlib import import_module
from pathlib import Path

from keyrung_provisioners import api, registry, uri
from keyrung_provisioners.algorithms import ALGORITHMS
from keyrung_provisioners.api import Capability, KeyManager

README = Path(__file__).parents[2] / "provisioners" / "README.md"
_BEGIN, _END = "<!-- Written by `make tables`, from what the back ends state. -->", "<!-- End of what is written. -->"


def text() -> str:
    """Return both tables: how each back end is named, and what each can do."""
    return "\n".join([*_names(), "", *_abilities()])


def written(readme: str) -> str:
    """Return what stands between the marks."""
    return readme.split(_BEGIN, 1)[1].split(_END, 1)[0].strip()


def rewrite() -> None:
    """Put the tables between the marks."""
    head, rest = README.read_text("utf-8").split(_BEGIN, 1)
    tail = rest.split(_END, 1)[1]
    README.write_text(f"{head}{_BEGIN}\n\n{text()}\n\n{_END}{tail}", "utf-8")


def managers() -> dict[str, type[KeyManager]]:
    """Return the class of each back end of ours by its scheme."""
    found: dict[str, type[KeyManager]] = {}
    for scheme, (path, _) in registry._BACKENDS.items():
        module, _, name = path.partition(":")
        found[scheme] = getattr(import_module(module), name)
    return found


def _names() -> list[str]:
    lines = ["| back end | keys | vault | key | install |", "| --- | --- | --- | --- | --- |"]
    for scheme, manager in managers().items():
        rule, what = uri._SCHEMES[scheme], _first_line(import_module(manager.__module__).__doc__).removeprefix("Keys ")
        vault = f"{scheme}:{rule.vault}={rule.vault.upper()}"
        key = f"{vault};{rule.key}={rule.key.upper()}"
        lines.append(f"| `{scheme}` | {what} | `{vault}` | `{key}` | `{registry._BACKENDS[scheme][1]}` |")
    return lines


def _abilities() -> list[str]:
    classes = managers()
    lines = [f"| | {' | '.join(f'`{scheme}`' for scheme in classes)} |", f"| --- |{' --- |' * len(classes)}"]
    for name in ALGORITHMS:
        lines.append(_row(name, [name in manager.algorithms for manager in classes.values()]))
    for capability in Capability:
        what = _first_line(getattr(api, capability.value.capitalize()).__doc__).rstrip(".")
        cells = [capability in manager.capabilities for manager in classes.values()]
        lines.append(_row(f"{capability.value}: {what[0].lower()}{what[1:]}", cells))
    return lines


def _row(title: str, cells: list[bool]) -> str:
    return f"| {title} | {' | '.join('yes' if cell else '-' for cell in cells)} |"


def _first_line(docstring: str | None) -> str:
    return (docstring or "").splitlines()[0].rstrip(".")


if __name__ == "__main__":
    rewrite()
