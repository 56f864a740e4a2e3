"""Where a version of a policy comes from: a file, a folder, or a git revision."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from keyrung_infra.cli.policy_common import CATALOG, policy_path
from keyrung_infra.errors import InfraError
from keyrung_infra.project import find_root
from keyrung_policies.compile import Compiled, compile_path, compile_texts

# Reading a revision takes milliseconds; a repository that fetches what it lacks over a network gets this long.
_GIT_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version of a policy and the name it was given by."""

    name: str
    compiled: Compiled


def read_version(source: str | None) -> Version:
    """Return the policy at a path or in a git revision; None means the project's catalogue as it is on disk.

    A revision is written as for git: `main`, `HEAD~1`, or with a path as in `main:policies/catalog`.

    Raises:
        PolicyErrors: With every mistake of every file.
        InfraError: It is neither a path nor a revision, or both: a file named `main` must not stand in for the branch.
    """
    if source is None or Path(source).exists():
        if source is not None and _is_revision(source):
            raise InfraError(
                f"{source} is both a path and a git revision",
                fix=f"write ./{source} for the path, or for the revision a name that no file has, as {source}~0",
            )
        path = policy_path(None if source is None else Path(source))
        return Version(name=str(path), compiled=compile_path(path))
    revision, colon, inside = source.partition(":")
    top = Path(os.fsdecode(_git(Path.cwd(), "rev-parse", "--show-toplevel", source=source)).removesuffix("\n"))
    folder = inside if colon else _catalog_within(top)
    commit = _commit(top, revision, source)
    return Version(name=f"{revision}:{folder}", compiled=compile_texts(_texts(top, commit, folder, source)))


def _is_revision(source: str) -> bool:
    """Return whether git knows what exists as a path by this name, too; a change could bring such a path with it."""
    try:
        _commit(Path.cwd(), source.partition(":")[0], source)
    except InfraError:
        return False
    return True


def _commit(folder: Path, revision: str, source: str) -> str:
    wanted = f"{revision}^{{commit}}"
    return _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", wanted, source=source).decode().strip()


def _catalog_within(top: Path) -> str:
    catalog = (find_root() / CATALOG).resolve()
    if not catalog.is_relative_to(top.resolve()):
        raise InfraError(f"{catalog} is not in the git repository {top}", fix="name the folder, as REV:PATH")
    return catalog.relative_to(top.resolve()).as_posix()


def _texts(top: Path, commit: str, inside: str, source: str) -> dict[str, bytes]:
    # A path that ends in a slash lists what is in the folder, otherwise git answers with the folder itself.
    within = inside if inside.endswith(".yaml") else f"{inside.rstrip('/')}/"
    listed = os.fsdecode(_git(top, "ls-tree", "-z", "--name-only", commit, "--", within, source=source))
    names = [name for name in listed.split("\0") if name.endswith((".yaml", ".yml"))]
    if not names:
        raise InfraError(f"there is no policy file at {source}", fix="give a path that holds *.yaml files as REV:PATH")
    return {name: _git(top, "cat-file", "blob", f"{commit}:{name}", source=source) for name in names}


def _git(folder: Path, *arguments: str, source: str) -> bytes:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, timeout=_GIT_SECONDS, check=False)
    except FileNotFoundError as error:
        raise InfraError(f"{source} is no path, and git is not installed", fix="install git, or give a path") from error
    except subprocess.TimeoutExpired as error:
        raise InfraError(f"git did not answer about {source}", fix="run `git fetch` and try again") from error
    if done.returncode != 0:
        raise InfraError(f"{source} is neither a path nor a git revision here", fix="give a file, a folder or REV:PATH")
    return done.stdout
