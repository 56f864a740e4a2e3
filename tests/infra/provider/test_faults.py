"""A wrong PIN, a vault that is down, a full disk: one sentence, nothing half done, and the next run works."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.deployment import (
    declare_one_key,
    inventory,
    openbao_of,
    resources,
    set_plugin,
    states,
    token_objects,
    transit_keys,
)
from support.openbao import kill_server
from support.project import REPOSITORY, Project
from support.softhsm import SoftHsmToken

from keyrung_infra.provider.backends import Backends
from keyrung_infra.provider.engine import Engine, EngineGoneError
from keyrung_infra.tools import Tools

# Notes each time that the provider asks for the PIN, which it does for a login and for nothing else.
_COUNTING_PLUGIN = """
from keyrung_infra.project import find_root
from keyrung_infra.provider.server import main
from keyrung_provisioners.backends import pkcs11

resolve = pkcs11.resolve

def noted(text, *, root, secret=False):
    if secret:
        with (find_root() / "logins").open("a") as file:
            file.write("x")
    return resolve(text, root=root, secret=secret)

pkcs11.resolve = noted
main()
"""


def _fails(project: Project, *expected: str, command: str = "up") -> None:
    """Check that the run fails with one sentence, no traceback, and makes nothing."""
    done = project.pulumi(command, "--yes", "--skip-preview", check=False)
    written = done.stdout + done.stderr
    assert done.returncode != 0
    for text in expected:
        assert text in written
    assert "Traceback" not in written
    assert "unexpectedly" not in written


def test_a_wrong_pin_is_tried_once_and_the_right_one_works_afterwards(deployed: Project) -> None:
    set_plugin(deployed, _COUNTING_PLUGIN)
    pin, logins = deployed.stack.layout.softhsm.pin, deployed.root / "logins"
    right = pin.read_text()
    pin.write_text("0123456789abcdef\n")
    before = resources(deployed)
    _fails(
        deployed, "the token 'keyrung' refused the PIN: correct the file that pkcs11Pin refers to", command="refresh"
    )
    assert logins.read_text() == "x"
    assert resources(deployed) == before
    pin.write_text(right)
    deployed.pulumi("refresh", "--yes", "--skip-preview")
    assert resources(deployed) == before
    assert token_objects(deployed) == ["private assertion-signing-local", "public assertion-signing-local"]


def test_operations_that_run_at_once_share_one_back_end_and_so_one_login(
    softhsm_token: SoftHsmToken, tmp_path: Path
) -> None:
    backends = Backends(tmp_path, reached=lambda _point: None)
    backends.configure(softhsm_token.settings())
    together = threading.Barrier(8)

    def ask(_number: int) -> int:
        together.wait()
        return id(backends.manager("pkcs11"))

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(ask, range(8)))) == 1


def test_a_vault_that_is_down_sealed_or_locked_to_us_names_the_fix_and_then_works(pulumi_project: Project) -> None:
    project = pulumi_project
    declare_one_key(project, "transit:mount=keyrung")
    layout = project.stack.layout.openbao
    kill_server(layout)
    _fails(project, f"the vault at {openbao_of(project).address}", "keyrung dev up")

    project.stack.up()
    with openbao_of(project).root() as root:
        root.call("POST", "auth/token/create-orphan", {"policies": ["root"], "id": "for-this-test"})
    openbao_of(project).client("deployer").with_token("for-this-test").call("POST", "sys/seal")
    _fails(project, "is sealed", "keyrung dev up")

    project.stack.up()
    token = layout.token("deployer")
    kept = token.read_text()
    token.unlink()
    _fails(project, "file:.keyrung/openbao/tokens/deployer cannot be read", "keyrung dev up")
    token.write_text("s.no-such-token\n")
    _fails(project, "the token is invalid or lacks the permission", "keyrung dev up")
    assert "s.no-such-token" not in project.pulumi("preview").stdout
    token.write_text(kept)

    assert inventory(project).rows() == []
    assert transit_keys(project) == []
    project.pulumi("up", "--yes", "--skip-preview")
    assert list(states(project).values()) == ["active"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of its own that can be filled."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only a root that may mount file systems can make a small one")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def _fill(folder: Path) -> Path:
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 1024)
        except OSError:
            return ballast


def test_an_inventory_on_a_full_disk_claims_nothing_and_makes_nothing(
    pulumi_project: Project, small_disk: Path
) -> None:
    project = pulumi_project
    declare_one_key(project, "pkcs11:token=keyrung")
    project.pulumi("config", "set", "keyrung:inventory", str(small_disk / "inventory.db"))
    ballast = _fill(small_disk)
    _fails(project, "the key inventory", "cannot be used", "check free space and permissions.")
    assert token_objects(project) == []
    ballast.unlink()
    project.pulumi("up", "--yes", "--skip-preview")
    assert resources(project)["key"]["outputs"]["state"] == "active"
    assert token_objects(project) == ["private assertion-signing-one", "public assertion-signing-one"]


def test_the_schema_is_served_to_people_with_the_plugin_alone(deployed: Project) -> None:
    plugin = "./infra/plugin/pulumi-resource-keyrung"
    schema = deployed.pulumi_json("package", "get-schema", plugin)
    assert sorted(schema["resources"]) == [
        f"keyrung:index:{name}"
        for name in ("Custodian", "Escrow", "Key", "KeyVault", "PolicySet", "StepUp", "VerifierConfig")
    ]
    written = deployed.root / "schema.json"
    written.write_text(json.dumps(schema))
    deployed.pulumi("schema", "check", str(written))  # as before an SDK is generated from it


def test_the_plugin_outside_a_project_says_so_in_a_sentence(tools: Tools, tmp_path: Path) -> None:
    command = [str(tools.pulumi), "package", "get-schema", str(REPOSITORY / "infra/plugin/pulumi-resource-keyrung")]
    home = {"PULUMI_HOME": str(tmp_path / "home"), "PULUMI_SKIP_UPDATE_CHECK": "true"}
    refused = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **home}, capture_output=True, text=True, timeout=60
    )
    assert refused.returncode != 0
    assert f"no Pulumi.yaml in {tmp_path} or above: go to the project's folder" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("address", ["", "nowhere", "127.0.0.1:1", "127.0.0.1:99999999"])
def test_a_provider_whose_engine_is_already_gone_does_not_start(address: str) -> None:
    with pytest.raises(EngineGoneError, match="pulumi cancel"):
        Engine(address)
