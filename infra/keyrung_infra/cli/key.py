"""`keyrung key`: the keys of this project, and whether they are what they should be. One file per subject."""

from keyrung_infra.cli.main import LazyGroup

_STATE = "keyrung_infra.cli.key_state"
_COMMANDS = {
    "list": ("keyrung_infra.cli.key_list", "Show every key: state, age, and when its rotation is due."),
    "verify": ("keyrung_infra.cli.key_verify", "Compare a key in its store with its declaration and its evidence."),
    "drift": ("keyrung_infra.cli.key_drift", "Compare the inventory with what the stores hold."),
    "evidence": ("keyrung_infra.cli.key_evidence", "Write the signed evidence of how a key was made."),
    "suspend": (f"{_STATE}:suspend", "Stop every use of a key for now."),
    "resume": (f"{_STATE}:resume", "Use a suspended key again."),
    "deactivate": (f"{_STATE}:deactivate", "End a key's use: from now on it only verifies and decrypts."),
    "compromise": (f"{_STATE}:compromise", "Say that a key may be in other hands: nothing uses it any more."),
    "conformance": ("keyrung_infra.cli.key_conformance", "Put a vault through what every back end must pass."),
}

command = LazyGroup(table=_COMMANDS, name="key", help="List keys, prove them, and end or suspend their use.")
