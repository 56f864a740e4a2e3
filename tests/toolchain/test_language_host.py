"""Our Python language host under the real engine: small programs, a plugin, an error, an interrupt."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from keyrung_toolchain import language_host
from keyrung_toolchain.context import Context

from keyrung_infra.tools import Tools

TIMEOUT_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyProject:
    """A project with a file back end and a stack `dev`."""

    root: Path
    env: dict[str, str]

    def write(self, name: str, text: str) -> None:
        """Write a file of the project."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a pulumi command."""
        return subprocess.Popen(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self.root,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def pulumi(self, *arguments: str) -> tuple[int, str]:
        """Run a pulumi command; return its exit code and what it printed."""
        with self.start(*arguments) as process:
            output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
        return process.returncode, output


@pytest.fixture
def host(context: Context, tools: Tools) -> Path:
    """A folder with the CLI and our language host, for an environment with this interpreter's packages."""
    venv, real = context.places.venv, Path(sys.prefix)
    shutil.copy(real / "pyvenv.cfg", venv)
    (venv / "lib").symlink_to(real / "lib")
    (venv / "bin" / "python").symlink_to(real / "bin" / "python")
    source = venv.parent / "source"
    source.mkdir()
    for name in language_host.LINKED:
        folders = (tools.pulumi_folder, tools.pulumi.resolve().parent)
        original = next(folder / name for folder in folders if (folder / name).exists())
        (source / name).symlink_to(original)
    return language_host.install(context, source)


@pytest.fixture
def project(host: Path, tmp_path: Path) -> TinyProject:
    root, state = tmp_path / "project", tmp_path / "state"
    state.mkdir()
    env = {
        **os.environ,
        "PATH": f"{host}{os.pathsep}{os.environ['PATH']}",
        "PULUMI_BACKEND_URL": f"file://{state}",
        "PULUMI_CONFIG_PASSPHRASE": "only for this test",
        "PULUMI_HOME": str(tmp_path / "pulumi-home"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    made = TinyProject(root=root, env=env)
    made.write(
        "Pulumi.yaml",
        f"""\
        name: tiny
        runtime: {{name: python, options: {{virtualenv: {os.path.relpath(host.parent, root)}}}}}
        main: infra
        """,
    )
    made.write("infra/__main__.py", "")
    code, output = made.pulumi("stack", "init", "dev")
    assert code == 0, output
    return made


def test_a_program_runs_with_its_configuration_and_exports_values(project: TinyProject, host: Path) -> None:
    project.pulumi("config", "set", "plain", "shown")
    project.pulumi("config", "set", "--secret", "hidden", "not shown")
    project.write(
        "infra/__main__.py",
        """\
        import sys
        import pulumi

        print("said by the program")
        config = pulumi.Config()
        pulumi.export("plain", config.require("plain"))
        pulumi.export("hidden", config.require_secret("hidden"))
        pulumi.export("python", sys.executable)
        """,
    )

    code, output = project.pulumi("up", "--yes")

    assert code == 0, output
    assert "said by the program" in output
    assert "not shown" not in output
    _, outputs = project.pulumi("stack", "output", "--json")
    assert json.loads(outputs) == {"plain": "shown", "hidden": "[secret]", "python": str(host / "python")}


def test_an_error_in_the_program_shows_where_and_nothing_of_the_host(project: TinyProject) -> None:
    project.write("infra/__main__.py", "def broken():\n    raise ValueError('on purpose')\n\n\nbroken()\n")

    code, output = project.pulumi("preview")

    assert code != 0
    assert "ValueError: on purpose" in output
    assert '__main__.py", line 2, in broken' in output
    assert "language" not in output
    assert "exit code" not in output


def test_a_program_that_ends_early_is_an_error_that_names_its_exit_code(project: TinyProject) -> None:
    project.write("infra/__main__.py", "import os\nos._exit(7)\n")

    code, output = project.pulumi("preview")

    assert code != 0
    assert "Program exited with non-zero exit code: 7" in output


def test_an_environment_without_interpreter_names_the_step_that_makes_it(project: TinyProject) -> None:
    project.write("Pulumi.yaml", "name: tiny\nruntime: {name: python, options: {virtualenv: nothing}}\nmain: infra\n")

    code, output = project.pulumi("preview")

    assert code != 0
    assert "run `make setup`" in output


def test_an_interrupt_ends_the_program_quietly(project: TinyProject, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    project.write(
        "infra/__main__.py",
        f"""\
        import os, pathlib, time

        pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid()))
        print("the program waits", flush=True)
        time.sleep(600)
        """,
    )

    with project.start("preview") as engine:
        assert engine.stdout is not None
        seen = next(line for line in engine.stdout if "the program waits" in line)
        engine.send_signal(signal.SIGINT)
        output, _ = engine.communicate(timeout=TIMEOUT_SECONDS)

    assert engine.returncode != 0
    assert "Traceback" not in seen + output
    assert "KeyboardInterrupt" not in output
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def test_a_killed_engine_leaves_no_program_behind(project: TinyProject, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    project.write(
        "infra/__main__.py",
        f"""\
        import os, pathlib, time

        pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid()))
        print("the program waits", flush=True)
        time.sleep(600)
        """,
    )

    with project.start("preview") as engine:
        assert engine.stdout is not None
        next(line for line in engine.stdout if "the program waits" in line)
        engine.kill()

    _wait_until_gone(int(pid_file.read_text()))


def test_a_plugin_written_in_python_is_run_by_the_host(project: TinyProject) -> None:
    with (project.root / "Pulumi.yaml").open("a") as file:
        file.write("plugins: {providers: [{name: tiny, path: plugin}]}\n")
    project.write("plugin/PulumiPlugin.yaml", f"runtime: {{name: python, options: {{virtualenv: {sys.prefix}}}}}\n")
    project.write(
        "plugin/__main__.py",
        """\
        import sys
        from pulumi.provider.experimental.property_value import PropertyValue
        from pulumi.provider.experimental.provider import CreateResponse, Provider
        from pulumi.provider.experimental.server import main


        class Tiny(Provider):
            async def create(self, request):
                return CreateResponse(resource_id="one", properties={"answer": PropertyValue("42")})


        main(sys.argv[1:], "0.0.1", Tiny())
        """,
    )
    project.write(
        "infra/__main__.py",
        """\
        import pulumi


        class Thing(pulumi.CustomResource):
            answer: pulumi.Output[str]

            def __init__(self, name: str) -> None:
                super().__init__("tiny:index:Thing", name, {"answer": None})


        pulumi.export("answer", Thing("thing").answer)
        """,
    )

    code, output = project.pulumi("up", "--yes", "--skip-preview")

    assert code == 0, output
    assert json.loads(project.pulumi("stack", "output", "--json")[1]) == {"answer": "42"}


def _wait_until_gone(pid: int) -> None:
    deadline_seconds = time.monotonic() + 10
    while time.monotonic() < deadline_seconds:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail(f"process {pid} is still there")
