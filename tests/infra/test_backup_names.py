"""A backup is one folder, so files of one name cannot both be in it."""

from pathlib import Path
from typing import Any

import pytest

from keyrung_infra.backup import back_up
from keyrung_infra.errors import InfraError


class _Named:
    """The four places of a configuration that a backup reads."""

    def __init__(self, **places: Any) -> None:
        self.__dict__.update(places)


def test_two_files_of_one_name_are_refused_before_one_copy_replaces_the_other(tmp_path: Path) -> None:
    settings: Any = _Named(
        store="verifier/state.db",
        inventory="keys/state.db",
        audit=_Named(checkpoints="verifier/checkpoints.jsonl"),
        policy=_Named(bundle="verifier/policy-bundle.json"),
    )

    with pytest.raises(InfraError, match="one name"):
        list(back_up(settings, tmp_path, tmp_path / "backup"))

    assert not (tmp_path / "backup").exists()
