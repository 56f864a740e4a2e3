"""A program that looks at, or makes, one SoftHSM token. Run as a script of its own: PINs come by standard input.

A child process, because a process can initialise a PKCS#11 library only once and other code may have done so with
another configuration. Own calls, because `softhsm2-util` takes PINs on its command line, where all users of the machine
can read them, or asks a terminal. Imports nothing of ours, so that it starts without the site packages.

Input: {"module", "label", "make": true|false, "pin", "so_pin"}; the last two only with "make".
Output: {"state": "absent"|"without_pin"|"ready", "version"} or {"error"}.
"""

import ctypes
import json
import sys
from ctypes import byref, c_char, c_ubyte, c_ulong

# PKCS#11 2.40, sections 3.2, 3.3 and the header file of section 1.
_CKF_RW_SESSION, _CKF_SERIAL_SESSION = 0x2, 0x4
_CKF_USER_PIN_INITIALIZED, _CKF_TOKEN_INITIALIZED = 0x8, 0x400
_CKU_SO = 0


class _Version(ctypes.Structure):
    _fields_ = (("major", c_ubyte), ("minor", c_ubyte))


class _Info(ctypes.Structure):
    _fields_ = (
        ("cryptoki_version", _Version),
        ("manufacturer_id", c_char * 32),
        ("flags", c_ulong),
        ("library_description", c_char * 32),
        ("library_version", _Version),
    )


class _TokenInfo(ctypes.Structure):
    _fields_ = (
        ("label", c_char * 32),
        ("manufacturer_id", c_char * 32),
        ("model", c_char * 16),
        ("serial_number", c_char * 16),
        ("flags", c_ulong),
        ("counts_and_sizes", c_ulong * 10),
        ("hardware_version", _Version),
        ("firmware_version", _Version),
        ("utc_time", c_char * 16),
    )


class CallError(Exception):
    """A PKCS#11 function returned an error."""


class Module:
    """The few functions of a PKCS#11 module that are needed here."""

    def __init__(self, path: str) -> None:
        """Load and initialise the module at ``path``."""
        self._library = ctypes.CDLL(path)
        self._call("C_Initialize", None)

    def version(self) -> str:
        """Return the library's version."""
        info = _Info()
        self._call("C_GetInfo", byref(info))
        return f"{info.library_version.major}.{info.library_version.minor}"

    def slots(self) -> list[int]:
        """Return the slots that hold a token, the blank one included."""
        count = c_ulong()
        self._call("C_GetSlotList", c_ubyte(1), None, byref(count))
        found = (c_ulong * count.value)()
        self._call("C_GetSlotList", c_ubyte(1), found, byref(count))
        return list(found)

    def token(self, slot: int) -> tuple[str, int]:
        """Return the label and the flags of the token in ``slot``."""
        info = _TokenInfo()
        self._call("C_GetTokenInfo", c_ulong(slot), byref(info))
        return info.label.decode("utf-8", "replace").rstrip(" "), info.flags

    def initialise_token(self, slot: int, label: str, so_pin: bytes) -> None:
        """Make the blank token in ``slot`` one of ours."""
        padded = label.encode().ljust(32, b" ")
        self._call("C_InitToken", c_ulong(slot), so_pin, c_ulong(len(so_pin)), padded)

    def initialise_pin(self, slot: int, so_pin: bytes, pin: bytes) -> None:
        """Set the user PIN, as the security officer."""
        session = c_ulong()
        flags = c_ulong(_CKF_RW_SESSION | _CKF_SERIAL_SESSION)
        self._call("C_OpenSession", c_ulong(slot), flags, None, None, byref(session))
        self._call("C_Login", session, c_ulong(_CKU_SO), so_pin, c_ulong(len(so_pin)))
        self._call("C_InitPIN", session, pin, c_ulong(len(pin)))
        self._call("C_CloseSession", session)

    def close(self) -> None:
        """Leave the module; closes its sessions too."""
        self._call("C_Finalize", None)

    def _call(self, name: str, *arguments: object) -> None:
        function = getattr(self._library, name)
        function.restype = c_ulong
        status = function(*arguments)
        if status != 0:
            raise CallError(f"{name} returned 0x{status:08x}")


def run(request: dict[str, object]) -> dict[str, str]:
    """Return the token's state, after making it if asked to."""
    module, label = Module(str(request["module"])), str(request["label"])
    try:
        tokens = {slot: module.token(slot) for slot in module.slots()}
        ours = [slot for slot, (name, flags) in tokens.items() if name == label and flags & _CKF_TOKEN_INITIALIZED]
        if len(ours) > 1:
            return {"error": f"there are {len(ours)} tokens labelled {label}"}
        state = "absent"
        if ours:
            state = "ready" if tokens[ours[0]][1] & _CKF_USER_PIN_INITIALIZED else "without_pin"
        if request["make"] and state != "ready":
            blank = [slot for slot, (_, flags) in tokens.items() if not flags & _CKF_TOKEN_INITIALIZED]
            so_pin, pin = str(request["so_pin"]).encode(), str(request["pin"]).encode()
            if state == "absent":
                module.initialise_token(blank[0], label, so_pin)
            module.initialise_pin(ours[0] if ours else blank[0], so_pin, pin)
            state = "ready"
        return {"state": state, "version": module.version()}
    finally:
        module.close()


def main() -> None:
    """Answer the request on standard input."""
    try:
        answer = run(json.load(sys.stdin))
    except (CallError, OSError, AttributeError) as error:  # the last two: not a PKCS#11 library
        answer = {"error": str(error)}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
