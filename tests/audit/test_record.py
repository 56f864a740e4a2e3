"""A line that is not exactly a record is found, even where all is chained and signed."""

from collections.abc import Callable

import pytest
from support.audit_log import AuditKey, chain, plain_changes, record, sha256, signed_log


@pytest.mark.parametrize(
    ("spell", "code"),
    [
        (lambda line: line.replace(b'":', b'": ', 1), "not-canonical"),
        (lambda line: line + b"\r", "not-canonical"),
        (lambda line: b"\xef\xbb\xbf" + line, "not-canonical"),
        (lambda line: line.replace(b'"v":1', b'"v":1.0'), "not-canonical"),
        (lambda line: line.replace(b'"v":1', b'"v":1,"v":1'), "not-canonical"),
        (lambda line: line.replace(b'"v":1', b'"v":NaN'), "not-canonical"),
        (lambda line: line.replace(b'"v":1', b'"v":99999999999999999999'), "not-canonical"),
        (lambda line: line.replace(b'"v":1', b'"v":true'), "bad-value"),
        (lambda line: line.replace(b"access.evaluated", b"access.invented"), "bad-value"),
        (lambda line: line.replace(b'"v":1', b'"v":1,"w":1'), "unknown-member"),
        (lambda line: line.replace(b',"v":1', b""), "missing-member"),
        (lambda line: b"[" * 100_000, "not-canonical"),
        (lambda line: b"", "not-canonical"),
        (lambda line: b'"' + b"a" * 300_000 + b'"', "too-long"),
    ],
)
def test_a_line_of_another_form_is_found_though_all_is_chained_and_signed(
    audit_key: AuditKey, spell: Callable[[bytes], bytes], code: str
) -> None:
    lines = chain(plain_changes(audit_key, 6))
    lines.append(spell(record(6, sha256(lines[-1]))))
    lines.append(record(7, sha256(lines[-1])))

    report = signed_log(audit_key, lines).check()

    assert [(finding.code, finding.line) for finding in report.findings] == [(code, 7)]
