"""The README's commands, run as they stand."""

import re
import shutil
from pathlib import Path

import pytest
from support.project import REPOSITORY, Project

_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _blocks_by_hand() -> list[str]:
    section = (REPOSITORY / "README.md").read_text().partition("## The same by hand")[2].partition("\n## ")[0]
    return _BLOCK.findall(section)


def test_the_steps_by_hand_work_as_written(local_stack: Project) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed; install curl")
    blocks = _blocks_by_hand()
    assert len(blocks) == 2
    # Set-up itself runs before any test does; the fixture stops the stack in the end.
    script = "set -euo pipefail\n" + "\n".join(blocks).replace("make setup\n", "")
    done = local_stack.run("bash", "-c", script)
    assert '"outcome":"step_up"' in done.stdout
    assert "9 unchanged" in done.stdout
    assert "Audit log: whole" in done.stdout
    assert "otpauth://totp/" in done.stdout


def test_every_folder_and_page_that_the_readme_names_exists() -> None:
    text = (REPOSITORY / "README.md").read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (REPOSITORY / target).exists(), target
    for folder in re.findall(r"^\| `([a-z.]+/)` \|", text, re.MULTILINE):
        assert Path(REPOSITORY / folder).is_dir(), folder
