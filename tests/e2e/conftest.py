"""A project in which `keyrung demo` ran: what a newcomer has after the first command, looked at from outside."""

from collections.abc import Iterator

import pytest
from support.aws_stack import DeployedStack, deployed_stack
from support.project import Project, running_project
from support.serving import serving

from keyrung_infra.tools import Tools

TOLD = "told.txt"


@pytest.fixture(scope="session")
def demo(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The project; what the demo printed stands in `told.txt`."""
    with running_project(tmp_path_factory.mktemp("demo") / "project", tools) as project:
        told = project.keyrung("demo")
        (project.root / TOLD).write_text(told.stdout + told.stderr)
        yield project


@pytest.fixture
def verifier(demo: Project) -> Iterator[Project]:
    """The same, with its verifier running."""
    with serving(demo):
        yield demo


@pytest.fixture(scope="session")
def aws_stack(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeployedStack]:
    """The stack `aws`, deployed."""
    with deployed_stack(tmp_path_factory.mktemp("aws") / "project", tools) as stack:
        yield stack
