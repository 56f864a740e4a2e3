"""Building the Pulumi CLI from Go modules, whose hashes are in `pulumi/go.sum`.

Go's own caches for the build lie in our cache folder while it runs and are removed after it succeeded, so that a
build leaves one program behind and not gigabytes; after a failure they stay and spare the next attempt the download.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import go, pulumi_cache
from .context import Context
from .errors import UnreachableError
from .files import new_folder
from .network import require_reachable
from .processes import run
from .versions import PULUMI_VERSION, go_floor

PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
SDK_MODULE = "github.com/pulumi/pulumi/sdk/v3"
VERSION_FLAG = f"-X {SDK_MODULE}/go/common/version.Version=v{PULUMI_VERSION}"

SCRIPTS = ("python/cmd/pulumi-language-python-exec", "python/dist/pulumi-resource-pulumi-python")
"""The two files of the SDK that a Python language host starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """A Go tool chain and the environment to call it in."""

    go: Path
    env: Mapping[str, str]
    module: Path

    def run(self, *arguments: str | Path) -> str:
        """Run the go command in the folder of our module."""
        return run([self.go, *arguments], env=self.env, cwd=self.module)


def install(context: Context, target: Path) -> None:
    """Build the CLI and put it at `target`, with the scripts that our language host needs.

    Raises:
        SetupError: There is no Go and none can be had, the modules can't be reached, or the build failed.
    """
    module = context.places.toolchain / "pulumi"
    with go.provide(context, go_floor(module / "go.mod")) as program, _caches(context) as caches:
        workshop = Workshop(go=program, env=_environment(context, caches), module=module)
        _require_modules(workshop)
        label = f"Building the Pulumi CLI {PULUMI_VERSION} from Go modules (only once, about 5 minutes on two cores)"
        with context.progress.step(label), new_folder(target) as folder:
            binary = folder / "bin" / "pulumi"
            workshop.run("build", "-trimpath", "-ldflags", f"-s -w {VERSION_FLAG}", "-o", binary, PACKAGE)
            source = Path(workshop.run("list", "-m", "-f", "{{.Dir}}", SDK_MODULE).strip())
            for script in SCRIPTS:
                copy = shutil.copy(source / script, binary.parent)
                Path(copy).chmod(0o755)
            pulumi_cache.save(folder, origin="a build from Go modules", needs_language_host=True)


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


def _require_modules(workshop: Workshop) -> None:
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
    require_reachable(f"{proxies[0].rstrip('/')}/{SDK_MODULE}/@v/v{PULUMI_VERSION}.info")
