"""Deployed stacks: one template for each worker of a parallel run, a copy for each test that changes something."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.deployment import Template, deploy_template, running_deployment
from support.project import Project
from support.softhsm import point_at

from keyrung_infra.tools import Tools


@pytest.fixture(scope="session")
def template(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Template:
    """A project that was deployed and stopped; to be read and copied only."""
    return deploy_template(tmp_path_factory.mktemp("template") / "project", tools)


@pytest.fixture
def deployed(template: Template, tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A running copy of the deployed project, and this process's SoftHSM pointed at its token."""
    with running_deployment(template, tmp_path / "project", tools) as project:
        point_at(project.stack.layout.softhsm.config, tools.softhsm_module, monkeypatch)
        yield project
