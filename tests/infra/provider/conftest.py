"""Deployed stacks: one template for each worker of a parallel run, a copy for each test that changes something."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.deployment import Template, deploy_template, running_deployment
from support.project import Project
from support.softhsm import point_at

from keyrung_infra.provider.backends import Backends
from keyrung_infra.provider.engine import Engine
from keyrung_infra.provider.provider import KeyrungProvider
from keyrung_infra.tools import Tools


@pytest.fixture(scope="session")
def template(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Template:
    """A project that was deployed and stopped; to be read and copied only."""
    return deploy_template(tmp_path_factory.mktemp("template") / "project", tools)


@pytest.fixture
def deployed(template: Template, tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A running copy of the deployed project."""
    with running_deployment(template, tmp_path / "project", tools) as project:
        point_at(project.stack.layout.softhsm.config, tools.softhsm_module, monkeypatch)
        yield project


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[KeyrungProvider]:
    """A provider that was told of no store at all, as it serves checks and diffs."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        engine = Engine(f"127.0.0.1:{listening.getsockname()[1]}")
        yield KeyrungProvider(Backends(tmp_path, reached=lambda _point: None), engine)
