from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from keyrung_toolchain import guardrails
from keyrung_toolchain.context import Context
from keyrung_toolchain.errors import SetupError


def test_a_folder_without_the_environment_has_no_policy_pack(context: Context) -> None:
    assert guardrails.find(context) == []


def test_an_environment_without_the_locked_version_is_not_taken_for_whole(context: Context) -> None:
    python = guardrails._folder(context) / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(shutil.which("python3") or "python3")

    assert guardrails.find(context) == []


def test_an_index_out_of_reach_is_said_with_what_to_do(context: Context) -> None:
    offline = replace(context, env={**context.env, "UV_DEFAULT_INDEX": "http://127.0.0.1:1", "UV_CACHE_DIR": "nowhere"})

    with pytest.raises(SetupError, match="policy pack can't be installed"):
        guardrails.provide(offline)
