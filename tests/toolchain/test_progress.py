from __future__ import annotations

import io
import time

import pytest
from keyrung_toolchain.progress import Progress


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_short_step_says_nothing() -> None:
    stream = io.StringIO()

    with Progress(stream=stream, quiet_seconds=5).step("Building"):
        pass

    assert stream.getvalue() == ""


def test_a_log_gets_whole_lines_at_the_start_now_and_then_and_at_the_end() -> None:
    stream = io.StringIO()

    with Progress(stream=stream, quiet_seconds=0, interval_seconds=0.05).step("Building"):
        time.sleep(0.2)

    lines = stream.getvalue().splitlines()
    assert lines[0] == "Building ..."
    assert "Building ... 0 s" in lines[1:-1]
    assert lines[-1] == "Building: 0 s"
    assert "\r" not in stream.getvalue()


def test_a_log_hears_nothing_more_for_half_a_minute() -> None:
    stream = io.StringIO()

    with Progress(stream=stream, quiet_seconds=0).step("Building"):
        time.sleep(0.2)

    assert len(stream.getvalue().splitlines()) == 2


def test_a_terminal_gets_one_line_that_is_renewed() -> None:
    stream = _Terminal()

    with Progress(stream=stream, quiet_seconds=0, interval_seconds=0.05).step("Building"):
        time.sleep(0.2)

    text = stream.getvalue()
    assert text.startswith("\rBuilding ...")
    assert text.count("\n") == 1
    assert text.count("\r") > 2


def test_a_failed_step_ends_its_line() -> None:
    stream = _Terminal()

    def fail() -> None:
        with Progress(stream=stream, quiet_seconds=0).step("Building"):
            time.sleep(0.1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert stream.getvalue().endswith("\n")
