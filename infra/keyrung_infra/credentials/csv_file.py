"""The file of `keyrung credential import`: read strictly, with every mistake told at its line and column.

CSV after RFC 4180 in UTF-8 with a header. `subject` and `kind` are required columns; `serial`, `seed` and `public_key`
are for the kinds that take them.
"""

import base64
import csv
import dataclasses
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from keyrung_infra.errors import InfraError
from keyrung_provisioners import encoding
from keyrung_provisioners.errors import ProvisionerError
from keyrung_verifier.credentials import check_subject, checked_key
from keyrung_verifier.errors import CredentialError
from keyrung_verifier.limits import MIN_TOTP_SEED_BYTES

# Columns that a row of this kind may fill in, beside `subject` and `kind`.
KINDS: Mapping[str, frozenset[str]] = {
    "totp": frozenset({"serial", "seed"}),
    "token": frozenset({"serial", "public_key"}),
    "webauthn": frozenset(),
}
_REQUIRED = ("subject", "kind")
_COLUMNS = (*_REQUIRED, "serial", "seed", "public_key")
# One run for a large company; more is several files.
MAX_ROWS = 100_000
# HMAC takes longer keys, but hashes them first (RFC 2104 section 3); no vendor delivers one.
_MAX_SEED_BYTES = 64
_SERIAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}")
_SEED = re.compile(r"[A-Z2-7]+={0,6}")
# The digits of base32 whose last character carries unused bits repeat in groups of eight (RFC 4648 section 6).
_BASE32_GROUP = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One checked line: a seed is the vendor's, or None where one is to be made."""

    line: int
    subject: str
    kind: str
    serial: str | None = None
    seed: bytes | None = field(default=None, repr=False)
    public_jwk: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake: where it stands and what to do."""

    line: int
    column: str | None
    message: str
    fix: str

    def __str__(self) -> str:
        where = "" if self.column is None else f"{self.column}: "
        return f"{self.line}: {where}{self.message}; {self.fix}"


class ImportRefusedError(InfraError):
    """The file has mistakes, so nothing of it was imported; it names them all."""

    def __init__(self, path: Path, problems: Sequence[Problem]) -> None:
        self.problems = sorted(problems, key=lambda problem: problem.line)
        count = f"{len(self.problems)} mistakes" if len(self.problems) > 1 else "a mistake"
        super().__init__(f"{path} has {count}, and nothing was imported", fix="correct them and run it again")
        self.path = path
        self.fields = {"problems": [dataclasses.asdict(problem) for problem in self.problems]}

    def __str__(self) -> str:
        # FILE:LINE is what editors and terminals open.
        return "\n".join([super().__str__(), *(f"{self.path}:{problem}" for problem in self.problems)])


def read_rows(path: Path) -> tuple[list[Row], list[Problem]]:
    """Return the good rows of the file, and every mistake in it.

    Raises:
        InfraError: It is not there or not UTF-8.
    """
    try:
        # Spreadsheets write a byte order mark.
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InfraError(f"{path} is not UTF-8", fix="save it as CSV UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[Row] = []
    problems: list[Problem] = []
    header: list[str] | None = None
    try:
        for cells in reader:
            if not cells:
                continue  # an empty line
            if header is None:
                header = cells
                problems += _header_problems(header, reader.line_num)
                if problems:
                    break
            elif len(rows) >= MAX_ROWS:
                problems.append(_problem(reader.line_num, None, f"there are over {MAX_ROWS} rows", "split the file"))
                break
            else:
                read = _read_cells(header, cells, reader.line_num, path.parent)
                if isinstance(read, Row):
                    rows.append(read)
                else:
                    problems += read
    except csv.Error as error:
        problems.append(_problem(reader.line_num, None, f"this is no CSV ({error})", "quote as RFC 4180 says"))
    if header is None:
        problems.append(_problem(1, None, "the file is empty", f"begin with the header {','.join(_COLUMNS)}"))
    return rows, problems


def _header_problems(header: Sequence[str], line: int) -> list[Problem]:
    allowed = f"the columns are {', '.join(_COLUMNS)}, separated by commas"
    problems = [_problem(line, name, "there is no such column", allowed) for name in header if name not in _COLUMNS]
    problems += [
        _problem(line, name, "the column stands there twice", "keep one")
        for name in sorted({name for name in header if header.count(name) > 1})
    ]
    problems += [_problem(line, name, "the column is missing", allowed) for name in _REQUIRED if name not in header]
    return problems


def _read_cells(header: Sequence[str], cells: Sequence[str], line: int, folder: Path) -> Row | list[Problem]:
    if len(cells) != len(header):
        return [_problem(line, None, f"it has {len(cells)} cells, not {len(header)}", "fill in every column")]
    return _read_row(dict(zip(header, cells, strict=True)), line, folder)


def _read_row(given: Mapping[str, str], line: int, folder: Path) -> Row | list[Problem]:
    """Return the row, or what is wrong with it."""
    found: list[Problem] = []
    values: dict[str, object] = {}
    kind = given["kind"]
    if kind not in KINDS:
        found.append(_problem(line, "kind", f"{kind!r} is no kind", f"write {', '.join(KINDS)}"))
    for name, text in given.items():
        if name == "kind" or (text == "" and name != "subject"):
            continue
        if kind in KINDS and name not in {"subject", *KINDS[kind]}:
            found.append(_problem(line, name, f"a {kind} row takes no {name}", "leave it empty"))
            continue
        try:
            values[name] = _READERS[name](text, folder)
        except _CellError as error:
            found.append(_problem(line, name, error.message, error.fix))
    if kind == "token" and not given.get("public_key"):
        found.append(_problem(line, "public_key", "the public key is missing", "name its PEM file"))
    if kind == "totp" and given.get("seed") and "serial" not in values:
        found.append(_problem(line, "serial", "a seed that is given needs a serial", "name the device, or what had it"))
    return found or _row(line, kind, values)


def _row(line: int, kind: str, values: Mapping[str, object]) -> Row:
    serial, seed, public_jwk = values.get("serial"), values.get("seed"), values.get("public_key")
    return Row(
        line=line,
        subject=str(values["subject"]),
        kind=kind,
        serial=serial if isinstance(serial, str) else None,
        seed=seed if isinstance(seed, bytes) else None,
        public_jwk=public_jwk if isinstance(public_jwk, dict) else None,
    )


class _CellError(Exception):
    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix


def _subject(text: str, _folder: Path) -> str:
    try:
        check_subject(text)
    except CredentialError as error:
        raise _CellError("it is empty, too long or has control characters", "use the application's own id") from error
    if text != text.strip():
        raise _CellError("it begins or ends with white space", "remove that")
    return text


def _serial(text: str, _folder: Path) -> str:
    if _SERIAL.fullmatch(text) is None:
        raise _CellError("it is no serial number", "write up to 64 letters, digits and . _ : / -")
    return text


def _seed(text: str, _folder: Path) -> bytes:
    """Return the seed; its text is never repeated."""
    bare = text.rstrip("=")
    padded = bare + "=" * (-len(bare) % _BASE32_GROUP)
    if _SEED.fullmatch(text) is None or text not in {bare, padded}:
        raise _CellError("it is no base32", "write A to Z and 2 to 7, without spaces (RFC 4648 section 6)")
    try:
        seed = base64.b32decode(padded)
    except ValueError:
        raise _CellError("it is no base32", "a character is missing at its end") from None
    if base64.b32encode(seed) != padded.encode():
        raise _CellError("its last character has bits that mean nothing", "check for a mistake in copying")
    if not MIN_TOTP_SEED_BYTES <= len(seed) <= _MAX_SEED_BYTES:
        raise _CellError(
            f"it has {len(seed) * 8} bits", f"a seed has {MIN_TOTP_SEED_BYTES * 8} to {_MAX_SEED_BYTES * 8} bits"
        )
    return seed


def _public_key(text: str, folder: Path) -> dict[str, str]:
    try:
        return checked_key(encoding.public_jwk((folder / text).read_text("ascii")))
    except (OSError, UnicodeDecodeError) as error:
        raise _CellError(f"the file {text!r} cannot be read", "name a PEM file, relative to this one") from error
    except (ProvisionerError, CredentialError, ValueError) as error:
        raise _CellError(f"{text!r} holds no P-256 public key", "write it as PEM (PUBLIC KEY)") from error


_READERS: Mapping[str, Callable[[str, Path], object]] = {
    "subject": _subject,
    "serial": _serial,
    "seed": _seed,
    "public_key": _public_key,
}


def _problem(line: int, column: str | None, message: str, fix: str) -> Problem:
    return Problem(line=line, column=column, message=message, fix=fix)
