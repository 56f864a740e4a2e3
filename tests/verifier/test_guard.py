"""What the guard lets through, what it asks for, and what it refuses, in front of a real verifier."""

from datetime import timedelta

import pytest
from support.guarded import ALICE, PUBLIC_URL, Guarded, challenge_of, stepped_up
from support.verifier import ORIGIN, Totp, World

from keyrung_verifier.guard.asgi import Receive, Scope, Send

LARGE = {"amount_minor": 250000, "currency": "EUR", "payee": "Bob"}
SMALL = LARGE | {"amount_minor": 10}


@pytest.fixture
def guarded(world: World) -> Guarded:
    return Guarded(world)


def test_an_ordinary_request_passes_with_its_body(guarded: Guarded) -> None:
    assert guarded.request("GET", "/accounts").status_code == 200
    assert guarded.request("POST", "/transfers", body=SMALL).text == "passed"
    assert guarded.app.bodies == [b"", b'{"amount_minor": 10, "currency": "EUR", "payee": "Bob"}']


def test_a_sensitive_request_gets_the_rfc_9470_challenge(guarded: Guarded, totp: Totp) -> None:
    answer = guarded.request("POST", "/profile", body={"name": "x"})

    assert answer.status_code == 401
    challenge = challenge_of(answer)
    assert challenge["error"] == "insufficient_user_authentication"
    assert challenge["acr_values"] == "urn:keyrung:otp phr"
    assert challenge["max_age"] == "300"
    assert challenge["stepup_uri"].startswith(f"{ORIGIN}/stepup/v1/challenges/")
    assert answer.headers["Cache-Control"] == "no-store"
    assert guarded.app.bodies == []


def test_after_the_step_up_the_request_passes_once_and_a_replay_is_refused(guarded: Guarded, totp: Totp) -> None:
    assertion = stepped_up(guarded, totp, {"name": "x"})

    first = guarded.request("POST", "/profile", body={"name": "x"}, assertion=assertion)
    again = guarded.request("POST", "/profile", body={"name": "x"}, assertion=assertion)

    assert first.status_code == 200
    assert (again.status_code, again.json()["error"]) == (403, "assertion_refused")
    assert "WWW-Authenticate" not in again.headers, "a client that repeats itself must not loop"
    assert guarded.app.bodies == [b'{"name": "x"}']


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/profile", {"name": "y"}, ALICE),
        ("/profile?a=1", {"name": "x"}, ALICE),
        ("/transfers", LARGE, ALICE),
        ("/profile", {"name": "x"}, {"Authorization": "Bearer bob"}),
    ],
)
def test_an_assertion_for_another_request_is_refused_and_not_used_up(
    guarded: Guarded, totp: Totp, path: str, body: object, headers: dict[str, str]
) -> None:
    assertion = stepped_up(guarded, totp, {"name": "x"})

    answer = guarded.request("POST", path, body=body, headers=headers, assertion=assertion)

    assert (answer.status_code, answer.json()["error"]) == (403, "assertion_refused")
    assert guarded.request("POST", "/profile", body={"name": "x"}, assertion=assertion).status_code == 200
    assert guarded.app.bodies == [b'{"name": "x"}']


def test_a_level_that_is_too_low_is_refused(guarded: Guarded, totp: Totp) -> None:
    guarded.world.enrol_token()
    answer = guarded.request("POST", "/transfers", body=LARGE)
    assert challenge_of(answer)["acr_values"] == "phr"
    assertion = stepped_up(guarded, totp)

    assert guarded.request("POST", "/transfers", body=LARGE, assertion=assertion).status_code == 403


def test_an_expired_assertion_is_refused(guarded: Guarded, totp: Totp) -> None:
    assertion = stepped_up(guarded, totp)
    guarded.world.clock.advance(120)

    assert guarded.request("POST", "/profile", assertion=assertion).status_code == 403


def test_the_host_header_and_a_forwarded_host_change_nothing(guarded: Guarded, totp: Totp) -> None:
    hostile = ALICE | {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    assertion = guarded.step_up(
        guarded.request("POST", "/profile", headers=hostile), totp.code(guarded.world.clock.now())
    )

    assert guarded.request("POST", "/profile", assertion=assertion).status_code == 200
    assert all(PUBLIC_URL in call.content.decode() for call in guarded.calls if call.url.path.endswith("challenges"))


def test_an_allowed_request_leaves_an_assertion_unspent(guarded: Guarded, totp: Totp) -> None:
    assertion = stepped_up(guarded, totp)

    assert guarded.request("GET", "/accounts", assertion=assertion).status_code == 200
    assert guarded.request("POST", "/profile", assertion=assertion).status_code == 200


def test_a_denied_request_is_refused_without_a_challenge(guarded: Guarded) -> None:
    answer = guarded.request("GET", "/customers/export", headers={"Authorization": "Bearer robot"})

    assert (answer.status_code, answer.json()["error"]) == (403, "access_denied")
    assert guarded.called == ["/access/v1/evaluation"]


def test_a_level_that_the_subject_cannot_reach_is_an_explicit_error(guarded: Guarded) -> None:
    answer = guarded.request("POST", "/profile")

    assert (answer.status_code, answer.json()["error"]) == (403, "unmet_authentication_requirements")


def test_a_request_without_a_session_is_refused_before_anything_is_asked(guarded: Guarded) -> None:
    answer = guarded.request("GET", "/accounts", headers={"Authorization": "Bearer nobody"})

    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert guarded.calls == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/other"),
        ("DELETE", "/accounts"),
        ("HEAD", "/accounts"),
        ("GET", "/accounts/"),
        ("GET", "//accounts"),
        ("GET", "/accounts/1/2"),
        ("GET", "/Accounts"),
        ("GET", "/accounts%0a"),
        ("POST", "/profile/../profile;x"),
    ],
)
def test_what_is_not_listed_is_refused(guarded: Guarded, method: str, path: str) -> None:
    assert guarded.request(method, path).status_code == 404
    assert guarded.app.bodies == []


def test_a_path_parameter_stands_for_one_segment(guarded: Guarded) -> None:
    assert guarded.request("GET", "/accounts/17").status_code == 200


@pytest.mark.parametrize(
    "values",
    [
        ["a.b.c", "a.b.c"],
        ["a.b.c, a.b.c"],
        [""],
        ["a.b"],
        ["a.b.c.d"],
        ["a.b.c "],
        ["a.b.é"],
        ["Bearer a.b.c"],
    ],
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/accounts"), ("POST", "/profile")])
def test_several_or_malformed_assertion_headers_are_refused(
    guarded: Guarded, method: str, path: str, values: list[str]
) -> None:
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer alice")] + [(b"Step-Up-Assertion", value.encode()) for value in values],
    }

    sent = guarded.raw(scope, [{"type": "http.request", "body": b""}])

    assert sent[0]["status"] == 400
    assert guarded.calls == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"amount_minor": 1}',
        b'{"amount_minor": 1, "amount_minor": 250000, "currency": "EUR", "payee": "Bob"}',
        b'{"amount_minor": 1, "currency": "EUR", "payee": "\\ud800"}',
        b'{"amount_minor": NaN, "currency": "EUR", "payee": "Bob"}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_a_body_that_the_mapper_or_the_verifier_cannot_read_is_refused(guarded: Guarded, body: bytes) -> None:
    assert guarded.request("POST", "/transfers", body=body).status_code == 400
    assert guarded.app.bodies == []


@pytest.mark.parametrize("amount", ["1", 1.5, None, True, -1, 10**12 + 1])
def test_an_attribute_of_a_wrong_type_or_range_never_passes(guarded: Guarded, amount: object) -> None:
    answer = guarded.request("POST", "/transfers", body=SMALL | {"amount_minor": amount})

    assert answer.status_code in {400, 403}
    assert guarded.app.bodies == []


def test_a_body_in_pieces_reaches_the_application_whole(guarded: Guarded) -> None:
    scope = http_scope("POST", "/transfers")
    pieces = [b'{"amount_minor": 10, ', b'"currency": "EUR", ', b'"payee": "Bob"}']

    sent = guarded.raw(
        scope, [{"type": "http.request", "body": piece, "more_body": piece != pieces[-1]} for piece in pieces]
    )

    assert sent[0]["status"] == 200
    assert guarded.app.bodies == [b"".join(pieces)]


def test_a_body_that_is_too_long_is_refused_before_it_is_whole(guarded: Guarded) -> None:
    piece = {"type": "http.request", "body": b"a" * 600_000, "more_body": True}

    sent = guarded.raw(http_scope("POST", "/profile"), [piece, piece])  # a third receive would fail

    assert sent[0]["status"] == 413
    assert guarded.calls == []


def test_a_client_that_goes_away_gets_no_answer_and_nothing_is_asked(guarded: Guarded) -> None:
    piece = {"type": "http.request", "body": b"a", "more_body": True}

    assert guarded.raw(http_scope("POST", "/profile"), [piece, {"type": "http.disconnect"}]) == []
    assert guarded.calls == []


@pytest.mark.parametrize(
    "raw_path", [None, b"", b"profile", b"https://evil.example/profile", b"/profile#x", b"/pro\xff"]
)
def test_a_request_target_that_is_not_exact_is_refused(guarded: Guarded, raw_path: bytes | None) -> None:
    scope = http_scope("POST", "/profile") | {"raw_path": raw_path}

    assert guarded.raw(scope, [{"type": "http.request", "body": b""}])[0]["status"] == 400


def test_a_websocket_is_refused(guarded: Guarded) -> None:
    sent = guarded.raw({"type": "websocket", "path": "/accounts"}, [{"type": "websocket.connect"}])

    assert [message["type"] for message in sent] == ["websocket.close"]


def test_an_error_of_scope_stays_the_applications_own_and_becomes_no_challenge(guarded: Guarded, totp: Totp) -> None:
    scope_error = {"status": 403, "headers": [(b"www-authenticate", b'Bearer error="insufficient_scope", scope="x"')]}

    async def narrow(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", **scope_error})
        await send({"type": "http.response.body", "body": b""})

    assertion = stepped_up(guarded, totp)
    guarded.guard._app = narrow
    for answer in (guarded.request("GET", "/accounts"), guarded.request("POST", "/profile", assertion=assertion)):
        assert answer.status_code == 403
        assert answer.headers.get_list("WWW-Authenticate") == ['Bearer error="insufficient_scope", scope="x"']


def test_a_challenge_of_the_application_itself_is_not_touched(guarded: Guarded) -> None:
    async def signed_out(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 401, "headers": [(b"www-authenticate", b"Bearer")]})
        await send({"type": "http.response.body", "body": b"own"})

    guarded.guard._app = signed_out
    answer = guarded.request("GET", "/accounts")

    assert (answer.status_code, answer.text, answer.headers["WWW-Authenticate"]) == (401, "own", "Bearer")


def test_an_application_without_a_lifespan_is_guarded_all_the_same(guarded: Guarded) -> None:
    with pytest.raises(IndexError):
        guarded.raw({"type": "lifespan"}, [])  # the recorder waits for a request that never comes

    assert guarded.request("GET", "/accounts").status_code == 200


def test_the_connections_end_with_the_application(guarded: Guarded) -> None:
    guarded.raw({"type": "lifespan"}, [{"type": "lifespan.startup"}])

    assert guarded.request("GET", "/accounts").status_code == 500
    assert guarded.app.bodies == [b""]


def test_the_clocks_of_guard_and_verifier_may_differ_a_little_but_not_more(guarded: Guarded, totp: Totp) -> None:
    clock = guarded.world.clock
    assertion = stepped_up(guarded, totp)
    clock.moment -= timedelta(seconds=61)

    assert guarded.request("POST", "/profile", assertion=assertion).status_code == 403
    clock.advance(1)
    assert guarded.request("POST", "/profile", assertion=assertion).status_code == 200


def http_scope(method: str, path: str) -> dict[str, object]:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer alice")],
    }
