"""A log of several chains is checked as one: none can be left out, and a key's life in one counts for all."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.audit_log import AuditKey, chain, key

from keyrung_audit import Report, read_checkpoints, read_log, verify
from keyrung_audit.errors import SourceError
from keyrung_infra.cli.audit import command

NAMES = ("00", "01", "02")
SALT = "0f" * 32


class Sharded:
    """A good log of three chains: a key's life in the first, its uses in the others."""

    def __init__(self, audit_key: AuditKey) -> None:
        self.key = audit_key
        self.changes: dict[str, list[dict[str, Any]]] = {name: self._story(name) for name in NAMES}

    def _story(self, name: str) -> list[dict[str, Any]]:
        detail = {"audit_key": self.key.kid, "salt": SALT, "shards": " ".join(NAMES)}
        opened: dict[str, Any] = {"shard": name, "event": "log.opened", "outcome": None, "detail": detail}
        life = [
            {"event": f"key.{step}", "outcome": None, "key": key(state), "detail": {"event_id": step}}
            for step, state in (("created", "pre-activation"), ("activated", "active"))
        ]
        uses = [{"event": "assertion.issued", "outcome": "success", "key": key("active")} for _ in range(3)]
        return [opened, *({"shard": name, **change} for change in (life if name == "00" else uses))]

    def chains(self) -> dict[str, list[bytes]]:
        return {name: chain(changes) for name, changes in self.changes.items()}

    def checkpoints(self) -> list[bytes]:
        return [self.key.checkpoint(len(lines) - 1, lines[-1], shard=name) for name, lines in self.chains().items()]

    def check(self, lines: list[bytes] | None = None, checkpoints: list[bytes] | None = None) -> Report:
        whole = [line for lines in self.chains().values() for line in lines]
        return verify(
            whole if lines is None else lines,
            self.checkpoints() if checkpoints is None else checkpoints,
            [self.key.public],
        )


@pytest.fixture
def log(audit_key: AuditKey) -> Sharded:
    return Sharded(audit_key)


def codes(report: Report) -> set[tuple[str, str | None]]:
    return {(finding.code, finding.shard) for finding in report.findings}


def test_a_good_log_of_several_chains_has_no_finding(log: Sharded) -> None:
    report = log.check()

    assert report.findings == report.notes == ()
    assert [(end.shard, end.head_seq, end.signed_seq) for end in report.chains] == [
        ("00", 2, 2),
        ("01", 3, 3),
        ("02", 3, 3),
    ]
    assert (report.records_count, report.unsigned_count, report.key_generations_count) == (11, 0, 1)


def test_the_order_in_which_chains_come_does_not_matter(log: Sharded) -> None:
    chains = log.chains()
    mixed = [chains[name][seq] for seq in range(4) for name in reversed(NAMES) if seq < len(chains[name])]

    assert log.check(mixed).findings == ()


@pytest.mark.parametrize("name", NAMES)
def test_a_chain_that_was_removed_is_found_even_with_its_checkpoints(log: Sharded, name: str) -> None:
    lines = [line for shard, lines in log.chains().items() if shard != name for line in lines]
    checkpoints = [each for shard, each in zip(NAMES, log.checkpoints(), strict=True) if shard != name]

    for kept in (checkpoints, log.checkpoints()):
        assert ("missing-shard", name) in codes(log.check(lines, kept))


def test_all_chains_but_one_removed_is_found(log: Sharded) -> None:
    found = codes(log.check(log.chains()["01"], log.checkpoints()[1:2]))

    assert {("missing-shard", "00"), ("missing-shard", "02")} <= found


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seq", [0, 1, 2])
def test_a_record_that_was_dropped_is_found_in_its_chain(log: Sharded, name: str, seq: int) -> None:
    chains = log.chains()
    del chains[name][seq]

    found = codes(log.check([line for lines in chains.values() for line in lines]))

    assert name in {shard for _, shard in found}


def test_a_chain_cut_short_is_found(log: Sharded) -> None:
    chains = log.chains()
    chains["02"].pop()

    assert codes(log.check([line for lines in chains.values() for line in lines])) == {("truncated", "02")}


def test_a_chain_that_nobody_signed_is_found(log: Sharded) -> None:
    assert codes(log.check(checkpoints=log.checkpoints()[:2])) == {("unsigned", "02")}


def test_a_record_moved_to_another_chain_is_found_in_both(log: Sharded) -> None:
    chains = log.chains()
    moved = chains["01"].pop(2).replace(b'"shard":"01"', b'"shard":"02"')
    chains["02"].insert(2, moved)

    found = {shard for _, shard in codes(log.check([line for lines in chains.values() for line in lines]))}

    assert {"01", "02"} <= found


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"salt": "1e" * 32}, "bad-genesis"),
        ({"shards": "00 01 02 03"}, "bad-genesis"),
        ({"shards": "00 01"}, "bad-genesis"),
        ({"shards": "02 02"}, "bad-genesis"),
        ({"audit_key": "another"}, "wrong-genesis-key"),
    ],
)
def test_a_chain_of_another_log_put_in_is_found(log: Sharded, change: dict[str, str], code: str) -> None:
    log.changes["02"][0]["detail"] |= change

    assert (code, "02") in codes(log.check())


def test_a_chain_that_no_other_names_is_found(log: Sharded) -> None:
    lines = [line for lines in log.chains().values() for line in lines]
    foreign = chain([{**log.changes["02"][0], "shard": "99"}])
    checkpoint = log.key.checkpoint(0, foreign[0], shard="99")

    found = codes(log.check(lines + foreign, [*log.checkpoints(), checkpoint]))

    assert {code for code, _ in found} >= {"foreign-shard", "bad-checkpoint"}


def test_a_use_of_a_key_that_no_chain_tells_of_is_found(log: Sharded) -> None:
    log.changes["01"][2]["key"] = key("active", generation=2)

    assert [(each.code, each.shard, each.seq) for each in log.check().findings] == [("key-never-seen", "01", 2)]


@pytest.mark.parametrize(("minutes", "code"), [(2, "key-not-active"), (0, None)])
def test_a_use_long_after_the_key_was_compromised_in_another_chain_is_found(
    log: Sharded, minutes: int, code: str | None
) -> None:
    """Within the tolerance for two clocks the use may have come first."""
    at = {"event_id": "end", "at": "2026-11-25T01:10:00.000000Z"}
    log.changes["00"].append(
        {"shard": "00", "event": "key.compromised", "outcome": None, "key": key("compromised"), "detail": at}
    )
    log.changes["01"][3]["time"] = f"2026-11-25T01:1{minutes}:30.000000Z"

    assert [finding.code for finding in log.check().findings] == ([] if code is None else [code])


def write_archive(folder: Path, log: Sharded, *, cuts: list[tuple[int, int]]) -> None:
    for name, lines in log.chains().items():
        (folder / "lines" / name).mkdir(parents=True)
        (folder / "checkpoints" / name).mkdir(parents=True)
        for first, last in cuts:
            part = lines[first : last + 1]
            path = folder / "lines" / name / f"{first:016d}-{first + len(part) - 1:016d}.jsonl"
            path.write_bytes(b"".join(line + b"\n" for line in part))
    for name, checkpoint in zip(NAMES, log.checkpoints(), strict=True):
        (folder / "checkpoints" / name / "0.jws").write_bytes(checkpoint + b"\n")


@pytest.mark.parametrize("cuts", [[(0, 9)], [(0, 0), (1, 1), (2, 9)], [(0, 1), (1, 2), (2, 9)]], ids=str)
def test_an_archive_is_read_shard_by_shard_and_a_repeated_delivery_once(
    log: Sharded, tmp_path: Path, cuts: list[tuple[int, int]]
) -> None:
    write_archive(tmp_path, log, cuts=cuts)

    report = verify(read_log(tmp_path), read_checkpoints(tmp_path), [log.key.public])

    assert report.findings == ()
    assert report.records_count == 11


def test_an_object_that_tells_a_record_otherwise_is_found(log: Sharded, tmp_path: Path) -> None:
    write_archive(tmp_path, log, cuts=[(0, 9)])
    other = log.chains()["01"][2].replace(b'"success"', b'"refused"')
    (tmp_path / "lines" / "01" / f"{2:016d}-{2:016d}.jsonl").write_bytes(other + b"\n")

    report = verify(read_log(tmp_path), read_checkpoints(tmp_path), [log.key.public])

    assert "01" in {finding.shard for finding in report.findings}


def test_a_folder_without_an_archive_is_one_clear_error(tmp_path: Path) -> None:
    for read in (read_log, read_checkpoints):
        with pytest.raises(SourceError, match="copy the archive"):
            list(read(tmp_path))


def test_the_command_checks_a_copy_of_the_archive_and_names_the_chain_that_is_missing(
    log: Sharded, tmp_path: Path
) -> None:
    archive, key_file = tmp_path / "archive", tmp_path / "audit.pem"
    write_archive(archive, log, cuts=[(0, 9)])
    key_file.write_bytes(log.key.pem)
    asked = ["verify", "--log", str(archive), "--checkpoints", str(archive), "--key", str(key_file)]

    whole = CliRunner().invoke(command, asked)
    shutil.rmtree(archive / "lines" / "01")
    less = CliRunner().invoke(command, asked)

    assert whole.exit_code == 0, whole.output
    assert "shard 02     ends at number 3" in whole.output
    assert less.exit_code == 1
    assert "missing-shard at shard 01" in less.output
