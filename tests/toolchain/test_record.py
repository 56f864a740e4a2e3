from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from keyrung_toolchain import record
from keyrung_toolchain.context import Context, Tool

from keyrung_infra.tools import ToolMissingError, tools

NAMES = ("pulumi", "bao", "softhsm2-util", "softhsm-module")


@pytest.fixture
def recorded(context: Context, program: Callable[..., Path], tmp_path: Path) -> dict[str, Path]:
    """A finished set-up."""
    for name in ("python", "keyrung"):
        program(context.places.bin / name, name)
    paths = {name: program(tmp_path / "tools" / name, name) for name in NAMES}
    record.save(context, [Tool(name=name, path=path, version="1.2.3", origin="x") for name, path in paths.items()])
    return paths


@pytest.mark.usefixtures("recorded")
def test_a_finished_set_up_is_current(context: Context) -> None:
    assert record.current(context, NAMES)


@pytest.mark.usefixtures("recorded")
def test_a_set_up_without_the_wanted_tool_is_not_current(context: Context) -> None:
    assert not record.current(context, [*NAMES, "oathtool"])


def test_a_replaced_tool_is_noticed(context: Context, recorded: dict[str, Path]) -> None:
    recorded["bao"].write_text("#!/bin/sh\necho another\n")

    assert not record.current(context, NAMES)


def test_a_touched_tool_is_noticed(context: Context, recorded: dict[str, Path]) -> None:
    os.utime(recorded["pulumi"], ns=(1, 1))

    assert not record.current(context, NAMES)


def test_a_missing_tool_is_noticed(context: Context, recorded: dict[str, Path]) -> None:
    recorded["pulumi"].unlink()

    assert not record.current(context, NAMES)


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize("name", ["python", "keyrung"])
def test_a_damaged_environment_is_noticed(context: Context, name: str) -> None:
    (context.places.bin / name).unlink()

    assert not record.current(context, NAMES)


@pytest.mark.usefixtures("recorded")
def test_a_changed_project_is_noticed(context: Context) -> None:
    (context.places.root / "pyproject.toml").write_text("[project]\nname = 'other'\n")

    assert not record.current(context, NAMES)


@pytest.mark.usefixtures("recorded")
def test_an_interrupted_set_up_is_not_current(context: Context) -> None:
    record.forget(context)

    assert not record.current(context, NAMES)


def test_the_library_reads_what_set_up_wrote(context: Context, recorded: dict[str, Path]) -> None:
    found = tools(context.places.record)

    assert (found.pulumi, found.bao) == (recorded["pulumi"], recorded["bao"])
    assert found.pulumi_folder == recorded["pulumi"].parent
    assert found.versions["bao"] == "1.2.3"


def test_a_missing_record_names_the_step_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ToolMissingError, match="run `make setup`"):
        tools(tmp_path / "keyrung-tools.json")


@pytest.mark.parametrize("text", ["", "[]", '{"tools": {"pulumi": {}}}', '{"tools": {}}'])
def test_an_unreadable_record_names_the_step_that_makes_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keyrung-tools.json"
    path.write_text(text)

    with pytest.raises(ToolMissingError, match="run `make setup`"):
        tools(path)


def test_a_program_that_is_gone_names_the_step_that_brings_it(context: Context, recorded: dict[str, Path]) -> None:
    recorded["bao"].unlink()

    with pytest.raises(ToolMissingError, match="bao is not set up: run `make setup`"):
        tools(context.places.record)


@pytest.mark.usefixtures("recorded")
def test_a_program_that_only_tests_use_is_asked_for_late(context: Context) -> None:
    found = tools(context.places.record)

    with pytest.raises(ToolMissingError, match="oathtool is not set up: run `make test`"):
        _ = found.oathtool


@pytest.mark.usefixtures("recorded")
def test_the_record_says_where_each_tool_came_from(context: Context) -> None:
    entries = json.loads(context.places.record.read_text())["tools"]

    assert {entry["origin"] for entry in entries.values()} == {"x"}
