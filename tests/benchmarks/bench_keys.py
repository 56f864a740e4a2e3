"""`make bench`: `pulumi up` of 200 token keys beside its floor. Prints a ratio with its spread; asserts nothing.

The floor: 200 bare `generate_keypair` calls into a token of their own, and the engine's own time for 200 resources
whose provider does nothing. Both are measured anew in each round, so that a busy machine slows both sides.
"""

import statistics
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.deployment import declare_keys
from support.project import STACK_NAME, Project, running_project
from support.raw_keys import generate_raw, raw_session
from support.softhsm import make_token, point_at

from keyrung_infra.tools import Tools

_KEYS = 200
_ROUNDS = 3
_UP = ("up", "--yes", "--skip-preview")
_NOTHING_PROVIDER = f"""\
#!{sys.executable}
import sys
from pulumi.provider.experimental.provider import CheckResponse, ConfigureResponse, CreateResponse, Provider
from pulumi.provider.experimental.server import main

class Nothing(Provider):
    async def configure(self, request):
        return ConfigureResponse(
            accept_secrets=True, supports_preview=True, accept_resources=False, accept_outputs=False
        )

    async def check(self, request):
        return CheckResponse(inputs=request.new_inputs, failures=[])

    async def create(self, request):
        return CreateResponse(resource_id="nothing", properties=request.properties)

    async def delete(self, request):
        pass

main(sys.argv[1:], "0.1.0", Nothing())
"""
_NOTHING_PROJECT = """\
name: nothing
runtime: {name: python, options: {virtualenv: .venv}}
plugins: {providers: [{name: nothing, path: plugin}]}
"""
_NOTHING_PROGRAM = f"""\
import pulumi

for number in range({_KEYS}):
    pulumi.CustomResource("nothing:index:Thing", f"thing-{{number}}", {{"name": f"thing-{{number}}"}})
"""


@pytest.fixture
def project(tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    with running_project(tmp_path / "project", tools) as running:
        running.pulumi("stack", "init", STACK_NAME)
        yield running


def _timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _line(what: str, seconds: Sequence[float]) -> str:
    return f"{what:<44} {statistics.median(seconds):7.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


def test_200_token_keys(project: Project, tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = ("--cwd", str(_nothing_project(tmp_path / "nothing")))
    project.pulumi(*elsewhere, "stack", "init", "nothing")
    token = make_token(tmp_path / "bare", tools)
    point_at(token.config, token.module, monkeypatch)
    ours, bare, engine = [], [], []
    for turn in range(_ROUNDS):
        declare_keys(project, {"pkcs11:token=keyrung": _KEYS}, name=f"turn-{turn}")
        ours.append(_timed(lambda: project.pulumi(*_UP)))
        engine.append(_timed(lambda: project.pulumi(*elsewhere, *_UP)))
        with raw_session(token) as session:
            bare.append(_timed(partial(_generate, session)))
            for entry in session.get_objects():
                entry.destroy()
        project.pulumi("destroy", "--yes", "--skip-preview")
        project.pulumi(*elsewhere, "destroy", "--yes", "--skip-preview")
    ratios = [a / (b + c) for a, b, c in zip(ours, bare, engine, strict=True)]
    print()
    print(_line(f"pulumi up of {_KEYS} token keys", ours))
    print(_line(f"{_KEYS} bare generate_keypair", bare))
    print(_line(f"pulumi up of {_KEYS} resources that do nothing", engine))
    print(f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def _generate(session: Any) -> None:
    for number in range(_KEYS):
        generate_raw(session, f"bare-{number}", {})


def _nothing_project(folder: Path) -> Path:
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text(_NOTHING_PROJECT)
    (folder / "__main__.py").write_text(textwrap.dedent(_NOTHING_PROGRAM))
    (folder / ".venv").symlink_to(sys.prefix, target_is_directory=True)
    plugin = folder / "plugin" / "pulumi-resource-nothing"
    plugin.parent.mkdir()
    plugin.write_text(_NOTHING_PROVIDER)
    plugin.chmod(0o755)
    return folder
