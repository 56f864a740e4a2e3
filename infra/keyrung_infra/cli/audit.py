"""`keyrung audit`: check the log with the independent reader, or look at its records."""

import json
from collections import deque
from itertools import groupby
from pathlib import Path
from typing import NoReturn

import click

from keyrung_audit import (
    AuditError,
    ChainEnd,
    Evidence,
    EvidenceError,
    Finding,
    PublicKey,
    Record,
    Report,
    SourceError,
    load_public_key,
    open_evidence,
    parse_record,
    public_key_from_jwk,
    read_checkpoints,
    read_log,
    verify,
)
from keyrung_audit.canonical import JsonValue
from keyrung_audit.errors import RecordError
from keyrung_audit.evidence import MAX_EVIDENCE_BYTES
from keyrung_infra.cli.tables import printable, show, table
from keyrung_infra.errors import InfraError
from keyrung_infra.project import STATE_FOLDER, find_root
from keyrung_infra.serve.settings import Audit, read_settings

EXIT_FINDINGS = 1
EXIT_NOT_CHECKED = 2
_MAX_KEY_BYTES = 16 * 1024  # a JWK or PEM text is a few hundred bytes
_CONFIG = Path(STATE_FOLDER) / "verifier" / "config.json"

_FILE = click.Path(path_type=Path)


@click.group(name="audit")
def command() -> None:
    """Check or read the audit log."""


@command.command(name="verify")
@click.option("--log", "log_path", type=_FILE, help="SQLite file, file of lines, or folder with a copy of the archive.")
@click.option("--checkpoints", "checkpoints_path", type=_FILE, help="File of signed checkpoints, or the same folder.")
@click.option("--key", "key_paths", type=_FILE, multiple=True, help="Public audit key (JWK or PEM); may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def verify_command(
    log_path: Path | None, checkpoints_path: Path | None, key_paths: tuple[Path, ...], as_json: bool
) -> None:
    """Say whether the log is whole: exit 0 if so, 1 with findings, 2 if it could not be checked.

    What is not given comes from the deployed verifier's configuration. Give --key from a place that the
    log's owner can't write to where the check must not trust this machine.
    """
    try:
        deployed = None if log_path and checkpoints_path and key_paths else _deployed()
        keys = [_read_key(path) for path in key_paths] or _deployed_keys(deployed)
        # Before the log: a verifier that is at work may sign records written after we began to read.
        checkpoints = read_checkpoints(checkpoints_path or _deployed_path(deployed, "checkpoints"))
        report = verify(read_log(log_path or _deployed_path(deployed, "store")), checkpoints, keys)
    except (AuditError, InfraError) as error:
        _could_not_check(error, as_json=as_json)
    click.echo(json.dumps(report.to_json(), indent=2) if as_json else _summary(report))
    if not report.ok:
        click.get_current_context().exit(EXIT_FINDINGS)


@command.command(name="evidence")
@click.argument("evidence_file", metavar="EVIDENCE", type=_FILE)
@click.option("--key", "key_paths", type=_FILE, multiple=True, help="Public audit key (JWK or PEM); may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print what the evidence states as JSON.")
def evidence_command(evidence_file: Path, key_paths: tuple[Path, ...], as_json: bool) -> None:
    """Check the signed evidence of one key, offline, and show what it states; exit 1 if it does not count."""
    try:
        keys = [_read_key(path) for path in key_paths] or _deployed_keys(None)
        evidence = open_evidence(_read_evidence(evidence_file), keys)
    except EvidenceError as error:
        click.echo(
            json.dumps({"ok": False, "error": {"message": str(error), "fix": error.fix}}) if as_json else str(error)
        )
        click.get_current_context().exit(EXIT_FINDINGS)
    except (AuditError, InfraError) as error:
        _could_not_check(error, as_json=as_json)
    if as_json:
        click.echo(json.dumps({"ok": True, "signer": evidence.signer, "statement": evidence.statement}))
    else:
        _print_evidence(evidence)


@command.command(name="show")
@click.option("--log", "log_path", type=_FILE, help="SQLite file with an audit table, or a text file of lines.")
@click.option("--tail", "tail_count", type=click.IntRange(min=1), default=20, show_default=True, help="How many.")
def show_command(log_path: Path | None, tail_count: int) -> None:
    """Show the last records as a table (this does not check them)."""
    try:
        path = log_path or _deployed_path(_deployed(), "store")
        records = [_parse(line) for line in deque(read_log(path), maxlen=tail_count)]
    except (AuditError, InfraError) as error:
        _could_not_check(error, as_json=False)
    _print_table(records)


def _deployed() -> tuple[Path, Audit]:
    root = find_root()
    return root, read_settings(root / _CONFIG).audit


def _deployed_path(deployed: tuple[Path, Audit] | None, member: str) -> Path:
    root, audit = deployed if deployed is not None else _deployed()
    return root / (audit.store if member == "store" else audit.checkpoints)


def _deployed_keys(deployed: tuple[Path, Audit] | None) -> list[PublicKey]:
    _, audit = deployed if deployed is not None else _deployed()
    return [public_key_from_jwk(jwk) for jwk in audit.keys]


def _read_key(path: Path) -> PublicKey:
    try:
        with path.open("rb") as file:
            return load_public_key(file.read(_MAX_KEY_BYTES))
    except OSError as error:
        raise SourceError(f"Cannot read {path} ({error.strerror}); give the public audit key.", path=path) from error


def _could_not_check(error: AuditError | InfraError, *, as_json: bool) -> NoReturn:
    if as_json:
        click.echo(json.dumps({"ok": False, "error": {"message": str(error), "fix": error.fix}}))
    click.echo(f"keyrung audit: could not check. {error}", err=True)
    click.get_current_context().exit(EXIT_NOT_CHECKED)


def _summary(report: Report) -> str:
    lines = [
        f"Audit log: {'whole' if report.ok else f'{len(report.findings)} finding(s)'}",
        f"  records      {report.records_count}, {report.first_time} to {report.last_time}",
        f"  refusals     {report.counted_refusals_count} not recorded one by one, only counted",
        f"  checkpoints  {report.checkpoints_count} good; {report.unsigned_count} record(s) not signed yet",
        f"  keys         {report.key_generations_count} key generation(s) seen, every use paired with its key's life",
    ]
    lines += [f"  {_chain_name(chain):12} {_chain_end(chain)}" for chain in report.chains]
    lines += [_describe("finding", finding) for finding in report.findings]
    lines += [_describe("note", note) for note in report.notes]
    return "\n".join(lines)


def _chain_name(chain: ChainEnd) -> str:
    return "head" if chain.shard is None else f"shard {chain.shard}"


def _chain_end(chain: ChainEnd) -> str:
    if chain.head is None:
        return "none"
    signed = "not signed" if chain.signed_seq is None else f"signed up to number {chain.signed_seq}"
    return f"ends at number {chain.head_seq}, {chain.head}; {signed}"


def _describe(kind: str, finding: Finding) -> str:
    places = [
        None if finding.shard is None else f"shard {finding.shard}",
        None if finding.seq is None else f"number {finding.seq}",
        None if finding.line is None else f"line {finding.line}",
        None if finding.checkpoint_line is None else f"checkpoint line {finding.checkpoint_line}",
    ]
    place = ", ".join(filter(None, places)) or "whole log"
    return f"  {kind}: {finding.code} at {place}: {finding.message}"


def _parse(line: bytes) -> Record | None:
    try:
        return parse_record(line)
    except RecordError:
        return None


def _read_evidence(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_EVIDENCE_BYTES + 1)
    except OSError as error:
        raise SourceError(f"Cannot read {path} ({error.strerror}); give the evidence of a key.", path=path) from error


def _print_evidence(evidence: Evidence) -> None:
    stated = evidence.statement
    shown = table("member", "value", fold=("value",))
    for name in ("how", "at", "owner", "claim_id"):
        shown.add_row(name, printable(str(stated[name])))
    for group in ("key", "attributes", "store"):
        members = stated[group]
        for name, value in members.items() if isinstance(members, dict) else ():
            shown.add_row(f"{group} {printable(name)}", printable(_one_line(value)))
    show(shown, "")
    click.echo(f"Signed by audit key {evidence.signer}.")


def _one_line(value: JsonValue) -> str:
    return str(value).lower() if isinstance(value, bool) else "".join(str(value).split("\n"))


def _print_table(records: list[Record | None]) -> None:
    """Print one table for each day; what is said about a record folds, so that nothing is cut at any width."""
    for day, of_day in groupby(records, key=lambda record: "no date" if record is None else record.time[:10]):
        shown = table(
            "number", "time (UTC)", "event", "outcome", "about", right=("number",), fold=("about",), title=day
        )
        for record in of_day:
            if record is None:
                shown.add_row("?", "", "not a record", "", "run `keyrung audit verify`")
                continue
            cells = (record.event, record.outcome or "", _about(record))
            shown.add_row(str(record.seq), record.time[11:23], *map(printable, cells))
        show(shown)


def _about(record: Record) -> str:
    parts = {"action": record.action, "factor": record.factor, "reason": record.reason}
    about = [f"{name} {value}" for name, value in parts.items() if value]
    if record.key is not None:
        about.append(f"{record.key.uri} #{record.key.generation}")
    return ", ".join(about)
