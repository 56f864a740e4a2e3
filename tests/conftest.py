"""What many tests share: a verifier for each test, and real servers.

Each worker of a parallel run has servers of its own, on ports of its own.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.openbao import OpenBaoServer, initialise, running_copy
from support.project import STACK_NAME, Project, running_project
from support.softhsm import SoftHsmToken, make_token, point_at
from support.tls_server import make_certificates
from support.tools import required_tools
from support.verifier import Totp, World

from keyrung_infra.tools import Tools


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A fresh verifier."""
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture
def totp(world: World) -> Totp:
    """The authenticator app of the person whom tests are about."""
    return world.enrol_totp()


@pytest.fixture(scope="session")
def tools() -> Tools:
    """The programs that set-up found or installed."""
    return required_tools()


@pytest.fixture
def softhsm_token(tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftHsmToken:
    """A fresh token, and this process's SoftHSM pointed at it."""
    token = make_token(tmp_path / "softhsm", tools)
    point_at(token.config, token.module, monkeypatch)
    return token


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificate of a server, and with one of a foreign authority."""
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    make_certificates(folder, "foreign")
    return folder


@pytest.fixture(scope="session")
def openbao_template(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of an initialised server."""
    folder = tmp_path_factory.mktemp("openbao-template") / "server"
    initialise(folder, tools)
    return folder


@pytest.fixture(scope="session")
def openbao(tools: Tools, openbao_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBaoServer]:
    """A server for the whole session, with the mount `keyrung`. Use `key_name` so that tests don't meet."""
    with running_copy(openbao_template, tmp_path_factory.mktemp("openbao") / "server", tools) as server:
        yield server


@pytest.fixture
def own_openbao(tools: Tools, openbao_template: Path, tmp_path: Path) -> Iterator[OpenBaoServer]:
    """A server for one test, to seal, stop or break."""
    with running_copy(openbao_template, tmp_path / "server", tools) as server:
        yield server


@pytest.fixture
def local_stack(tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A copy of the project with its local stack up, and this process's SoftHSM pointed at its token."""
    root = tmp_path / "project"
    with running_project(root, tools) as project:
        point_at(project.stack.layout.softhsm.config, tools.softhsm_module, monkeypatch)
        yield project


@pytest.fixture
def pulumi_project(local_stack: Project) -> Project:
    """The same, with the Pulumi stack `local` selected and nothing deployed yet."""
    local_stack.pulumi("stack", "init", STACK_NAME)
    return local_stack
