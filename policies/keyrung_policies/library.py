"""The policies that come with the package, as templates with parameters: a first policy in minutes."""

from importlib.resources import files
from importlib.resources.abc import Traversable

from keyrung_policies.errors import PolicyError
from keyrung_policies.parameters import Parameters, read_parameters

_TEMPLATE, _PARAMETERS = ".yaml.j2", ".parameters.yaml"


class UnknownTemplateError(PolicyError):
    """There is no template of this name."""

    def __init__(self, name: str) -> None:
        self.fields = {"name": name}
        super().__init__(f"there is no policy template {name!r}; use one of {', '.join(names())}.")


def names() -> list[str]:
    """Return the names of all templates."""
    return sorted(item.name.removesuffix(_TEMPLATE) for item in _folder().iterdir() if item.name.endswith(_TEMPLATE))


def template_text(name: str) -> str:
    """Return the text of a template."""
    return _read(name, _TEMPLATE)


def parameters_text(name: str) -> str:
    """Return the text of a template's parameters."""
    return _read(name, _PARAMETERS)


def parameters(name: str) -> Parameters:
    """Return the parameters of a template."""
    return read_parameters(parameters_text(name).encode(), file=f"{name}{_PARAMETERS}")


def _read(name: str, suffix: str) -> str:
    if name not in names():
        raise UnknownTemplateError(name)
    return (_folder() / f"{name}{suffix}").read_text("utf-8")


def _folder() -> Traversable:
    return files("keyrung_policies") / "templates"
