"""`make bench`: a whole step-up beside its floor, and the commands people wait for. Prints ratios; asserts nothing.

The floor of one step-up: three requests that do nothing, three durable writes, one signature by the PKCS#11 key and one
verification, each measured bare in the same run. A step-up does more than that: it makes a fourth request, since the
person looks at the challenge, a fourth write, since the answer and the assertion are recorded one after the other, and
a second signature, which is the person's. Rounds alternate, so that a busy machine slows both sides.
"""

import base64
import secrets
import sqlite3
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from support.deployment import Template, deploy_template, running_deployment
from support.project import Project

from keyrung_infra.demo.programs import Programs
from keyrung_infra.step_up_client import StepUpClient
from keyrung_infra.tools import Tools
from keyrung_infra.user_token import open_user_token
from keyrung_provisioners.registry import open_manager
from keyrung_provisioners.uri import KeyUri

_ROUNDS = 40
_EMPTY_PROJECT = "{name: empty, runtime: {name: python, options: {virtualenv: .venv}}}\n"
_QUESTION = {
    "subject": {"type": "user", "id": "dora", "properties": {"kind": "person"}},
    "action": {"name": "payments.transfer"},
    "resource": {
        "type": "route",
        "id": "/transfers",
        "properties": {"amount_minor": 500_000, "currency": "EUR", "payee": "Bob"},
    },
    "context": {"session": {"id": "doras-session"}},
}


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


def test_a_whole_step_up(deployed: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    softhsm = deployed.stack.layout.softhsm
    monkeypatch.setenv("SOFTHSM2_CONF", str(softhsm.config))
    settings = {"pkcs11Module": f"file:{softhsm.module}", "pkcs11Pin": f"file:{softhsm.pin}"}
    deployed.keyrung(
        *("credential", "add", "token", "dora", "--token", "keyrung"),
        *("--module", settings["pkcs11Module"], "--pin", settings["pkcs11Pin"], "--allow-software"),
    )
    token = open_user_token("keyrung", settings, root=deployed.root)
    programs = Programs(root=deployed.root, environment=deployed.environment())
    secret = (deployed.state / "clients" / "sample-api").read_text().strip()
    context = ssl.create_default_context(cafile=str(deployed.stack.layout.openbao.ca))
    url = (deployed.state / "verifier" / "address").read_text().strip()
    with (
        _floor(tmp_path, settings, deployed.root) as floor,
        closing(StepUpClient(deployed.stack.layout.openbao.ca)) as client,
        programs.server("keyrung_infra.cli", "serve", ready_on="stderr"),
        httpx.Client(base_url=url, auth=("sample-api", secret), verify=context) as http,
    ):

        def step_up() -> None:
            http.post("/access/v1/evaluation", json=_QUESTION).raise_for_status()
            body = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
            asked = {"method": "POST", "uri": "https://bank.test/transfers", "body_sha256": body}
            made = http.post("/stepup/v1/challenges", json={**_QUESTION, "request": asked})
            client.answer_token(made.raise_for_status().json()["stepup_uri"], token)

        def bare() -> None:
            for _ in range(3):
                http.get("/nothing-here")
            floor()

        step_up()
        bare()
        rounds = [(_timed(step_up), _timed(bare)) for _ in range(_ROUNDS)]
    _report("a step-up with a token, over HTTPS", [a for a, _ in rounds], [b for _, b in rounds])


@contextmanager
def _floor(folder: Path, settings: dict[str, str], root: Path) -> Iterator[Callable[[], None]]:
    """Yield three durable writes, one signature by the PKCS#11 key and one verification, without the requests."""
    manager = open_manager("pkcs11", settings, root=root)
    uri = KeyUri("pkcs11", "keyrung", "assertion-signing-local")
    store = sqlite3.connect(folder / "floor.db", isolation_level=None)
    store.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (x BLOB)")
    checker = ec.generate_private_key(ec.SECP256R1())
    signature = checker.sign(b"data", ec.ECDSA(hashes.SHA256()))

    def run() -> None:
        for _ in range(3):
            store.execute("INSERT INTO t VALUES (?)", (secrets.token_bytes(256),))
        manager.sign(uri, b"data")  # type: ignore[attr-defined] # the pkcs11 back end signs
        checker.public_key().verify(signature, b"data", ec.ECDSA(hashes.SHA256()))

    with closing(store):
        yield run


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
