"""How long a key may be in use, and when its rotation is due (NIST SP 800-57 part 1 revision 5, section 5.3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from keyrung_provisioners.api import Purpose

# The originator-usage periods of table 1 there: a private signature key 1 to 3 years, a symmetric data-encryption or
# key-wrapping key up to 2 years, a private authentication key 1 to 2 years. The key that is used most has the shortest.
DEFAULT_DAYS: Mapping[Purpose, int] = {
    Purpose.ASSERTION_SIGNING: 365,
    Purpose.POLICY_SIGNING: 730,
    Purpose.AUDIT_SIGNING: 1095,
    Purpose.CREDENTIAL_SEED: 730,
    Purpose.KEK: 730,
    Purpose.USER_CREDENTIAL: 730,
}
# The last tenth of the period is for the rotation itself, which must begin before the end.
_LEAD = 0.1


class Rotation(StrEnum):
    """What a key's cryptoperiod asks for now."""

    LATER = "later"
    DUE = "due"  # in the last tenth of its period
    OVERDUE = "overdue"  # used for longer than its period


@dataclass(frozen=True, slots=True, kw_only=True)
class Cryptoperiod:
    """The time in which a key may be used, from its first use on."""

    begins_at: datetime
    days: int

    @property
    def ends_at(self) -> datetime:
        """When the key must no longer be in use."""
        return self.begins_at + timedelta(days=self.days)

    def rotation(self, now: datetime) -> Rotation:
        """Return what the period asks for at ``now``."""
        if now >= self.ends_at:
            return Rotation.OVERDUE
        return Rotation.DUE if self.ends_at - now <= timedelta(days=self.days) * _LEAD else Rotation.LATER
