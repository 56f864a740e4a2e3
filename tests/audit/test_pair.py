"""Every use of a key in the log is paired with what the log says of that key."""

import pytest
from support.audit_log import AuditKey, chain, key, plain_changes, signed_log


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (key("active", generation=2), "key-never-seen"),
        (key("active", uri="transit:mount=m;name=n"), "key-never-seen"),
        (key("active", thumbprint="another"), "key-differs"),
        (key("deactivated"), "key-not-active"),
    ],
)
def test_a_step_up_with_a_key_that_the_log_does_not_bear_out_is_found(
    audit_key: AuditKey, change: dict[str, object], code: str
) -> None:
    changes = plain_changes(audit_key, 8)
    changes[6] |= {"event": "assertion.issued", "outcome": "success", "key": change}

    report = signed_log(audit_key, chain(changes)).check()

    assert [(finding.code, finding.seq) for finding in report.findings] == [(code, 6)]


@pytest.mark.parametrize("last_life_event", [2, 3])
def test_a_step_up_before_the_key_was_active_is_found(audit_key: AuditKey, last_life_event: int) -> None:
    changes = plain_changes(audit_key, 8)
    del changes[last_life_event:4]

    report = signed_log(audit_key, chain(changes)).check()

    assert {finding.code for finding in report.findings} == {
        "key-never-seen" if last_life_event == 2 else "key-not-active"
    }


@pytest.mark.parametrize("state", ["suspended", "deactivated", "compromised", "destroyed"])
def test_a_step_up_after_the_key_was_taken_out_of_use_is_found(audit_key: AuditKey, state: str) -> None:
    changes = plain_changes(audit_key, 9)
    changes[7] |= {"event": f"key.{state}", "outcome": None, "key": key(state)}
    changes[8] |= {"event": "assertion.issued", "key": key("active")}

    report = signed_log(audit_key, chain(changes)).check()

    assert [(finding.code, finding.seq) for finding in report.findings] == [("key-not-active", 8)]


@pytest.mark.parametrize(
    "named", [{"event": "assertion.issued", "outcome": "refused"}, {"event": "verifier.stopped", "outcome": "success"}]
)
def test_a_record_that_names_a_key_out_of_use_without_using_it_is_no_finding(
    audit_key: AuditKey, named: dict[str, object]
) -> None:
    changes = plain_changes(audit_key, 9)
    changes[7] |= {"event": "key.suspended", "outcome": None, "key": key("suspended")}
    changes[8] |= named | {"key": key("suspended")}

    assert signed_log(audit_key, chain(changes)).check().findings == ()


def test_a_key_that_was_resumed_is_in_use_again(audit_key: AuditKey) -> None:
    changes = plain_changes(audit_key, 10)
    changes[7] |= {"event": "key.suspended", "outcome": None, "key": key("suspended")}
    changes[8] |= {"event": "key.resumed", "outcome": None, "key": key("active")}
    changes[9] |= {"event": "assertion.issued", "outcome": "success", "key": key("active")}

    assert signed_log(audit_key, chain(changes)).check().findings == ()
