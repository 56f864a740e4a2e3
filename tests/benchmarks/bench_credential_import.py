"""`make bench`: importing 10,000 TOTP credentials beside the bare Transit calls that seal their seeds.

The floor is what the vault takes to seal 10,000 seeds in batches of the same size, by plain hvac calls in the same run.
The import adds a new process, the check of the whole file, the file of secrets, and a durable, hash-chained record for
each row. Prints ratios; asserts nothing.
"""

import base64
import secrets
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import hvac
import pytest
import requests
from support.deployment import deploy_template, running_deployment
from support.project import Project

from keyrung_infra.serve.settings import DEFAULT_CONFIG, Settings, read_settings
from keyrung_infra.tools import Tools
from keyrung_provisioners.sources import resolve
from keyrung_provisioners.uri import KeyUri

_ROWS = 10_000
_BATCH = 200
_SINGLE = 500
_ROUNDS = 3


@pytest.fixture(scope="module")
def deployed(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("bench")
    template = deploy_template(folder / "template", tools)
    with running_deployment(template, folder / "project", tools) as project:
        yield project


def _client(settings: Settings, root: Path) -> Any:
    session = requests.Session()
    session.trust_env = False
    session.verify = str(root / settings.backends["transitCaFile"])
    return hvac.Client(
        url=resolve(settings.backends["transitAddress"], root=root),
        token=resolve(settings.backends["transitToken"], root=root, secret=True),
        session=session,
    )


def _timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _item() -> dict[str, str]:
    return {
        "plaintext": base64.b64encode(secrets.token_bytes(20)).decode(),
        "associated_data": base64.b64encode(secrets.token_bytes(60)).decode(),
    }


def test_importing_ten_thousand_credentials(deployed: Project) -> None:
    settings = read_settings(deployed.root / DEFAULT_CONFIG)
    uri, client = KeyUri.parse(settings.seed_keys[0].uri), _client(settings, deployed.root)
    seal = client.secrets.transit.encrypt_data

    def batched() -> None:
        for _ in range(_ROWS // _BATCH):
            seal(name=uri.name, mount_point=uri.vault, batch_input=[_item() for _ in range(_BATCH)])

    def single() -> None:
        for _ in range(_SINGLE):
            seal(name=uri.name, mount_point=uri.vault, **_item())

    def imported(number: int) -> None:
        file = deployed.root / f"people-{number}.csv"
        file.write_text("subject,kind\n" + "".join(f"person-{number}-{row},totp\n" for row in range(_ROWS)))
        deployed.keyrung("credential", "import", str(file), "--out", str(file.with_suffix(".jsonl")))

    floor, one_by_one, whole = [], [], []
    for number in range(_ROUNDS):
        floor.append(_timed(batched))
        one_by_one.append(_timed(single) * _ROWS / _SINGLE)
        whole.append(_timed(partial(imported, number)))
    for name, figures in (("batched seals", floor), ("single seals", one_by_one), ("import", whole)):
        print(f"{name:14} {statistics.median(figures):6.2f} s  ({min(figures):.2f} to {max(figures):.2f})")
    ratios = [after / before for after, before in zip(whole, floor, strict=True)]
    print(f"import / batched seals: {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})")
    listing = [_timed(lambda: deployed.keyrung("credential", "list")) for _ in range(_ROUNDS)]
    print(f"list of {_ROUNDS * _ROWS}: {statistics.median(listing):.2f} s, {_listed(deployed)} lines")


def _listed(project: Project) -> int:
    done: subprocess.CompletedProcess[str] = project.keyrung("credential", "list")
    return len(done.stdout.splitlines())
