"""Installing the official distribution of the Pulumi CLI through the SDK's own installer."""

from __future__ import annotations

from pathlib import Path

from . import pulumi_cache
from .context import Context
from .files import new_folder
from .network import require_reachable
from .processes import run
from .versions import PULUMI_VERSION

INSTALLER_URL = "https://get.pulumi.com/install.sh"
INSTALL_TIMEOUT_SECONDS = 900
"""About 150 MB; a line that needs longer than a quarter of an hour is better off with the build."""

PROGRAM = """
import sys
from pulumi.automation import PulumiCommand
from semver import VersionInfo
PulumiCommand.install(root=sys.argv[1], version=VersionInfo.parse(sys.argv[2]))
"""


def install(context: Context, target: Path) -> None:
    """Install the official CLI and its language hosts at `target`.

    Raises:
        SetupError: The installer can't be reached, or it failed.
    """
    require_reachable(INSTALLER_URL)
    with context.progress.step(f"Installing the Pulumi CLI {PULUMI_VERSION}"), new_folder(target) as folder:
        run(
            [context.places.python, "-c", PROGRAM, folder, PULUMI_VERSION],
            env=context.env,
            timeout_seconds=INSTALL_TIMEOUT_SECONDS,
        )
        pulumi_cache.save(folder, origin="the official installer", needs_language_host=False)
