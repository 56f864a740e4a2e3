"""A step-up is about one request: the session it happened in is neither raised, renewed nor replaced by it."""

from pathlib import Path

import pytest
from support.guarded import ALICE, Guarded, challenge_of, stepped_up
from support.verifier import Totp, World


@pytest.fixture
def totp(guarded: Guarded) -> Totp:
    return guarded.world.enrol_totp()


@pytest.fixture
def guarded(tmp_path: Path) -> Guarded:
    return Guarded(World(tmp_path))


def test_a_step_up_sets_no_cookie_and_leaves_the_credential_as_it_was(guarded: Guarded, totp: Totp) -> None:
    assertion = stepped_up(guarded, totp, {"name": "x"})

    answer = guarded.request("POST", "/profile", body={"name": "x"}, assertion=assertion)

    assert answer.status_code == 200
    assert not {"set-cookie", "authorization", "location"} & {name.lower() for name in answer.headers}


def test_after_a_step_up_the_same_session_is_asked_again(guarded: Guarded, totp: Totp) -> None:
    assertion = stepped_up(guarded, totp, {"name": "x"})
    assert guarded.request("POST", "/profile", body={"name": "x"}, assertion=assertion).status_code == 200

    again = guarded.request("POST", "/profile", body={"name": "x"}, headers=ALICE)

    assert again.status_code == 401
    assert challenge_of(again)["error"] == "insufficient_user_authentication"
