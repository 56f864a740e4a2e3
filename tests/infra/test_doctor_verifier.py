"""`keyrung doctor` at an address where something else answers, or answers strangely: a finding, and no traceback."""

import ssl
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from support.verifier import ASSERTION_KEY

from keyrung_infra.doctor.examine import of_verifier
from keyrung_infra.doctor.model import Finding, examine
from keyrung_infra.doctor.verifier import Reached
from keyrung_infra.local.ports import free_ports

_STRANGE = [b"", b"<html>", b"[]", b"{}", b"null", b'{"keys": 1}', b'{"keys": [1]}', b'{"keys": [{"kty": "EC"}]}']
Look = Callable[[Reached], Iterable[Finding]]
# What the deployment says is not reached, so none is given.
_NONE: Any = None


def test_a_verifier_that_is_stopped_is_told_once_and_what_it_would_be_asked_is_no_pass() -> None:
    (port,) = free_ports(1)
    reached = Reached(f"https://localhost:{port}", ssl.create_default_context())

    tls, *others = of_verifier(reached, _NONE, now=datetime.now(UTC))

    (cause,) = tls.findings
    assert f"https://localhost:{port} cannot be reached" in cause.text
    assert "start the verifier" in cause.fix
    told = {check.name: [found.text for found in check.findings] for check in others if check.skipped}
    phrase = "not looked at: the verifier cannot be reached (see tls)"
    assert told == {"clock": [phrase], "key set": [phrase], "policy": [phrase]}


def _look(monkeypatch: pytest.MonkeyPatch, look: Look, answer: httpx.Response) -> list[str]:
    monkeypatch.setattr(httpx.Client, "get", lambda _client, _url: answer)
    reached = Reached("https://verifier.example", ssl.create_default_context())
    return [found.text for found in examine("one", "all is well", lambda: look(reached)).findings]


@pytest.mark.parametrize("body", _STRANGE)
@pytest.mark.parametrize("name", ["keys", "policy"])
def test_an_answer_of_another_form_is_told(monkeypatch: pytest.MonkeyPatch, name: str, body: bytes) -> None:
    looks: dict[str, Look] = {
        "keys": lambda reached: reached.keys(_NONE, ()),
        "policy": lambda reached: reached.policy(_NONE, datetime.now(UTC)),
    }

    (text,) = _look(monkeypatch, looks[name], httpx.Response(200, content=body))

    assert "does not answer as a verifier does" in text


@pytest.mark.parametrize("headers", [{}, {"Date": "tomorrow"}, {"Date": "Thu, 99 Nov 2026 10:00:00 GMT"}])
def test_a_date_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]) -> None:
    look: Look = lambda reached: reached.clock(datetime.now(UTC))  # noqa: E731 - one of several looks

    (text,) = _look(monkeypatch, look, httpx.Response(200, headers=headers))

    assert "does not answer as a verifier does" in text


class _Deployed:
    """A deployment that names these assertion keys as active."""

    def __init__(self, *thumbprints: str) -> None:
        self._keys = [{"thumbprint": thumbprint, "state": "active"} for thumbprint in thumbprints]

    def parsed(self) -> dict[str, Any]:
        return {"assertion_keys": self._keys}


@pytest.mark.parametrize(
    ("withdrawn", "served", "said"),
    [
        ((), True, []),
        ((), False, ["the verifier does not publish"]),
        ((ASSERTION_KEY.key_id,), False, []),
        ((ASSERTION_KEY.key_id,), True, ["the verifier still publishes"]),
    ],
)
def test_a_withdrawn_key_is_published_no_more_whatever_was_deployed(
    monkeypatch: pytest.MonkeyPatch, withdrawn: tuple[str, ...], served: bool, said: list[str]
) -> None:
    deployed: Any = _Deployed(ASSERTION_KEY.key_id)
    body = {"keys": [ASSERTION_KEY.public_jwk] if served else []}

    found = _look(monkeypatch, lambda reached: reached.keys(deployed, withdrawn), httpx.Response(200, json=body))

    assert [text.partition(f" {ASSERTION_KEY.key_id}")[0] for text in found] == said
