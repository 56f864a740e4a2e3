"""`keyrung policy simulate` over what the real verifier wrote, and `impact` over exported lists."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.verifier import CATALOG, LARGE_TRANSFER, World

from keyrung_infra.cli import policy_simulate
from keyrung_infra.cli.main import run


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def simulate(*arguments: str) -> Any:
    done = CliRunner().invoke(policy_simulate.command, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def test_a_real_log_under_its_own_policy_shows_no_change(world: World) -> None:
    world.evaluate("payments.transfer", resource=LARGE_TRANSFER)
    world.evaluate("accounts.read")
    world.http("POST", "/access/v1/evaluation", authorization="Basic x")
    found = simulate(str(world.folder / "store.db"), "--policy", str(CATALOG))
    assert found["total"]["requests"] == 2
    assert (found["total"]["undecided"], found["total"]["change"]) == (0, 0)
    assert found["total"]["after"] == 1


def test_a_real_log_under_a_stricter_policy_shows_more_and_draws_it(world: World, tmp_path: Path) -> None:
    world.evaluate("payments.transfer", resource=LARGE_TRANSFER | {"amount_minor": 5})
    stricter = tmp_path / "stricter.yaml"
    text = (CATALOG / "bank.yaml").read_text().partition("\ncases:")[0]
    stricter.write_text(text.replace("100000", "5"))
    arguments = [str(world.folder / "store.db"), "--policy", str(stricter)]
    found = simulate(*arguments, "--html", str(tmp_path / "page.html"))
    assert found["total"]["change"] == 1
    assert "<svg" in (tmp_path / "page.html").read_text()
    told = CliRunner().invoke(policy_simulate.command, arguments).output
    assert told.startswith("1 step-up more than recorded, over 1 request\n")


def test_a_broken_log_is_told_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log").write_text("nonsense\n")
    assert run(["policy", "simulate", str(tmp_path / "log"), "--policy", str(CATALOG)]) == 1
    assert "line 1 of the log is no record" in capsys.readouterr().err


CREDENTIALS = {
    "credentials": [
        {"subject": "anna", "factor": "otp", "state": "active"},
        {"subject": "ben", "factor": "token-signature-origin-bound", "state": "revoked"},
    ]
}


def impact(folder: Path, credentials: object, routes: object, *arguments: str) -> int:
    (folder / "credentials.json").write_text(json.dumps(credentials))
    (folder / "routes.json").write_text(json.dumps(routes))
    given = ["--enrolment", str(folder / "credentials.json"), "--routes", str(folder / "routes.json")]
    return run(["policy", "impact", str(CATALOG), *given, *arguments])


def test_people_and_routes_that_a_policy_leaves_out_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    routes = {"GET /accounts": "accounts.read", "DELETE /accounts": "accounts.close"}
    assert impact(tmp_path, CREDENTIALS, routes) == 1
    told = capsys.readouterr().out
    assert "phr: 2 of 2 people cannot reach it" in told
    assert "otp: 1 of 2 people cannot reach it" in told
    assert "DELETE /accounts: no rule covers accounts.close, so it is denied" in told


def test_impact_is_given_to_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert impact(tmp_path, CREDENTIALS, {"GET /accounts": "accounts.read"}, "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert {one["level"]: one["subjects"] for one in document["shortfalls"]} == {"otp": ["ben"], "phr": ["anna", "ben"]}
    assert document["uncovered_routes"] == []


@pytest.mark.parametrize(
    ("credentials", "routes", "told"),
    [
        ([], {}, "is no list of credentials"),
        ({"credentials": [{}]}, {}, "is no list of credentials"),
        (CREDENTIALS, ["accounts.read"], "has no routes with their actions"),
        (CREDENTIALS, {"GET /": 1}, "has no routes with their actions"),
    ],
)
def test_a_file_of_another_form_is_told(
    tmp_path: Path, credentials: object, routes: object, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert impact(tmp_path, credentials, routes) == 1
    assert told in capsys.readouterr().err
