"""Asking whether a source answers at all, before time is spent on it."""

from __future__ import annotations

import http.client
import threading
import urllib.error
import urllib.request

from .errors import UnreachableError

GIVE_UP_SECONDS = 10.0


def require_reachable(url: str, *, timeout_seconds: float = GIVE_UP_SECONDS) -> None:
    """Return when the server of `url` answers, whatever it answers short of "not here".

    The request runs in a thread because a resolver that hangs obeys no socket timeout.

    Raises:
        UnreachableError: No answer within the time, or the answer is that there is no such thing.
    """
    problems: list[str] = ["no answer"]
    worker = threading.Thread(target=_ask, args=(url, timeout_seconds, problems), daemon=True)
    worker.start()
    worker.join(timeout_seconds)
    if problems:
        raise UnreachableError(f"{url} can't be reached ({problems[-1]}).")


def _ask(url: str, timeout_seconds: float, problems: list[str]) -> None:
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - the callers pass https addresses of their own
    try:
        with urllib.request.urlopen(request, timeout=timeout_seconds):  # noqa: S310
            problems.clear()
    except urllib.error.HTTPError as error:
        if error.code in {http.client.UNAUTHORIZED, http.client.METHOD_NOT_ALLOWED}:
            problems.clear()  # the real client has the credentials or the method that this question lacks
        else:
            problems.append(f"HTTP status {error.code}")
    except (OSError, http.client.HTTPException, ValueError) as error:
        problems.append(str(getattr(error, "reason", error)))
