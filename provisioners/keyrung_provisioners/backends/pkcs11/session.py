"""One logged-in session of a process to a PKCS#11 token, kept alive through lost sessions and forks.

python-pkcs11 initialises a module without telling it about threads, so all calls of one process go through one lock;
more sessions would gain nothing. A login counts for the whole process (PKCS#11 3.1, section 5.6.8), so there is one
session for each token, whoever asks. The module's own file serves as the lock between processes: some tokens fail
logins that happen at the same moment.
"""

import fcntl
import hashlib
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
from keyrung_provisioners.backends.pkcs11.secret_keys import Secret
from keyrung_provisioners.errors import BackendMissingError, BackendUnavailableError

T = TypeVar("T")

_LOGIN_WAIT_SECONDS = 10.0  # many times what a login takes; a stuck process must not block everybody for ever
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
_PIN_WRONG = (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange)

_lock = threading.RLock()


def _before_fork() -> None:
    """Let no fork happen in the middle of a call to a module: the child would inherit its state half changed."""
    _lock.acquire()


def _after_fork_in_parent() -> None:
    _lock.release()


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603 - the holder was a thread of the parent
    _lock = threading.RLock()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


@dataclass(slots=True)
class _Module:
    """A loaded module; ``epoch`` counts its initialisations, each of which ends every session."""

    path: str
    lib: lib
    pid: int
    epoch: int = 0


@dataclass(slots=True)
class _Login:
    """What this process has of one token.

    Attributes:
        epoch: The module's when the session was opened.
        handles: Keys found so far, by label; they end with the session.
        refused_pins: Digests of the PINs that the token refused.
    """

    session: pkcs11.Session | None = None
    epoch: int = -1
    handles: dict[str, Pair | Secret] = field(default_factory=dict)
    refused_pins: set[bytes] = field(default_factory=set, repr=False)

    def drop(self) -> None:
        """Forget the session and all that was found through it."""
        self.handles.clear()
        if self.session is not None:
            with suppress(pkcs11.PKCS11Error):  # it may be lost already; the next one replaces it
                self.session.close()
        self.session = None


_modules: dict[str, _Module] = {}
_logins: dict[tuple[str, str], _Login] = {}


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
    # PKCS#11 3.1, section 5.4: a child process initialises again; so do we after other code has finalised it.
    if known.pid != os.getpid() or not known.lib.initialized:
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
    module.epoch += 1
    _in_thread_of_its_own(module.lib.reinitialize)


@contextmanager
def _alone(path: str) -> Iterator[None]:
    """Hold the module's file against other processes while logging in."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise BackendMissingError(f"the PKCS#11 module {path} is gone", fix="set pkcs11Module to the module") from error
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
    """The way to the token called ``label``.

    Attributes:
        module_path: The module's shared library.
        label: Token label; a slot number is never used, since it changes.
        pin: Gives the user PIN; asked only when logging in.
    """

    module_path: str
    label: str
    pin: Callable[[], str] = field(repr=False)
    _login: _Login = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._login = _logins.setdefault((self.module_path, self.label), _Login())

    @property
    def handles(self) -> dict[str, Pair | Secret]:
        """Keys found so far, by label, for use inside `run`: looking one up among many is slow."""
        return self._login.handles

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
                    self._login.drop()
                    return operation(self._open())
            except pkcs11.PKCS11Error as error:
                raise self._unavailable(error) from error

    def token(self) -> pkcs11.Token:
        """Return the token without logging in."""
        with _lock:
            try:
                return self._token(_module(self.module_path))
            except pkcs11.PKCS11Error as error:
                raise self._unavailable(error) from error

    def _unavailable(self, error: pkcs11.PKCS11Error) -> BackendUnavailableError:
        if isinstance(error, pkcs11.MultipleTokensReturned):
            return BackendUnavailableError(
                f"more than one PKCS#11 token is labelled {self.label!r}", fix="give each a label of its own"
            )
        return BackendUnavailableError(
            f"the token {self.label!r} answered {type(error).__name__}", fix="check the token and its log"
        )

    def _open(self) -> pkcs11.Session:
        module, login = _module(self.module_path), self._login
        if login.session is not None and login.epoch == module.epoch:
            return login.session
        login.session = None  # of an earlier initialisation, so there is nothing to close
        login.handles.clear()
        with _alone(self.module_path):  # finding the token can fail as well while another process logs in
            login.session = self._log_in(self._token(module))
        login.epoch = module.epoch
        return login.session

    def _token(self, module: _Module) -> pkcs11.Token:
        try:
            return _find(module, self.label)
        except (pkcs11.NoSuchToken, pkcs11.GeneralError):  # SoftHSM answers the second once a listed token is gone
            _reinitialize(module)  # tokens that were added since are listed only now
        try:
            return _find(module, self.label)
        except pkcs11.NoSuchToken as error:
            raise BackendUnavailableError(
                f"there is no PKCS#11 token labelled {self.label!r}",
                fix='initialise it, or set SOFTHSM2_CONF (locally: keyrung dev up, then eval "$(keyrung dev env)")',
                token=self.label,
            ) from error

    def _log_in(self, token: pkcs11.Token) -> pkcs11.Session:
        """Log in, trying a PIN once: a wrong one is never sent a second time, so it cannot lock the token."""
        if token.flags & (TokenFlag.USER_PIN_LOCKED | TokenFlag.USER_PIN_FINAL_TRY):
            raise BackendUnavailableError(
                f"the token {self.label!r} has no PIN tries to spare", fix="log in by hand with the right PIN first"
            )
        pin = self.pin()
        digest = hashlib.sha256(pin.encode()).digest()
        if digest in self._login.refused_pins:
            raise self._pin_refused()
        try:
            return token.open(rw=True, user_pin=pin)
        except _PIN_WRONG as error:
            self._login.refused_pins.add(digest)
            raise self._pin_refused() from error
        except pkcs11.UserAlreadyLoggedIn:  # other code of this process uses the token too
            return token.open(rw=True)

    def _pin_refused(self) -> BackendUnavailableError:
        return BackendUnavailableError(
            f"the token {self.label!r} refused the PIN",
            fix="correct the file that pkcs11Pin refers to; this PIN is not tried again",
        )


def _find(module: _Module, label: str) -> pkcs11.Token:
    token: pkcs11.Token = module.lib.get_token(token_label=label)
    return token
