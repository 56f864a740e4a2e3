"""The files of this machine that hold secrets, or say how the verifier works: readable by their owner only."""

import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from keyrung_infra.doctor.deployment import Deployment
from keyrung_infra.doctor.model import Finding
from keyrung_infra.project import STATE_FOLDER

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def private(deployment: Deployment) -> Iterator[Finding]:
    """Yield the state's folder if others can enter it, and each file that a reference names if others can read it."""
    folder = deployment.root / STATE_FOLDER
    named = {deployment.root / path for path in _files([deployment.settings, deployment.parsed()])}
    for path in sorted({*([folder] if folder.is_dir() else ()), *named}):
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            yield Finding(text=f"{path} is missing", fix="put it back, or mend the setting that names it")
            continue
        if not stat.S_ISLNK(mode) and mode & _OTHERS:
            yield Finding(text=f"others can reach {path} ({stat.filemode(mode)})", fix=f"chmod go-rwx '{path}'")


def _files(value: Any) -> Iterator[str]:
    """Yield the paths in references of the form ``file:PATH``, wherever they stand."""
    if isinstance(value, str) and value.startswith("file:"):
        yield value.removeprefix("file:")
    elif isinstance(value, Mapping):
        yield from _files(list(value.values()))
    elif isinstance(value, Iterable) and not isinstance(value, str):
        for each in value:
            yield from _files(each)


def in_place(deployment: Deployment) -> Iterator[Finding]:
    """Yield a configuration on this machine that is not the deployed one."""
    path = deployment.document_path
    if path is not None and (not path.is_file() or path.read_text("utf-8") != deployment.document):
        yield Finding(text=f"{path} is not as it was deployed", fix="`pulumi refresh` and `pulumi up` write it again")
