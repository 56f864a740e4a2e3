"""Runs the story from the local stack to the verified audit log."""

import json
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_urlsafe

from keyrung_infra.demo.bank_client import BankClient
from keyrung_infra.demo.person import SUBJECT, Alice
from keyrung_infra.demo.programs import Programs
from keyrung_infra.demo.scenes import never, ordinary_requests, profile_with_code, transfer_with_token
from keyrung_infra.demo.story import Story
from keyrung_infra.errors import InfraError
from keyrung_infra.files import write_private
from keyrung_infra.local.folders import ensure_private
from keyrung_infra.local.stack import Stack
from keyrung_infra.step_up_client import StepUpClient
from keyrung_infra.tools import Tools

_STACK = "local"
_ROBOT = "reporting-robot"


def run(root: Path, tools: Tools, story: Story) -> None:
    """Tell the whole story; raise at the first step that does not come out as it must."""
    stack = Stack(root, tools=tools)
    folder = stack.layout.state / "demo"
    story.facts["started_at"] = datetime.now(UTC).isoformat(timespec="seconds")
    programs = _deploy(story, stack)
    alice = Alice(folder / SUBJECT, tools.softhsm_module)
    story.chapter("Credentials, in advance")
    with story.step("Alice has an authenticator app and a hardware token, both provisioned"):
        made = alice.enrol(programs)
        story.note(f"{len(made)} new; the seed is sealed by the Transit key, the token's key never leaves the token")
    tokens = _write_sample_api(stack, folder)
    with ExitStack() as running:
        with story.step("the verifier and a bank's API behind the guard are running"):
            running.enter_context(programs.server("keyrung_infra.cli", "serve", ready_on="stderr"))
            bank = ("keyrung_infra.sample_api", "--config", str(folder / "sample-api.json"))
            bank_url = running.enter_context(programs.server(*bank, ready_on="stdout"))
        _play(story, bank_url, tokens, alice, ca_file=stack.layout.openbao.ca)
    _verify_log(story, programs)


def _deploy(story: Story, stack: Stack) -> Programs:
    story.chapter("Keys and policies, deployed as code")
    with story.step("the local stack is up: OpenBao over TLS, a SoftHSM token"):
        status = stack.up()
        story.note(f"OpenBao {status.openbao.version} at {status.openbao.address}")
    programs = Programs(root=stack.layout.root, environment=stack.environment())
    with story.step("pulumi up: keys made in the token and in Transit, the policy signed"):
        programs.pulumi("stack", "select", "--create", _STACK)
        resources = programs.pulumi_up()
        story.facts["resources"] = resources
        story.facts["resources_created"] = resources.get("create", [])
        story.note(", ".join(f"{len(names)} {_OPERATIONS.get(op, op)}" for op, names in resources.items()))
        for key in json.loads(programs.pulumi("stack", "output", "keys", "--json")).values():
            story.note(f"{key['uri']:<56} {key['thumbprint'][:22]}…")
    return programs


_OPERATIONS = {"same": "unchanged", "create": "created", "update": "updated"}


def _write_sample_api(stack: Stack, folder: Path) -> dict[str, str]:
    """Write the sample API's configuration and fresh sessions; return session tokens by subject."""
    layout, root = stack.layout, stack.layout.root
    ensure_private(folder)
    tokens = {SUBJECT: token_urlsafe(32), _ROBOT: token_urlsafe(32)}
    sessions = [
        {
            "token": token,
            "subject_id": subject,
            "session_id": token_urlsafe(16),
            "kind": "machine" if subject == _ROBOT else "person",
        }
        for subject, token in tokens.items()
    ]
    write_private(folder / "sessions.json", json.dumps(sessions).encode())
    url = layout.verifier_address.read_text("ascii").strip()
    client = json.loads((layout.state / "verifier" / "config.json").read_text())["clients"][0]
    document = {
        "verifier_url": url,
        "issuer": url,
        "verifier_ca": str(layout.openbao.ca.relative_to(root)),
        "audience": client["audience"],
        "client_id": client["client_id"],
        "client_secret": client["secret"],
        "certificate": str(layout.verifier_certificate.relative_to(root)),
        "key": str(layout.verifier_certificate_key.relative_to(root)),
        "sessions": str((folder / "sessions.json").relative_to(root)),
    }
    write_private(folder / "sample-api.json", json.dumps(document).encode())
    return tokens


def _play(story: Story, bank_url: str, tokens: dict[str, str], alice: Alice, *, ca_file: Path) -> None:
    client = StepUpClient(ca_file)
    bank = BankClient(bank_url, session_token=tokens[SUBJECT], ca_file=ca_file)
    robot = BankClient(bank_url, session_token=tokens[_ROBOT], ca_file=ca_file)
    try:
        ordinary_requests(story, bank)
        transfer_with_token(story, bank, client, alice)
        profile_with_code(story, bank, client, alice)
        never(story, robot)
    finally:
        for each in (client, bank, robot):
            each.close()


def _verify_log(story: Story, programs: Programs) -> None:
    story.chapter("The record")
    with story.step("an independent reader verifies the audit log"):
        report = programs.keyrung("audit", "verify")
        story.facts["audit"] = report
        if not report["ok"]:
            raise InfraError("the audit log is not whole", fix="run `keyrung audit verify`")
        story.note(
            f"{report['records']} records, head {report['chains'][0]['head'][:16]}…, every key use paired with its life"
        )
