from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from keyrung_toolchain import lambda_emulator
from keyrung_toolchain.context import Context
from keyrung_toolchain.errors import SetupError
from keyrung_toolchain.files import sha256

from keyrung_infra.tools import Tools

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def cached(context: Context) -> Path:
    """An emulator as an earlier build has left it; a build is what a test of minutes would need."""
    (context.places.cache / "lambda-emulator").mkdir()
    folder = lambda_emulator._target(context)
    folder.mkdir()
    (folder / lambda_emulator.NAME).write_text("built")
    (folder / "sha256").write_text(sha256(folder / lambda_emulator.NAME))
    return folder


def test_a_built_emulator_is_used_again_without_a_network(context: Context, cached: Path) -> None:
    offline = replace(context, env={**context.env, "GOPROXY": NOWHERE})

    (tool,) = lambda_emulator.provide(offline)

    assert tool.path == cached / lambda_emulator.NAME
    assert tool.version.startswith("v0.0.0-")
    assert lambda_emulator.find(offline) == [tool]


def test_a_damaged_emulator_is_not_used_when_it_cannot_be_replaced(
    context: Context, cached: Path, said: io.StringIO
) -> None:
    (cached / lambda_emulator.NAME).write_text("damaged")

    assert lambda_emulator.find(context) == []
    with pytest.raises(SetupError, match=r"could not be built.*can't be reached"):
        lambda_emulator.provide(replace(context, env={**context.env, "GOPROXY": NOWHERE}))
    assert "was changed" in said.getvalue()


def test_set_up_without_tests_builds_nothing(context: Context) -> None:
    assert lambda_emulator.find(context) == []
    assert not (context.places.cache / "lambda-emulator").exists()


def test_what_set_up_built_is_a_program(tools: Tools) -> None:
    assert tools.lambda_emulator.read_bytes().startswith(b"\x7fELF")
    assert tools.lambda_emulator.stat().st_mode & 0o111
