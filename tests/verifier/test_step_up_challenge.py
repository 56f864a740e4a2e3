"""What a client takes for a step-up challenge: what RFC 9110 and RFC 9470 let a server write, and nothing near it."""

import httpx
import pytest

from keyrung_verifier.client.challenge import StepUpChallenge, step_up_challenge

URI = "https://verifier.example/c/1"
ERROR = 'error="insufficient_user_authentication"'
FOUND = StepUpChallenge(acr_values=(), max_age_seconds=None, stepup_uri=URI)


def read(*headers: str) -> StepUpChallenge | None:
    return step_up_challenge(httpx.Response(401, headers=[("WWW-Authenticate", header) for header in headers]))


def test_every_member_is_read() -> None:
    found = read(f'Bearer {ERROR}, error_description="x", acr_values="a b", max_age="300", stepup_uri="{URI}"')

    assert found == StepUpChallenge(acr_values=("a", "b"), max_age_seconds=300, stepup_uri=URI)


@pytest.mark.parametrize(
    "headers",
    [
        [f'Bearer {ERROR}, stepup_uri="{URI}"'],
        [f'DPoP {ERROR}, stepup_uri="{URI}", algs="ES256 Ed25519"'],
        [f'bearer  ERROR=insufficient_user_authentication ,STEPUP_URI = "{URI}"'],
        [f'Basic realm="a, Bearer b=\\"c\\"", Bearer {ERROR}, stepup_uri="{URI}"'],
        [f'Negotiate, Bearer {ERROR}, stepup_uri="{URI}"'],
        [f'Bearer {ERROR}, stepup_uri="{URI}", Basic realm="x"'],
        ['Basic realm="x"', f'Bearer {ERROR}, stepup_uri="{URI}"'],
        [f'Bearer {ERROR},, stepup_uri="https:\\//verifier.example/c/1",'],
    ],
)
def test_each_spelling_that_the_grammar_allows_is_the_same_challenge(headers: list[str]) -> None:
    assert read(*headers) == FOUND


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [""],
        ["Bearer"],
        ['Bearer error="invalid_token"'],
        # The example of RFC 9470 section 3, of a server that does not say where to step up.
        [f'Bearer {ERROR}, error_description="A different authentication level is required", acr_values="myACR"'],
        [f'Basic {ERROR}, stepup_uri="{URI}"'],
        [f'{ERROR}, stepup_uri="{URI}"'],
        [f'Bearer {ERROR} stepup_uri="{URI}"'],
        [f'Bearer {ERROR}, stepup_uri="{URI}'],
        [f"Bearer {ERROR}, stepup_uri={URI}"],
        [f'Bearer {ERROR}, stepup_uri="https://evil.example/", stepup_uri="{URI}"'],
        [f'Bearer {ERROR}, Basic stepup_uri="{URI}"'],
        [f'Bearer x="{ERROR}, stepup_uri={URI}"'],
        [f'Bearer {ERROR}, stepup_uri="{URI}"', f'DPoP {ERROR}, stepup_uri="https://evil.example/"'],
        [f'Bearer {ERROR}, stepup_uri="{URI}", Bearer {ERROR}, stepup_uri="https://evil.example/"'],
        ["Bearer " + "a=b, " * 20_000 + '"'],
    ],
)
def test_anything_else_is_no_challenge(headers: list[str]) -> None:
    assert read(*headers) is None


@pytest.mark.parametrize("max_age", ["-1", "1.5", "x", "", "1" * 30, "\u0663"])
def test_an_age_of_another_form_is_not_read(max_age: str) -> None:
    header = f'Bearer {ERROR}, max_age="{max_age}", stepup_uri="{URI}"'.encode()
    found = step_up_challenge(httpx.Response(401, headers=[(b"WWW-Authenticate", header)]))

    assert found is not None
    assert found.max_age_seconds is None
