"""`keyrung credential list` for people: a line for each, in a window of 100 columns, with an id that can be copied."""

from dataclasses import replace

from keyrung_infra.cli.credential_list import listed_lines
from keyrung_infra.credentials.listing import Listed
from keyrung_verifier.limits import MAX_FAILURES

_NOW_SECONDS = 1_900_000_000
_COLUMNS = 100
_APP = Listed(
    credential_id="Q" * 22,  # 128 random bits in base64url
    subject="beat@example.org",
    kind="totp",
    factor="totp",
    state="active",
    failures=MAX_FAILURES - 1,
    created_at_seconds=_NOW_SECONDS - 1000 * 86_400,
    last_used_at_seconds=_NOW_SECONDS - 7200,
    sealed_by="transit:mount=keyrung;name=credential-seed-local",
    generation=2,
)
_TOKEN = Listed(
    credential_id="T" * 22,
    subject="bo",
    kind="token",
    factor="token-signature",
    state="active",
    serial="0123456789abcdef",  # PKCS#11, CK_TOKEN_INFO: 16 characters
    created_at_seconds=_NOW_SECONDS - 50 * 60,
)


def test_a_line_fits_100_columns_and_says_all_that_a_person_asks_for() -> None:
    header, app, token = listed_lines([_APP, _TOKEN], now_seconds=_NOW_SECONDS)

    assert max(map(len, (header, app, token))) <= _COLUMNS
    assert app.split("  ")[0] == _APP.credential_id
    for said in ("active, 9 failed", "totp", "1000 d", "2 h", "generation 2", "beat@example.org"):
        assert f"  {said}" in app
    assert token.split() == [_TOKEN.credential_id, "active", "token", "50", "min", "-", _TOKEN.serial, "bo"]


def test_who_is_locked_has_failed_too_often_and_no_number_says_so_again() -> None:
    locked = replace(_APP, state="locked", failures=MAX_FAILURES)

    _, line = listed_lines([locked], now_seconds=_NOW_SECONDS)

    assert line.split("  ")[1] == "locked"
