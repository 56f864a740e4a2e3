"""Building a program from Go modules, whose hashes are in the `go.sum` of one of our own modules.

Go's own caches for the build lie in our cache folder while it runs and are removed after it succeeded, so that a
build leaves one program behind and not gigabytes; after a failure they stay and spare the next attempt the download.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import go
from .context import Context
from .errors import UnreachableError
from .network import require_reachable
from .processes import run
from .versions import go_floor


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """A Go tool chain and the environment to call it in."""

    go: Path
    env: Mapping[str, str]
    module: Path

    def run(self, *arguments: str | Path) -> str:
        """Run the go command in the folder of our module."""
        return run([self.go, *arguments], env=self.env, cwd=self.module)


@contextmanager
def workshop(context: Context, module: Path, *, probe: str) -> Iterator[Workshop]:
    """Yield what builds the programs that `module` names; `probe` is a path that its module proxy must have.

    Raises:
        SetupError: There is no Go and none can be had, or the modules can't be reached.
    """
    with go.provide(context, go_floor(module / "go.mod")) as program, _caches(context) as caches:
        found = Workshop(go=program, env=_environment(context, caches), module=module)
        _require_modules(found, probe)
        yield found


def _environment(context: Context, caches: Mapping[str, str]) -> dict[str, str]:
    return {
        **context.env,
        **caches,
        "CGO_ENABLED": "0",  # no C compiler needed, and the program runs with any C library
        "GOFLAGS": "-modcacherw -buildvcs=false",  # the module cache stays removable
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }


@contextmanager
def _caches(context: Context) -> Iterator[dict[str, str]]:
    """Yield the settings for Go's caches; the caller's own are used where they are named, and left alone."""
    folder = context.places.cache / "go-build"
    wanted = {"GOMODCACHE": folder / "modules", "GOCACHE": folder / "objects"}
    yield {name: context.env.get(name) or str(path) for name, path in wanted.items()}
    shutil.rmtree(folder, ignore_errors=True)


def _require_modules(workshop: Workshop, probe: str) -> None:
    """Check that the first module proxy with an address answers.

    Raises:
        UnreachableError: It does not.
    """
    setting = workshop.run("env", "GOPROXY").strip()
    proxies = [proxy for proxy in setting.replace("|", ",").split(",") if "://" in proxy]
    if "direct" in setting.split(",") and not proxies:
        return
    if not proxies:
        raise UnreachableError(f"Go may not fetch modules (GOPROXY is {setting}).")
    if not proxies[0].startswith("http"):
        return
    require_reachable(f"{proxies[0].rstrip('/')}/{probe}")
