from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from keyrung_toolchain import pulumi_cache, pulumi_cli
from keyrung_toolchain.context import Context
from keyrung_toolchain.errors import SetupError
from keyrung_toolchain.versions import PULUMI_VERSION

WriteProgram = Callable[..., Path]

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def offline(context: Context, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Context:
    """No source answers, and PATH has what a shell script needs and nothing else."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, NOWHERE)
        monkeypatch.setenv(name.lower(), NOWHERE)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    env = {**context.env, "PATH": f"{tmp_path / 'path'}:/usr/bin:/bin", "GOPROXY": f"{NOWHERE}/modules"}
    env |= {name: NOWHERE for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")}
    return replace(context, env=env)


@pytest.fixture
def cached(offline: Context, program: WriteProgram) -> Path:
    """A good CLI in the cache, built here."""
    target = offline.places.cache / "pulumi" / PULUMI_VERSION
    program(target / "bin" / "pulumi", f"v{PULUMI_VERSION}")
    for name in ("pulumi-language-python-exec", "pulumi-resource-pulumi-python"):
        program(target / "bin" / name, name)
    pulumi_cache.save(target, origin="a build from Go modules", needs_language_host=True)
    return target


def test_a_good_cli_on_path_is_used_as_it_is(
    offline: Context, cached: Path, program: WriteProgram, tmp_path: Path
) -> None:
    own = program(tmp_path / "path" / "pulumi", "v3.280.0")
    for name in pulumi_cli.LANGUAGE_HOST:
        program(own.with_name(name), "")

    tool = pulumi_cli.provide(offline)

    assert (tool.path, tool.version, tool.origin) == (own, "3.280.0", "PATH")


@pytest.mark.parametrize("said_version", ["v3.100.0", "v4.0.0", "nonsense"])
def test_a_cli_of_another_version_on_path_is_passed_over(
    offline: Context, cached: Path, program: WriteProgram, tmp_path: Path, said_version: str
) -> None:
    own = program(tmp_path / "path" / "pulumi", said_version)
    for name in pulumi_cli.LANGUAGE_HOST:
        program(own.with_name(name), "")

    assert pulumi_cli.provide(offline).version == PULUMI_VERSION


def test_a_cli_that_cannot_run_python_is_passed_over(
    offline: Context, cached: Path, program: WriteProgram, tmp_path: Path
) -> None:
    program(tmp_path / "path" / "pulumi", "v3.280.0")

    assert pulumi_cli.provide(offline).version == PULUMI_VERSION


def test_a_cached_build_is_linked_into_the_environment_with_our_language_host(offline: Context, cached: Path) -> None:
    tool = pulumi_cli.provide(offline)

    assert tool.path == offline.places.bin / "pulumi"
    assert tool.path.samefile(cached / "bin" / "pulumi")
    starter = (offline.places.bin / "pulumi-language-python").read_text()
    assert str(offline.places.python) in starter


def test_a_cli_on_path_takes_the_place_of_the_linked_one(
    offline: Context, cached: Path, program: WriteProgram, tmp_path: Path
) -> None:
    pulumi_cli.provide(offline)
    own = program(tmp_path / "path" / "pulumi", "v3.280.0")
    for name in pulumi_cli.LANGUAGE_HOST:
        program(own.with_name(name), "")

    pulumi_cli.provide(offline)

    assert list(offline.places.bin.iterdir()) == []


def test_what_set_up_linked_itself_does_not_count_as_the_users_cli(offline: Context, cached: Path) -> None:
    pulumi_cli.provide(offline)
    activated = replace(offline, env={**offline.env, "PATH": f"{offline.places.bin}:{offline.env['PATH']}"})

    assert pulumi_cli.provide(activated).origin == "a build from Go modules"


def test_when_nothing_works_the_message_says_why_and_what_to_install(
    offline: Context, program: WriteProgram, tmp_path: Path
) -> None:
    program(tmp_path / "path" / "pulumi", "v3.100.0")
    start_seconds = time.monotonic()

    with pytest.raises(SetupError) as caught:
        pulumi_cli.provide(offline)

    message = str(caught.value)
    assert time.monotonic() - start_seconds < 25  # two sources at ten seconds each, and some room
    assert "is version v3.100.0; 3.272.0 to 3.x is needed" in message
    assert "get.pulumi.com/install.sh can't be reached" in message
    assert "Install Pulumi 3.272.0 or newer (https://www.pulumi.com/docs/install/), or Go 1.26.6 or newer" in message
    assert list((offline.places.cache / "pulumi").iterdir()) == []


def test_a_damaged_cli_is_not_used_when_it_cannot_be_replaced(
    offline: Context, cached: Path, said: io.StringIO
) -> None:
    (cached / "bin" / "pulumi").write_text("#!/bin/sh\necho v3.274.1 # changed\n")

    with pytest.raises(SetupError, match="could not be set up"):
        pulumi_cli.provide(offline)

    assert "was changed (pulumi). It is replaced." in said.getvalue()
