"""The scenes: what Alice and an attacker do at the bank, and what must come of it."""

from http import HTTPStatus

from keyrung_infra.demo.bank_client import BankClient
from keyrung_infra.demo.person import Alice
from keyrung_infra.demo.story import Story
from keyrung_infra.errors import InfraError
from keyrung_infra.step_up_client import StepUpClient, StepUpRefusedError

_TRANSFER = {"amount_minor": 250_000, "currency": "EUR", "payee": "Bob's Bikes"}
_STOLEN = {**_TRANSFER, "payee": "Mallory"}
_PROFILE = {"email": "alice@example.org"}


def ordinary_requests(story: Story, bank: BankClient) -> None:
    """An ordinary session is left alone."""
    story.chapter("An ordinary session")
    with story.step("GET /accounts passes: no step-up for an ordinary request"):
        bank.expect(HTTPStatus.OK, bank.send("GET", "/accounts"))
    with story.step("POST /transfers of 12.00 EUR passes: below the policy's limit"):
        bank.expect(HTTPStatus.CREATED, bank.send("POST", "/transfers", {**_TRANSFER, "amount_minor": 1200}))


def transfer_with_token(story: Story, bank: BankClient, client: StepUpClient, alice: Alice) -> None:
    """A sensitive request needs a phishing-resistant proof, and the proof is good for that request alone."""
    story.chapter("The risk changes: a large transfer")
    with story.step("POST /transfers of 2 500.00 EUR is answered 401 with a challenge (RFC 9470)"):
        asked = bank.asked(bank.send("POST", "/transfers", _TRANSFER))
        story.note(f"it takes {' or '.join(asked.acr_values)}, at most {asked.max_age_seconds} s old")
    with story.step("Alice reads what she is about to approve"):
        story.note(f'"{client.challenge(asked.stepup_uri).display}"')
    with story.step("her token signs the challenge, bound to the verifier's origin"):
        assertion = client.answer_token(asked.stepup_uri, alice.token())
        story.note("the assertion is signed by the PKCS#11 key, names this request and lives two minutes")
    with story.step("an attacker sends the assertion with another payee: refused"):
        _refused(bank.send("POST", "/transfers", _STOLEN, assertion=assertion).status_code)
    with story.step("Alice's own request passes, and spends the assertion"):
        bank.expect(HTTPStatus.CREATED, bank.send("POST", "/transfers", _TRANSFER, assertion=assertion))
    with story.step("the same request once more: refused, the assertion is spent"):
        _refused(bank.send("POST", "/transfers", _TRANSFER, assertion=assertion).status_code)
    with story.step("GET /accounts still passes: the session was never touched"):
        bank.expect(HTTPStatus.OK, bank.send("GET", "/accounts"))


def profile_with_code(story: Story, bank: BankClient, client: StepUpClient, alice: Alice) -> None:
    """A smaller risk asks for less: a code is enough, once."""
    story.chapter("A smaller risk: a change of profile")
    with story.step("POST /profile is answered 401; a one-time code is enough"):
        asked = bank.asked(bank.send("POST", "/profile", _PROFILE))
        story.note(f"it takes {' or '.join(asked.acr_values)}, at most {asked.max_age_seconds} s old")
    with story.step("Alice types the code of her authenticator app"):
        code = alice.code(lambda seconds: story.note(f"she used the last one already and waited {seconds} s"))
        assertion = client.answer_code(asked.stepup_uri, code)
    with story.step("the change passes"):
        bank.expect(HTTPStatus.OK, bank.send("POST", "/profile", _PROFILE, assertion=assertion))
    with story.step("the same code for another challenge: refused"):
        again = bank.asked(bank.send("POST", "/profile", _PROFILE))
        _check(_code_refused(client, again.stepup_uri, code), "a used code was taken again")


def never(story: Story, robot: BankClient) -> None:
    """What the policy denies, no step-up can buy."""
    story.chapter("What no step-up can buy")
    with story.step("GET /customers/export by a machine is denied, without a challenge"):
        robot.expect(HTTPStatus.FORBIDDEN, robot.send("GET", "/customers/export"))


def _code_refused(client: StepUpClient, stepup_uri: str, code: str) -> bool:
    try:
        client.answer_code(stepup_uri, code)
    except StepUpRefusedError:
        return True
    return False


def _refused(status: int) -> None:
    _check(status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}, f"it was answered {status}")


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise InfraError(otherwise, fix="look at `keyrung audit show`")
