"""The progress bar: drawn for people only."""

import subprocess
import sys

import pytest

from keyrung_infra.cli.progress import progress


class _Terminal:
    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        """Nothing is buffered."""

    def isatty(self) -> bool:
        return True


def test_a_bar_names_its_step_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")

    with progress("Drill", 2, shown=True) as advance:
        advance("first")
        advance("")

    assert "Drill" in terminal.text


@pytest.mark.parametrize("shown", ["True", "False"])
def test_without_a_terminal_nothing_is_written_and_rich_is_not_loaded(shown: str) -> None:
    program = (
        "import sys\nfrom keyrung_infra.cli.progress import progress\n"
        f"with progress('Drill', 1, shown={shown}) as advance: advance('x')\n"
        "print('rich' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert (done.stdout, done.stderr) == ("False\n", "")
