"""Fixed sessions from a file: the part that a real application has already, in its smallest form."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from keyrung_infra.errors import InfraError
from keyrung_verifier.guard.asgi import Session

# Shorter tokens could be guessed; the demo makes them from 256 bits.
_Token = Annotated[str, Meta(min_length=32, max_length=256)]
_Text = Annotated[str, Meta(min_length=1, max_length=256)]
_SCHEME = b"bearer "


class StoredSession(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One session of the file."""

    token: _Token
    subject_id: _Text
    session_id: _Text
    kind: _Text

    def __repr__(self) -> str:
        """Name the subject; the token is a secret."""
        return f"StoredSession({self.subject_id!r})"


def read_sessions(path: Path) -> Callable[[Mapping[str, Any]], Session | None]:
    """Return the guard's `identify` over the sessions of a JSON file."""
    fix = "write a list of sessions, each with token, subject_id, session_id and kind"
    try:
        stored = msgspec.json.decode(path.read_bytes(), type=list[StoredSession])
    except OSError as error:
        raise InfraError(f"{path} cannot be read ({error.strerror})", fix=fix) from error
    except msgspec.MsgspecError:  # its text could quote a token, so it is not kept
        raise InfraError(f"{path} holds no sessions", fix=fix) from None
    # Found by hash, so that comparing takes no time that depends on a token.
    by_hash = {
        _hash(session.token.encode("utf-8")): Session(
            subject_id=session.subject_id, session_id=session.session_id, properties={"kind": session.kind}
        )
        for session in stored
    }

    def identify(scope: Mapping[str, Any]) -> Session | None:
        values = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(values) != 1 or values[0][: len(_SCHEME)].lower() != _SCHEME:
            return None
        return by_hash.get(_hash(values[0][len(_SCHEME) :]))

    return identify


def _hash(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
