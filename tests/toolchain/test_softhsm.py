from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from keyrung_toolchain import debian, softhsm
from keyrung_toolchain.context import Context
from keyrung_toolchain.errors import SetupError

from keyrung_infra.tools import Tools


def test_what_set_up_found_is_a_token_library_that_its_program_can_use(tools: Tools, tmp_path: Path) -> None:
    configuration = tmp_path / "softhsm2.conf"
    (tmp_path / "tokens").mkdir()
    configuration.write_text(f"directories.tokendir = {tmp_path / 'tokens'}\nobjectstore.backend = file\n")
    command = [tools.softhsm2_util, "--module", tools.softhsm_module, "--init-token", "--free"]

    done = subprocess.run(
        [*map(str, command), "--label", "made", "--pin", "1234", "--so-pin", "12345678"],
        env={"SOFTHSM2_CONF": str(configuration)},
        capture_output=True,
        text=True,
    )

    assert "has been initialized" in done.stdout, done.stderr


def test_programs_that_were_unpacked_find_their_libraries(
    context: Context, program: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "unpacked"
    library = root / "usr" / "lib" / "x86_64-linux-gnu"
    library.mkdir(parents=True)
    for name in ("opensc-tool", "pkcs11-tool", "oathtool"):
        path = program(root / "usr" / "bin" / name, "")
        path.write_text('#!/bin/sh\necho "1.2.3 $LD_LIBRARY_PATH"\n')
    monkeypatch.setattr(debian, "provide", lambda *_: root)
    monkeypatch.setattr(softhsm, "SBIN", [])

    tools = softhsm.provide_test_programs(replace(context, env={"PATH": "/nothing"}))

    assert {tool.name: tool.version for tool in tools} == {"pkcs11-tool": "1.2.3", "oathtool": "1.2.3"}
    for tool in tools:
        assert str(library) in subprocess.run([tool.path], capture_output=True, text=True).stdout


def test_a_system_without_softhsm_and_without_apt_is_told_what_to_install(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(softhsm, "SBIN", [])

    with pytest.raises(SetupError, match="apt-get install softhsm2"):
        softhsm.provide(replace(context, env={"PATH": "/nothing"}))


def test_a_softhsm_that_is_too_old_does_not_count(
    context: Context, program: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(softhsm, "SBIN", [])
    program(tmp_path / "path" / "softhsm2-util", "2.5.0")

    with pytest.raises(SetupError, match="SoftHSM2 is missing"):
        softhsm.provide(replace(context, env={"PATH": str(tmp_path / "path")}))
