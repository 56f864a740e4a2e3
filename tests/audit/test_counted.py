"""The record that stands for refusals without one of their own: its numbers are added up, and its form is checked."""

import pytest
from support.audit_log import AuditKey, Log, chain, plain_changes, signed_log

TIMES: dict[str, object] = {"since": "2026-11-25T01:00:00.000000Z", "until": "2026-11-25T01:01:00.000000Z"}


def log_with(*details: dict[str, object]) -> Log:
    key = AuditKey("ES256")
    records = [{"event": "refusals.counted", "outcome": "refused", "detail": detail} for detail in details]
    return signed_log(key, chain(plain_changes(key, 6) + records))


def test_the_numbers_of_all_such_records_are_added_up() -> None:
    first = TIMES | {"caller.refused unknown_client": "9990", "challenge.answered unknown": "10"}
    report = log_with(first, TIMES | {"challenge.answered unknown": "5"}).check()

    assert report.ok
    assert report.counted_refusals_count == 10_005
    assert report.to_json()["counted_refusals"] == 10_005


@pytest.mark.parametrize(
    "detail",
    [
        {},
        TIMES,
        {"caller.refused unknown_client": "3"},
        TIMES | {"since": "yesterday", "caller.refused unknown_client": "3"},
        TIMES | {"caller.refused unknown_client": 3},
        TIMES | {"caller.refused unknown_client": "0"},
        TIMES | {"caller.refused unknown_client": "-3"},
        TIMES | {"caller.refused unknown_client": "3 000"},
        TIMES | {"caller.refused": "3"},
        TIMES | {"no.event unknown_client": "3"},
        TIMES | {"caller.refused <b>": "3"},
        TIMES | {"caller.refused unknown_client": "3", "token": "secret"},
    ],
)
def test_a_record_that_counts_in_another_form_is_found(detail: dict[str, object]) -> None:
    report = log_with(detail).check()

    assert [finding.code for finding in report.findings] == ["bad-count"]
    assert report.counted_refusals_count == 0
