"""The six states of SP 800-57 and the only ways between them."""

import pytest

from keyrung_provisioners.errors import KeyRefusedError
from keyrung_provisioners.states import KeyState, check_transition

_ALLOWED = {
    ("pre-activation", "active"),
    ("pre-activation", "compromised"),
    ("pre-activation", "destroyed"),
    ("active", "suspended"),
    ("active", "deactivated"),
    ("active", "compromised"),
    ("active", "destroyed"),
    ("suspended", "active"),
    ("suspended", "deactivated"),
    ("suspended", "compromised"),
    ("suspended", "destroyed"),
    ("deactivated", "compromised"),
    ("deactivated", "destroyed"),
    ("compromised", "destroyed"),
}


@pytest.mark.parametrize("current", list(KeyState))
@pytest.mark.parametrize("target", list(KeyState))
def test_only_the_listed_transitions_are_allowed(current: KeyState, target: KeyState) -> None:
    if (current.value, target.value) in _ALLOWED:
        check_transition(current, target)
    else:
        with pytest.raises(KeyRefusedError, match="cannot become"):
            check_transition(current, target)
