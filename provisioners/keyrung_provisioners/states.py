"""The life of a key: six states and the transitions between them (NIST SP 800-57 part 1, section 7)."""

from enum import StrEnum

from keyrung_provisioners.errors import KeyRefusedError


class KeyState(StrEnum):
    """States of SP 800-57 part 1, section 7."""

    PRE_ACTIVATION = "pre-activation"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    DEACTIVATED = "deactivated"
    COMPROMISED = "compromised"
    DESTROYED = "destroyed"


_ALLOWED = {
    KeyState.PRE_ACTIVATION: {KeyState.ACTIVE, KeyState.COMPROMISED, KeyState.DESTROYED},
    KeyState.ACTIVE: {KeyState.SUSPENDED, KeyState.DEACTIVATED, KeyState.COMPROMISED, KeyState.DESTROYED},
    KeyState.SUSPENDED: {KeyState.ACTIVE, KeyState.DEACTIVATED, KeyState.COMPROMISED, KeyState.DESTROYED},
    KeyState.DEACTIVATED: {KeyState.COMPROMISED, KeyState.DESTROYED},
    KeyState.COMPROMISED: {KeyState.DESTROYED},
    KeyState.DESTROYED: set[KeyState](),
}


def check_transition(current: KeyState, target: KeyState) -> None:
    """Raise `KeyRefusedError` unless a key may go from ``current`` to ``target``."""
    if target not in _ALLOWED[current]:
        allowed = ", ".join(sorted(_ALLOWED[current])) or "no other state"
        raise KeyRefusedError(
            f"a key that is {current} cannot become {target}", fix=f"from here it can become {allowed}", state=current
        )
