"""Building the Pulumi CLI from Go modules, whose hashes are in `pulumi/go.sum`."""

from __future__ import annotations

import shutil
from pathlib import Path

from . import go_modules, pulumi_cache
from .context import Context
from .files import new_folder
from .versions import PULUMI_VERSION

PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
SDK_MODULE = "github.com/pulumi/pulumi/sdk/v3"
VERSION_FLAG = f"-X {SDK_MODULE}/go/common/version.Version=v{PULUMI_VERSION}"

SCRIPTS = ("python/cmd/pulumi-language-python-exec", "python/dist/pulumi-resource-pulumi-python")
"""The two files of the SDK that a Python language host starts."""


def install(context: Context, target: Path) -> None:
    """Build the CLI and put it at `target`, with the scripts that our language host needs.

    Raises:
        SetupError: There is no Go and none can be had, the modules can't be reached, or the build failed.
    """
    module = context.places.toolchain / "pulumi"
    with go_modules.workshop(context, module, probe=f"{SDK_MODULE}/@v/v{PULUMI_VERSION}.info") as workshop:
        label = f"Building the Pulumi CLI {PULUMI_VERSION} from Go modules (only once, about 5 minutes on two cores)"
        with context.progress.step(label), new_folder(target) as folder:
            binary = folder / "bin" / "pulumi"
            workshop.run("build", "-trimpath", "-ldflags", f"-s -w {VERSION_FLAG}", "-o", binary, PACKAGE)
            source = Path(workshop.run("list", "-m", "-f", "{{.Dir}}", SDK_MODULE).strip())
            for script in SCRIPTS:
                copy = shutil.copy(source / script, binary.parent)
                Path(copy).chmod(0o755)
            pulumi_cache.save(folder, origin="a build from Go modules", needs_language_host=True)
