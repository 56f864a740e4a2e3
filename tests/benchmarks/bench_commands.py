"""`make bench`: the commands people wait for, beside their floors. Prints ratios; asserts nothing."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from support.deployment import Template, deploy_template, running_deployment
from support.project import Project

from keyrung_infra.tools import Tools

_EMPTY_PROJECT = "{name: empty, runtime: {name: python, options: {virtualenv: .venv}}}\n"


@pytest.fixture(scope="module")
def deployed(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("bench")
    template: Template = deploy_template(folder / "template", tools)
    with running_deployment(template, folder / "project", tools) as project:
        yield project


def _timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _report(what: str, ours: Sequence[float], floor: Sequence[float]) -> None:
    ratios = sorted(a / b for a, b in zip(ours, floor, strict=True))
    tenth = max(1, len(ratios) // 10)
    print(
        f"\n{what:<48} {statistics.median(ours) * 1000:8.2f} ms  floor {statistics.median(floor) * 1000:8.2f} ms"
        f"  ratio {statistics.median(ratios):5.2f} ({ratios[tenth - 1]:.2f} to {ratios[-tenth]:.2f})"
    )


def test_the_commands_people_wait_for(deployed: Project) -> None:
    keyrung = str(Path(sys.prefix, "bin", "keyrung"))
    helps = [_timed(lambda: subprocess.run([keyrung, "--help"], capture_output=True, check=True)) for _ in range(7)]
    bare = [_timed(lambda: subprocess.run([sys.executable, "-c", ""], check=True)) for _ in range(7)]
    _report("keyrung --help, beside an empty Python", helps, bare)


def test_a_second_pulumi_up(deployed: Project, tmp_path: Path) -> None:
    """What is not ours of it: the engine and the language host, measured with a program that declares nothing."""
    (tmp_path / "Pulumi.yaml").write_text(_EMPTY_PROJECT)
    (tmp_path / "__main__.py").write_text("import pulumi\n")
    (tmp_path / ".venv").symlink_to(sys.prefix, target_is_directory=True)
    elsewhere, up = ("--cwd", str(tmp_path)), ("up", "--yes", "--skip-preview")
    deployed.pulumi(*elsewhere, "stack", "init", "empty")
    deployed.pulumi(*elsewhere, *up)
    rounds = [
        (_timed(lambda: deployed.pulumi(*up)), _timed(lambda: deployed.pulumi(*elsewhere, *up))) for _ in range(5)
    ]
    _report("pulumi up without changes, beside an empty one", [a for a, _ in rounds], [b for _, b in rounds])
