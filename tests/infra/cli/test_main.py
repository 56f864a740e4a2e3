"""The command's frame: quick help, one sentence per error, and nothing loaded that is not used."""

import json
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from keyrung_infra.cli import main
from keyrung_infra.errors import InfraError

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command in this process; returns exit code, standard output and standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main.run(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Have `keyrung dev` raise the given error."""

    def install(error: BaseException) -> None:
        @click.command()
        @click.option("--json", "as_json", is_flag=True)
        def command(as_json: bool) -> None:
            raise error

        module = types.ModuleType("failing")
        module.command = command  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "failing", module)
        monkeypatch.setitem(main._COMMANDS, "dev", ("failing", "Fail."))

    return install


def test_help_lists_every_command_and_loads_none() -> None:
    program = (
        "import sys; from keyrung_infra.cli.main import run; run(['--help'])\n"
        "ours = {name for name in sys.modules if name.startswith('keyrung_')}\n"
        "heavy = {'pulumi', 'cryptography', 'hvac', 'pkcs11', 'rich', 'starlette', 'httpx', 'yaml', 'joserfc'}\n"
        "print(sorted(ours), sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    *shown, loaded = done.stdout.splitlines()
    assert loaded == "['keyrung_infra', 'keyrung_infra.cli', 'keyrung_infra.cli.main'] []"
    assert all(any(line.split()[:1] == [name] for line in shown) for name in main._COMMANDS)


def test_our_error_is_one_sentence(run: Run, failing: Callable[[BaseException], None]) -> None:
    failing(InfraError("the thing is broken", fix="mend it", thing="t"))
    assert run("dev") == (1, "", "keyrung: the thing is broken: mend it.\n")


def test_an_error_that_has_a_generation_raised_names_the_setting_of_the_own_program(
    run: Run, failing: Callable[[BaseException], None]
) -> None:
    failing(InfraError("the key is gone", fix="raise `generation` to 3"))
    assert run("dev")[2] == (
        "keyrung: the key is gone: raise `generation` to 3 (Keyrung's own program takes it from"
        " `pulumi config set keyGeneration 3`).\n"
    )


def test_our_error_is_an_object_for_programs(run: Run, failing: Callable[[BaseException], None]) -> None:
    failing(InfraError("the thing is broken", fix="mend it", thing="t"))
    code, out, err = run("dev", "--json")
    assert (code, err) == (1, "")
    assert json.loads(out) == {
        "error": {
            "message": "the thing is broken: mend it.",
            "type": "InfraError",
            "fix": "mend it",
            "fields": {"thing": "t"},
        }
    }


def test_refusal_of_the_system_is_one_sentence(run: Run, failing: Callable[[BaseException], None]) -> None:
    failing(OSError(28, "No space left on device", "/some/file"))
    assert run("dev") == (1, "", "keyrung: the system refused (/some/file: No space left on device).\n")


def test_interruption_is_no_traceback(run: Run, failing: Callable[[BaseException], None]) -> None:
    failing(KeyboardInterrupt())
    code, out, err = run("dev")
    assert (code, out.strip(), err.strip()) == (130, "", "keyrung: interrupted")


def test_our_own_mistakes_are_not_hidden(run: Run, failing: Callable[[BaseException], None]) -> None:
    failing(ValueError("a bug"))
    with pytest.raises(ValueError, match="a bug"):
        run("dev")


def test_unknown_command_names_itself(run: Run) -> None:
    code, out, err = run("devv")
    assert (code, out) == (2, "")
    assert "No such command 'devv'" in err


def test_unknown_option_is_an_object_for_programs(run: Run) -> None:
    code, out, _ = run("dev", "status", "--json", "--nonsense")
    assert code == 2
    assert "--nonsense" in json.loads(out)["error"]["message"]


def test_every_command_of_the_table_exists() -> None:
    for name in main._COMMANDS:
        done = subprocess.run(
            [sys.executable, "-c", f"from keyrung_infra.cli.main import run; run([{name!r}, '--help'])"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"Usage: keyrung {name}")


def test_outside_a_project_the_folder_is_named(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run("dev", "status")
    assert (code, out) == (1, "")
    assert err == f"keyrung: no Pulumi.yaml in {tmp_path} or above: go to the project's folder.\n"
