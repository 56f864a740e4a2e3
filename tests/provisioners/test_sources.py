"""References to settings: an unreadable or empty secret is an error, never an empty secret."""

from pathlib import Path

import pytest

from keyrung_provisioners.errors import InvalidSettingError
from keyrung_provisioners.sources import resolve


def test_a_file_gives_its_line_without_the_line_break(tmp_path: Path) -> None:
    (tmp_path / "pin").write_text("1234\n")
    assert resolve("file:pin", root=tmp_path, secret=True) == "1234"


def test_the_environment_gives_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_PIN", "1234")
    assert resolve("env:SOME_PIN", root=tmp_path, secret=True) == "1234"


def test_a_literal_stands_for_itself_unless_it_is_a_secret(tmp_path: Path) -> None:
    assert resolve("https://localhost:8200", root=tmp_path) == "https://localhost:8200"
    with pytest.raises(InvalidSettingError, match="file:PATH or env:NAME") as caught:
        resolve("1234", root=tmp_path, secret=True)
    assert "1234" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe", b"x" * 9000])
def test_missing_empty_binary_and_huge_files_are_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "pin").write_bytes(content)
    with pytest.raises(InvalidSettingError):
        resolve("file:pin", root=tmp_path, secret=True)


def test_an_unset_variable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_PIN", raising=False)
    with pytest.raises(InvalidSettingError, match="SOME_PIN"):
        resolve("env:SOME_PIN", root=tmp_path, secret=True)
