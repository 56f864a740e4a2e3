"""`keyrung audit`: exit codes and what people read."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.audit_log import Log, chain, plain_changes

from keyrung_infra.cli.audit import command


class Files:
    """A log on disk, and the command run over it."""

    def __init__(self, folder: Path, log: Log) -> None:
        self.log, self.checkpoints, self.key = folder / "log", folder / "checkpoints", folder / "key.pem"
        self.log.write_bytes(b"".join(line + b"\n" for line in log.lines))
        self.checkpoints.write_bytes(b"".join(line + b"\n" for line in log.checkpoints))
        self.key.write_bytes(log.key.pem)

    def verify(self, *more: str) -> Result:
        sources = ["--log", str(self.log), "--checkpoints", str(self.checkpoints), "--key", str(self.key)]
        return CliRunner().invoke(command, ["verify", *sources, *more])


@pytest.fixture
def files(tmp_path: Path, log: Log) -> Files:
    return Files(tmp_path, log)


def test_a_good_log_exits_0_and_names_its_head(files: Files, log: Log) -> None:
    result = files.verify()

    assert result.exit_code == 0, result.output
    assert "Audit log: whole" in result.output
    assert "14, 2026-11-25T01:00:00.000000Z to 2026-11-25T01:00:13.000000Z" in result.output
    assert str(log.check().chains[0].head) in result.output


def test_a_tampered_log_exits_1_and_names_the_place(files: Files, log: Log) -> None:
    data = files.log.read_bytes()
    files.log.write_bytes(data.replace(b'"correlation_id":"c-6"', b'"correlation_id":"c-X"'))

    result = files.verify()

    assert result.exit_code == 1
    assert "finding: altered at number 6, line 7:" in result.output


def test_json_holds_the_report_and_nothing_else_is_on_standard_output(files: Files) -> None:
    result = files.verify("--json")

    assert json.loads(result.stdout)["ok"] is True


@pytest.mark.parametrize("missing", ["log", "checkpoints", "key"])
def test_a_missing_source_exits_2(files: Files, missing: str) -> None:
    getattr(files, missing).unlink()

    result = files.verify("--json")

    assert result.exit_code == 2
    assert json.loads(result.stdout)["ok"] is False
    assert "could not check" in result.stderr


def test_without_a_project_the_sources_must_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    result = CliRunner().invoke(command, ["verify"])

    assert result.exit_code == 2
    assert "Pulumi.yaml" in result.stderr


def test_show_prints_the_last_records(files: Files) -> None:
    result = CliRunner().invoke(command, ["show", "--log", str(files.log), "--tail", "3"], env={"COLUMNS": "200"})

    assert result.exit_code == 0
    assert "payments.transfer" in result.stdout
    assert " 13 " in result.stdout
    assert " 10 " not in result.stdout


@pytest.mark.parametrize("columns", ["60", "80", "120"])
def test_show_cuts_nothing_however_narrow_the_terminal(
    files: Files, columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal, for the one who draws
    result = CliRunner().invoke(command, ["show", "--log", str(files.log), "--tail", "3"], env={"COLUMNS": columns})

    assert result.exit_code == 0
    assert "\u2026" not in result.stdout
    assert max(len(line) for line in re.sub(r"\x1b\[[0-9;]*m", "", result.stdout).splitlines()) <= int(columns)


def test_show_never_sends_control_characters_of_a_record_to_the_terminal(tmp_path: Path, log: Log) -> None:
    changes = plain_changes(log.key, 6)
    changes[5]["action"] = "\u009b2J[red]bold\u001b[0m"
    path = tmp_path / "hostile"
    path.write_bytes(b"\n".join([*chain(changes), b"\x1b[2Jjunk"]))

    result = CliRunner().invoke(command, ["show", "--log", str(path)], env={"COLUMNS": "200"})

    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert "\x9b" not in result.stdout
    assert "[red]" in result.stdout
    assert "not a record" in result.stdout
