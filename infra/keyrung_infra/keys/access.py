"""How commands reach the stores of a project: by the settings of its stack, which the provider uses, too."""

from pathlib import Path
from typing import Any

import yaml

from keyrung_infra.errors import InfraError

_OURS = "keyrung:"


def stack_settings(root: Path, stack: str | None) -> dict[str, str]:
    """Return the provider's settings in the stack's configuration; references stay references.

    Args:
        root: The project's folder.
        stack: The stack's name; None for the only one that has such settings.

    Raises:
        InfraError: If there is no such stack, or more than one and none was named.
    """
    folder = root / str(_read(root / "Pulumi.yaml").get("stackConfigDir", "."))
    files = {path.name.removeprefix("Pulumi.").removesuffix(".yaml"): path for path in folder.glob("Pulumi.*.yaml")}
    if stack is None:
        able = [name for name, path in files.items() if any(key.startswith(_OURS) for key in _config(path))]
        stack = able[0] if len(able) == 1 else None
    if stack not in files:
        known = ", ".join(sorted(files)) or "none"
        raise InfraError(
            f"there is no configuration of stack {stack}" if stack else "it is not said which stack is meant",
            fix=f"name one with --stack (there is: {known}), or say how the store is reached",
        )
    given = _config(files[stack])
    return {
        name.removeprefix(_OURS): str(value).lower() if isinstance(value, bool) else value  # as the engine tells it
        for name, value in given.items()
        if name.startswith(_OURS) and isinstance(value, str | bool)
    }


def _config(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = _read(path).get("config") or {}
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise InfraError(f"{path} cannot be read", fix="check that it is a YAML file of Pulumi") from error
    return document if isinstance(document, dict) else {}
