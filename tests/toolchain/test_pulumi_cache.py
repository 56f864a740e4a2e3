from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from keyrung_toolchain import pulumi_cache
from keyrung_toolchain.context import Context
from keyrung_toolchain.errors import DamagedError
from keyrung_toolchain.versions import PULUMI_VERSION

WriteProgram = Callable[..., Path]


@pytest.fixture
def entry(tmp_path: Path, program: WriteProgram) -> Path:
    """A cached program that says the right version."""
    target = tmp_path / "cache" / "pulumi" / PULUMI_VERSION
    program(target / "bin" / "pulumi", f"v{PULUMI_VERSION}")
    program(target / "bin" / "pulumi-language-python-exec", "")
    pulumi_cache.save(target, origin="a build from Go modules", needs_language_host=True)
    return target


def test_a_good_entry_is_used_again(context: Context, entry: Path) -> None:
    loaded = pulumi_cache.load(context, entry)

    assert loaded is not None
    assert loaded.origin == "a build from Go modules"
    assert set(loaded.files) == {"pulumi", "pulumi-language-python-exec"}


def test_no_entry_is_not_an_error(context: Context, said: io.StringIO, tmp_path: Path) -> None:
    assert pulumi_cache.load(context, tmp_path / "nothing") is None
    assert said.getvalue() == ""


@pytest.mark.parametrize("name", ["pulumi", "pulumi-language-python-exec"])
def test_a_changed_program_is_refused(context: Context, entry: Path, said: io.StringIO, name: str) -> None:
    with (entry / "bin" / name).open("a") as file:
        file.write("\n")

    assert pulumi_cache.load(context, entry) is None
    assert f"was changed ({name}). It is replaced." in said.getvalue()


def test_another_version_is_refused_even_when_its_hash_is_noted(
    context: Context, entry: Path, program: WriteProgram
) -> None:
    program(entry / "bin" / "pulumi", "v3.100.0")
    pulumi_cache.save(entry, origin="a build from Go modules", needs_language_host=True)

    with pytest.raises(DamagedError, match=r"is version v3\.100\.0"):
        pulumi_cache.check(context, entry)


@pytest.mark.parametrize("missing", [pulumi_cache.NOTE, "bin/pulumi"])
def test_a_half_finished_entry_is_refused(context: Context, entry: Path, missing: str) -> None:
    (entry / missing).unlink()

    with pytest.raises(DamagedError, match="incomplete"):
        pulumi_cache.check(context, entry)


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"version": "3.274.1"}'])
def test_an_unreadable_note_is_refused(context: Context, entry: Path, note: str) -> None:
    (entry / pulumi_cache.NOTE).write_text(note)

    with pytest.raises(DamagedError, match="incomplete"):
        pulumi_cache.check(context, entry)


def test_a_note_that_names_no_program_is_refused(context: Context, entry: Path) -> None:
    note = json.loads((entry / pulumi_cache.NOTE).read_text())
    (entry / pulumi_cache.NOTE).write_text(json.dumps({**note, "files": {}}))

    with pytest.raises(DamagedError):
        pulumi_cache.check(context, entry)
