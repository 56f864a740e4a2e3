"""Where the project is: the folder that holds Pulumi.yaml, and the local state folder inside it."""

from pathlib import Path

from keyrung_infra.errors import InfraError

STATE_FOLDER = ".keyrung"


def find_root(start: Path | None = None) -> Path:
    """Return the nearest folder at or above ``start`` (the current folder) that holds Pulumi.yaml."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "Pulumi.yaml").is_file():
            return folder
    raise InfraError(f"no Pulumi.yaml in {here} or above", fix="go to the project's folder")
