"""One logged-in session to a PKCS#11 token, kept alive through lost sessions and forks.

python-pkcs11 initialises a module without telling it about threads, so all calls of one process go through one lock;
more sessions would gain nothing. The module's own file serves as the lock between processes: some tokens fail logins
that happen at the same moment.
"""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import pkcs11
from pkcs11._pkcs11 import lib
from pkcs11.constants import TokenFlag

from keyrung_provisioners.backends.pkcs11.objects import Pair
from keyrung_provisioners.errors import BackendMissingError, BackendUnavailableError, ProvisionerError

T = TypeVar("T")

_LOGIN_WAIT_SECONDS = 10.0  # many times what a login takes; a stuck process must not block everybody for ever
_lock = threading.RLock()
os.register_at_fork(after_in_child=lambda: globals().__setitem__("_lock", threading.RLock()))

# A session that is gone is opened again once; anything else is an answer.
_SESSION_LOST = (
    pkcs11.SessionHandleInvalid,
    pkcs11.SessionClosed,
    pkcs11.DeviceRemoved,
    pkcs11.TokenNotPresent,
    pkcs11.UserNotLoggedIn,
    pkcs11.ObjectHandleInvalid,
    pkcs11.KeyHandleInvalid,
)


@dataclass(slots=True)
class _Module:
    """A loaded module; ``epoch`` counts its initialisations, each of which ends every session."""

    path: str
    lib: lib
    pid: int
    epoch: int = 0


_modules: dict[str, _Module] = {}


def _module(path: str) -> _Module:
    known = _modules.get(path)
    if known is None:
        if not Path(path).is_file():
            raise BackendMissingError(f"there is no PKCS#11 module at {path}", fix="set pkcs11Module to the module")
        try:
            known = _modules[path] = _Module(path, _in_thread_of_its_own(partial(pkcs11.lib, path)), os.getpid())
        except (pkcs11.PKCS11Error, RuntimeError, OSError) as error:
            raise BackendMissingError(
                f"the PKCS#11 module {path} cannot be loaded", fix="check the module and its configuration"
            ) from error
    if known.pid != os.getpid():  # PKCS#11 3.1, section 5.4: a child process initialises again
        known.pid = os.getpid()
        _reinitialize(known)
    return known


def _in_thread_of_its_own(call: Callable[[], T]) -> T:
    """Return what ``call`` answers, made in a thread that ends with it.

    SoftHSM shares the process's OpenSSL and leaves errors in the calling thread's queue when it initialises. Python's
    ssl module would take such a left-over for an error of its next TLS read in that thread.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(call).result()


def _reinitialize(module: _Module) -> None:
    _in_thread_of_its_own(module.lib.reinitialize)
    module.epoch += 1


@contextmanager
def _alone(path: str) -> Iterator[None]:
    """Hold the module's file against other processes while logging in."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + _LOGIN_WAIT_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise BackendUnavailableError(
                        "another process has been logging in to the token for too long", fix="end it and try again"
                    ) from error
                time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


@dataclass(slots=True)
class TokenSession:
    """The session of this process to the token called ``label``.

    Attributes:
        module_path: The module's shared library.
        label: Token label; a slot number is never used, since it changes.
        pin: Gives the user PIN; asked only when logging in.
        handles: Key pairs found so far, by label; looking one up among many is slow. They end with the session.
    """

    module_path: str
    label: str
    pin: Callable[[], str] = field(repr=False)
    _session: pkcs11.Session | None = field(default=None, repr=False)
    _epoch: int = -1
    _pid: int = 0
    _wrong_pin: bool = False
    handles: dict[str, Pair] = field(default_factory=dict, repr=False)

    def run(self, operation: Callable[[pkcs11.Session], T]) -> T:
        """Return ``operation(session)``; once again with a new session if the first was lost.

        Raises:
            BackendUnavailableError: If the token is not there, refuses the login, or fails otherwise.
        """
        with _lock:
            try:
                try:
                    return operation(self._open())
                except _SESSION_LOST:
                    self._drop()
                    return operation(self._open())
            except pkcs11.PKCS11Error as error:
                raise BackendUnavailableError(
                    f"the token {self.label!r} answered {type(error).__name__}", fix="check the token and its log"
                ) from error

    def token(self) -> pkcs11.Token:
        """Return the token without logging in."""
        with _lock:
            return self._token(_module(self.module_path))

    def _open(self) -> pkcs11.Session:
        module = _module(self.module_path)
        if self._session is not None and self._epoch == module.epoch and self._pid == os.getpid():
            return self._session
        self._session = None
        self.handles.clear()
        token = self._token(module)
        with _alone(self.module_path):
            self._session = self._login(token)
        self._epoch, self._pid = module.epoch, os.getpid()
        return self._session

    def _token(self, module: _Module) -> pkcs11.Token:
        try:
            return _find(module, self.label)
        except pkcs11.NoSuchToken:
            _reinitialize(module)  # tokens that were added since are listed only now
        try:
            return _find(module, self.label)
        except pkcs11.PKCS11Error as error:
            raise BackendUnavailableError(
                f"there is no single PKCS#11 token labelled {self.label!r}",
                fix='initialise it, or set SOFTHSM2_CONF (locally: keyrung dev up, then eval "$(keyrung dev env)")',
                token=self.label,
            ) from error

    def _login(self, token: pkcs11.Token) -> pkcs11.Session:
        """Log in, trying a PIN once: a wrong one is never sent a second time, so it cannot lock the token."""
        if self._wrong_pin:
            raise self._pin_error()
        if token.flags & (TokenFlag.USER_PIN_LOCKED | TokenFlag.USER_PIN_FINAL_TRY):
            raise BackendUnavailableError(
                f"the token {self.label!r} has no PIN tries to spare", fix="log in by hand with the right PIN first"
            )
        try:
            return token.open(rw=True, user_pin=self.pin())
        except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange) as error:
            self._wrong_pin = True
            raise self._pin_error() from error

    def _pin_error(self) -> ProvisionerError:
        return BackendUnavailableError(
            f"the token {self.label!r} refused the PIN",
            fix="correct the file that pkcs11Pin refers to; no retry is made",
        )

    def _drop(self) -> None:
        self.handles.clear()
        if self._session is not None:
            with suppress(pkcs11.PKCS11Error):  # it may be lost already; the new session replaces it
                self._session.close()
        self._session = None


def _find(module: _Module, label: str) -> pkcs11.Token:
    token: pkcs11.Token = module.lib.get_token(token_label=label)
    return token
