"""The import file: whatever is wrong is told at its line and column, all at once, and never with a seed."""

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from support.project import REPOSITORY

from keyrung_infra.credentials.csv_file import ImportRefusedError, Problem, Row, read_rows
from keyrung_infra.errors import InfraError

SEED = base64.b32encode(bytes(range(20))).decode()


def _read(tmp_path: Path, text: str | bytes) -> tuple[list[Row], list[Problem]]:
    file = tmp_path / "people.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_rows(file)


def _problems(tmp_path: Path, text: str | bytes) -> list[tuple[int, str | None]]:
    return [(problem.line, problem.column) for problem in _read(tmp_path, text)[1]]


def _pem(tmp_path: Path, name: str = "key.pem", curve: ec.EllipticCurve | None = None) -> str:
    public = ec.generate_private_key(curve or ec.SECP256R1()).public_key()
    (tmp_path / name).write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return name


def test_each_kind_is_read_with_what_it_takes(tmp_path: Path) -> None:
    text = (
        "subject,kind,serial,seed,public_key\r\n"
        "alice,totp,,,\r\n"
        f"bob,totp,HW-1,{SEED},\r\n"
        f"carol,token,YK-7,,{_pem(tmp_path)}\r\n"
        '"Doe, Jane",webauthn,,,\r\n'
    )
    rows, problems = _read(tmp_path, text)
    assert problems == []
    assert [(row.line, row.subject, row.kind, row.serial) for row in rows] == [
        (2, "alice", "totp", None),
        (3, "bob", "totp", "HW-1"),
        (4, "carol", "token", "YK-7"),
        (5, "Doe, Jane", "webauthn", None),
    ]
    assert [row.seed for row in rows] == [None, bytes(range(20)), None, None]
    assert rows[2].public_jwk is not None
    assert rows[2].public_jwk["crv"] == "P-256"


def test_the_example_in_the_readme_is_read(tmp_path: Path) -> None:
    text = (REPOSITORY / "provisioners" / "README.md").read_text()
    example = text.partition("```csv\n")[2].partition("```")[0]
    _pem(tmp_path, "carol.pem")
    rows, problems = _read(tmp_path, example)
    assert problems == []
    assert [row.kind for row in rows] == ["totp", "totp", "token", "webauthn"]


def test_what_spreadsheets_write_is_read(tmp_path: Path) -> None:
    rows, problems = _read(tmp_path, b"\xef\xbb\xbfkind,subject\r\ntotp,alice\r\n\r\ntotp,bob")
    assert problems == []
    assert [(row.line, row.subject) for row in rows] == [(2, "alice"), (4, "bob")]


def test_every_mistake_is_told_in_one_run(tmp_path: Path) -> None:
    _pem(tmp_path, "p521.pem", ec.SECP521R1())
    text = (
        "subject,kind,serial,seed,public_key\n"
        ",totp,,,\n"
        " alice,totp,,,\n"
        "bob,sms,,,\n"
        "carol,totp,-7,,\n"
        "dave,totp,D1,12345678,\n"
        "erin,totp,E1,JBSWY3DPEHPK3PXP,\n"
        f"frank,totp,,{SEED},\n"
        f"grace,token,,{SEED},\n"
        "gina,totp,,ABC,\n"
        "heidi,token,,,absent.pem\n"
        "ivan,token,,,p521.pem\n"
        "judy,webauthn,J1,,\n"
        "mallory,totp\n"
    )
    assert _problems(tmp_path, text) == [
        (2, "subject"),
        (3, "subject"),
        (4, "kind"),
        (5, "serial"),
        (6, "seed"),
        (7, "seed"),
        (8, "serial"),
        (9, "seed"),
        (9, "public_key"),
        (10, "seed"),
        (10, "serial"),
        (11, "public_key"),
        (12, "public_key"),
        (13, "serial"),
        (14, None),
    ]


@pytest.mark.parametrize(
    "seed",
    [
        SEED.lower(),
        SEED[:16] + " " + SEED[16:],
        SEED + "=",
        SEED[:-2],
        "A" * 33,
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAB======",  # bits that mean nothing
        "A" * 24,  # 120 bits
        "A" * 112,  # 560 bits
        "\uff21" * 32,
        "0x" + "00" * 20,
    ],
)
def test_a_seed_that_is_not_exactly_base32_of_a_good_length_is_refused_and_not_repeated(
    tmp_path: Path, seed: str
) -> None:
    rows, problems = _read(tmp_path, f"subject,kind,serial,seed\nalice,totp,S1,{seed}\n")
    assert rows == []
    assert [(problem.line, problem.column) for problem in problems] == [(2, "seed")]
    assert seed not in str(ImportRefusedError(tmp_path, problems))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [(1, None)]),
        ("\n\n", [(1, None)]),
        ("subject;kind\nalice;totp\n", [(1, "subject;kind"), (1, "subject"), (1, "kind")]),
        ("subject,kind,pin\nalice,totp,1\n", [(1, "pin")]),
        ("subject,kind,subject\nalice,totp,bob\n", [(1, "subject")]),
        ("subject\nalice\n", [(1, "kind")]),
        ('subject,kind\nalice,totp\n"bob,totp\n', [(3, None)]),
        ('subject,kind\n"a"b,totp\n', [(2, None)]),
        ('subject,kind\n"a\nb",totp\n', [(3, "subject")]),
        ("subject,kind\na\x00b,totp\n", [(2, "subject")]),
        ("subject,kind\na\x1bb,totp\n", [(2, "subject")]),
        (f"subject,kind\n{'a' * 257},totp\n", [(2, "subject")]),
        (f"subject,kind\n{'a' * 200_000},totp\n", [(2, None)]),
    ],
)
def test_what_is_no_such_file_is_told_where(tmp_path: Path, text: str, expected: list[tuple[int, str | None]]) -> None:
    assert _problems(tmp_path, text) == expected


def test_a_file_in_another_encoding_or_absent_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="not UTF-8"):
        _read(tmp_path, "subject,kind\nJürgen,totp\n".encode("latin-1"))
    with pytest.raises(OSError, match="No such file"):
        read_rows(tmp_path / "absent.csv")


@given(text=st.text(alphabet=st.sampled_from('subject,kind\n\r"totp;=\x00 a\u2028'), max_size=200))
def test_no_text_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "any.csv"
    file.write_text(text, "utf-8", newline="")
    rows, problems = read_rows(file)
    assert all(row.subject and row.kind in {"totp", "token", "webauthn"} for row in rows)
    assert all(problem.fix for problem in problems)
