"""A deployed stack, made once and copied for each test that changes it; and looks at its parts from outside."""

import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import softhsm
from support.openbao import OpenBaoServer, kill_server
from support.project import STACK_NAME, Project, copy_program

from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_infra.local.client import RefusedError
from keyrung_infra.local.layout import TOKEN_LABEL
from keyrung_infra.local.stack import Stack, stop_stack
from keyrung_infra.tools import Tools


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A stopped project that was deployed once.

    Attributes:
        output: Everything the first `pulumi up` wrote, the engine's log at its highest level included.
    """

    root: Path
    output: str


def deploy_template(root: Path, tools: Tools) -> Template:
    """Deploy a new project under ``root`` and stop its local stack."""
    copy_program(root)
    stack = Stack(root, tools=tools)
    try:
        stack.up()
        project = Project(root=stack.layout.root, stack=stack)
        project.pulumi("stack", "init", STACK_NAME)
        done = project.pulumi("up", "--yes", "--logtostderr", "-v=9")
    finally:
        stop_stack(root)
    # Each copy chooses ports of its own.
    stack.layout.openbao.address.unlink()
    stack.layout.verifier_address.unlink()
    return Template(root=root, output=done.stdout + done.stderr)


@contextmanager
def running_deployment(template: Template, root: Path, tools: Tools) -> Iterator[Project]:
    """Run a copy of ``template`` under ``root``; kill its server at the end, since nobody needs its data any more."""
    shutil.copytree(template.root, root, symlinks=True)
    stack = Stack(root, tools=tools)
    try:
        stack.up()
        project = Project(root=stack.layout.root, stack=stack)
        project.pulumi("stack", "select", STACK_NAME)
        yield project
    finally:
        kill_server(stack.layout.openbao)


def resources(project: Project) -> dict[str, dict[str, Any]]:
    """Return what the state holds of our resources, by name, without times and the engine's own notes."""
    deployment = project.pulumi_json("stack", "export")["deployment"]
    ours = (item for item in deployment.get("resources", []) if item["type"].startswith("keyrung:"))
    return {item["urn"].rpartition("::")[2]: _lasting(item) for item in ours}


def _lasting(item: dict[str, Any]) -> dict[str, Any]:
    return {name: item.get(name) for name in ("id", "inputs", "outputs", "protect")}


def inventory(project: Project) -> SqliteInventory:
    """Return the project's inventory."""
    return SqliteInventory(project.state / "inventory.db")


def states(project: Project) -> dict[str, str]:
    """Return the state of every recorded key by its URI and generation."""
    rows = inventory(project).rows()
    return {f"{row.claim.uri}@{row.claim.generation}": row.state.value for row in rows}


def pkcs11_tool(project: Project, *arguments: str) -> str:
    """Run OpenSC's tool, logged in to the project's token."""
    return softhsm.pkcs11_tool(project.stack.layout.softhsm, TOKEN_LABEL, *arguments)


def token_objects(project: Project) -> list[str]:
    """Return class and label of every key object in the token, as OpenSC's tool sees them."""
    found, kind = [], ""
    for line in pkcs11_tool(project, "--list-objects").splitlines():
        if line and not line.startswith(" "):
            kind = line.partition(" ")[0].lower()
        elif line.strip().startswith("label:"):
            found.append(f"{kind} {line.partition(':')[2].strip()}")
    return sorted(found)


def openbao_of(project: Project) -> OpenBaoServer:
    """Return the project's OpenBao server."""
    return OpenBaoServer(layout=project.stack.layout.openbao, openbao=project.stack.openbao)


def transit_keys(project: Project) -> list[str]:
    """Return the names of the keys in the Transit mount; none if there is no such mount."""
    try:
        answer = openbao_of(project).client("deployer").call("LIST", "keyrung/keys")
    except RefusedError:
        return []
    return sorted(answer["data"]["keys"])


_ONE_KEY_PROGRAM = """
from keyrung_infra.resources import Key, KeyVault
from keyrung_provisioners.api import Purpose

vault = KeyVault("vault", uri="{vault}")
Key("key", vault=vault.uri, key_name="{name}", purpose=Purpose("{purpose}"), generation={generation},
    deletion_protection={protected})
"""


def declare_one_key(
    project: Project, vault: str, *, name: str = "one", generation: int = 1, protected: bool = False
) -> None:
    """Replace the project's program by one that declares a vault and a single key."""
    purpose = "assertion-signing" if vault.startswith("pkcs11:") else "audit-signing"
    text = _ONE_KEY_PROGRAM.format(
        vault=vault, name=f"{purpose}-{name}", purpose=purpose, generation=generation, protected=protected
    )
    (project.root / "infra" / "__main__.py").write_text(text)


_KEYS_PROGRAM = """
from keyrung_infra.resources import Key, KeyVault
from keyrung_provisioners.api import Purpose

for vault, count in {vaults}.items():
    place = KeyVault(vault, uri=vault)
    purpose = Purpose.ASSERTION_SIGNING if vault.startswith("pkcs11:") else Purpose.AUDIT_SIGNING
    for number in range(count):
        name = f"{name}-{{number}}"
        Key(f"{{vault}}-{{name}}", vault=place.uri, key_name=name, purpose=purpose, deletion_protection=False)
"""


def declare_keys(project: Project, vaults: Mapping[str, int], *, name: str = "many") -> None:
    """Replace the project's program by one that declares that many unprotected keys in each vault."""
    (project.root / "infra" / "__main__.py").write_text(_KEYS_PROGRAM.format(vaults=dict(vaults), name=name))


# Ends itself at each point of `die-at`, once, as a crash would: nothing is cleaned up.
MORTAL_PLUGIN = """
import os, signal
from keyrung_infra.project import find_root
from keyrung_infra.provider.server import main

def reached(point):
    order = (find_root() / "die-at")
    if order.exists() and order.read_text() == point:
        order.unlink()
        os.kill(os.getpid(), signal.SIGKILL)

main(reached)
"""


def set_plugin(project: Project, text: str) -> None:
    """Replace the provider's executable by the Python program ``text``."""
    plugin = project.root / "infra" / "plugin" / "pulumi-resource-keyrung"
    plugin.write_text(f"#!{sys.executable}\n{text}")
    plugin.chmod(0o755)
