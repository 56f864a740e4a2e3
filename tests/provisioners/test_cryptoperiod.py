"""How long a key may be in use: SP 800-57 part 1 revision 5, section 5.3.6, table 1."""

from datetime import UTC, datetime, timedelta

import pytest

from keyrung_provisioners.api import Purpose
from keyrung_provisioners.cryptoperiod import DEFAULT_DAYS, Cryptoperiod, Rotation

_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
# Years that the table recommends as the longest originator-usage period of such a key.
_LONGEST_YEARS = {
    Purpose.ASSERTION_SIGNING: 3,
    Purpose.POLICY_SIGNING: 3,
    Purpose.AUDIT_SIGNING: 3,
    Purpose.CREDENTIAL_SEED: 2,
    Purpose.KEK: 2,
    Purpose.USER_CREDENTIAL: 2,
}


@pytest.mark.parametrize("purpose", Purpose)
def test_every_purpose_has_a_default_within_the_recommendation(purpose: Purpose) -> None:
    assert 0 < DEFAULT_DAYS[purpose] <= _LONGEST_YEARS[purpose] * 365


@pytest.mark.parametrize(
    ("after_days", "expected"),
    [
        (0, Rotation.LATER),
        (89.9, Rotation.LATER),
        (90, Rotation.DUE),
        (99.9, Rotation.DUE),
        (100, Rotation.OVERDUE),
        (1000, Rotation.OVERDUE),
    ],
)
def test_rotation_is_due_before_the_end_and_overdue_from_the_end_on(after_days: float, expected: Rotation) -> None:
    period = Cryptoperiod(begins_at=_BEGIN, days=100)
    assert period.rotation(_BEGIN + timedelta(days=after_days)) is expected
