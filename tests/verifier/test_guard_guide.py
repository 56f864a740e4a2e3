"""What the guard's guide shows works as it is shown."""

import re
import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.guarded import Guarded, earn
from support.project import REPOSITORY
from support.verifier import World

from keyrung_verifier.guard.asgi import Session

GUIDE = (REPOSITORY / "infra" / "keyrung_verifier" / "guard" / "README.md").read_text()


def block(language: str, word: str) -> str:
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    (found,) = [text for text in blocks if word in text]
    return str(found)


def defined(name: str) -> Any:
    """Return the function that the guide defines."""
    names: dict[str, Any] = {"Session": Session, "secrets": secrets, "time": time}
    exec(compile(block("python", f"def {name}"), "README.md", "exec"), names)  # noqa: S102
    return names[name]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    policy = block("yaml", "keyrung: policy/v1").encode()
    made = World(tmp_path, texts={"guide.yaml": policy})
    yield made
    made.close()


def of_session(world: World, **properties: int) -> Guarded:
    session = Session(subject_id="alice", session_id="sid-1", properties=properties)
    return Guarded(world, identify=lambda _scope: session)


@pytest.mark.parametrize(
    ("session_seconds", "idle_seconds", "accounts", "profile"),
    [
        *((0, 0, 200, 401), (43200, 900, 200, 401)),
        *((43201, 0, 200, 403), (0, 901, 200, 403), (86400, 3600, 200, 403)),
        *((86401, 0, 403, 403), (0, 3601, 403, 403)),
    ],
)
def test_the_limits_of_a_session_are_those_of_the_guides_policy(
    world: World, session_seconds: int, idle_seconds: int, accounts: int, profile: int
) -> None:
    world.enrol_totp()
    guarded = of_session(world, session_seconds=session_seconds, idle_seconds=idle_seconds)

    assert guarded.request("GET", "/accounts").status_code == accounts
    assert guarded.request("POST", "/profile").status_code == profile


@pytest.mark.parametrize("properties", [{}, {"session_seconds": 1}, {"idle_seconds": 1}])
def test_a_session_whose_times_are_not_told_is_denied(world: World, properties: dict[str, int]) -> None:
    assert of_session(world, **properties).request("GET", "/accounts").status_code == 403


def test_a_step_up_makes_no_session_longer(world: World) -> None:
    times = {"session_seconds": 43200, "idle_seconds": 0}
    session = Session(subject_id="alice", session_id="sid-1", properties=times)
    guarded = Guarded(world, identify=lambda _scope: session)
    assertion = earn(guarded, world.enrol_totp(), "POST", "/profile")
    times["session_seconds"] += 1

    assert guarded.request("POST", "/profile", assertion=assertion).status_code == 403
    assert guarded.request("POST", "/profile").status_code == 403


def test_an_assertion_ends_with_the_id_of_the_session_it_was_earned_in(world: World) -> None:
    sessions: dict[str, Mapping[str, object]] = {"old": {"user": "alice"}}
    current = ["old"]
    times = {"session_seconds": 0, "idle_seconds": 0}
    guarded = Guarded(
        world, identify=lambda _scope: Session(subject_id="alice", session_id=current[0], properties=times)
    )
    assertion = earn(guarded, world.enrol_totp(), "POST", "/profile")
    current[0] = defined("raise_session")(sessions, "old")

    assert list(sessions) == current
    assert sessions[current[0]]["user"] == "alice"
    assert len(current[0]) >= 43
    assert guarded.request("POST", "/profile", assertion=assertion).status_code == 403


def test_the_guides_cookie_session_is_a_session_or_none() -> None:
    session_of = defined("session_of")

    assert session_of({"session": {}}) is None
    found = session_of({"session": {"user": "alice", "id": "s"}})
    assert (found.subject_id, found.session_id) == ("alice", "s")
