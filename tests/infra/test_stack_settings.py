"""What commands read of a stack's configuration: the provider's settings, as the engine would tell them."""

from pathlib import Path

import pytest

from keyrung_infra.errors import InfraError
from keyrung_infra.keys.access import stack_settings

_STACK = """
config:
  keyrung:transitAddress: https://127.0.0.1:8200
  keyrung:transitSoftDelete: true
  keyrung:transitToken: env:TOKEN
  aws:region: eu-central-1
  target: local
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one stack that names stores, and one that does not."""
    (tmp_path / "Pulumi.yaml").write_text("name: p\nruntime: python\nstackConfigDir: stacks\n")
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks" / "Pulumi.one.yaml").write_text(_STACK)
    (tmp_path / "stacks" / "Pulumi.bare.yaml").write_text("config:\n  target: local\n")
    return tmp_path


def test_a_flag_of_yaml_is_read_as_the_text_that_the_provider_gets(project: Path) -> None:
    wanted = {
        "transitAddress": "https://127.0.0.1:8200",
        "transitSoftDelete": "true",
        "transitToken": "env:TOKEN",
    }
    assert stack_settings(project, "one") == wanted
    assert stack_settings(project, None) == wanted  # the only stack that has such settings


def test_a_stack_that_is_not_there_is_told_with_those_that_are(project: Path) -> None:
    with pytest.raises(
        InfraError, match=r"no configuration of stack two: name one with --stack \(there is: bare, one\)"
    ):
        stack_settings(project, "two")
