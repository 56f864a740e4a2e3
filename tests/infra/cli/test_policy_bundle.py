"""`keyrung policy compile | sign | inspect`: from files to a bundle that a verifier takes, and what it never takes."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.openbao import OpenBaoServer

from keyrung_infra.cli import main
from keyrung_provisioners import encoding
from keyrung_provisioners.api import KeySpec, Purpose
from keyrung_provisioners.registry import open_manager
from keyrung_provisioners.uri import KeyUri, VaultUri

CATALOG = Path(__file__).parents[3] / "policies" / "catalog"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in this process in an empty folder; returns exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main.run(("policy", *arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A provisioned key: how to sign with it, and its public half in a file."""

    arguments: tuple[str, ...]
    public: Path


@pytest.fixture
def make_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], SigningKey]:
    """Make a key in encrypted files."""
    monkeypatch.setenv("POLICY_TEST_PASSPHRASE", "for this test only")
    settings = {"softwareFolder": str(tmp_path / "keys"), "softwarePassphrase": "env:POLICY_TEST_PASSPHRASE"}

    def make(name: str) -> SigningKey:
        manager = open_manager("software", settings, root=tmp_path)
        manager.ensure_vault(VaultUri.parse("software:folder=test"), owner="test")
        uri = KeyUri.parse(f"software:folder=test;name={name}")
        made = manager.create(KeySpec(uri=uri, algorithm="P-256", purpose=Purpose.POLICY_SIGNING, claim_id=bytes(16)))
        public = tmp_path / f"{name}.pem"
        public.write_text(made.public_key_pem or "")
        given = [word for pair in settings.items() for word in ("--setting", "=".join(pair))]
        return SigningKey(arguments=("--key", str(uri), *given), public=public)

    return make


def test_compiled_policy_is_the_same_bytes_from_any_order_and_names_its_digest(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("compile", str(CATALOG))
    assert code == 0
    document = json.loads(out)
    assert list(document) == ["attributes", "keyrung", "levels", "rules"]
    code, told, _ = run("compile", str(CATALOG), "--out", "policy.json", "--json")
    assert (tmp_path / "policy.json").read_text() == out.rstrip("\n")
    assert json.loads(told)["digest"] == json.loads(run("check", str(CATALOG), "--json")[1])["digest"]


def test_signed_bundle_is_good_under_its_key(run: Run, make_key: Callable[[str], SigningKey]) -> None:
    key = make_key("one")
    code, out, _ = run("sign", str(CATALOG), *key.arguments, "--out", "bundle.json", "--version", "7", "--json")
    signed = json.loads(out)
    assert (code, signed["version"]) == (0, 7)
    code, out, _ = run("inspect", "bundle.json", "--key", str(key.public), "--json")
    shown = json.loads(out)
    assert (code, shown["ok"], shown["version"], shown["rules"], shown["refused"]) == (0, True, 7, 6, None)
    assert (shown["signer"], shown["digest"]) == (signed["key_id"], signed["digest"])


def test_old_and_new_key_overlap_while_the_policy_key_is_rotated(
    run: Run, make_key: Callable[[str], SigningKey]
) -> None:
    old, new = make_key("old"), make_key("new")
    both = ("--key", str(old.public), "--key", str(new.public))
    for key, version in ((old, "1"), (new, "2")):
        assert run("sign", str(CATALOG), *key.arguments, "--out", "bundle.json", "--version", version)[0] == 0
        assert run("inspect", "bundle.json", *both)[0] == 0
    code, out, _ = run("inspect", "bundle.json", "--key", str(old.public))
    assert (code, "refused (unknown-signer)" in out) == (1, True)


def test_rolled_back_or_altered_bundle_is_refused_and_told_why(
    run: Run, make_key: Callable[[str], SigningKey], tmp_path: Path
) -> None:
    key = make_key("one")
    run("sign", str(CATALOG), *key.arguments, "--out", "bundle.json", "--version", "3")
    code, out, _ = run("inspect", "bundle.json", "--key", str(key.public), "--minimum-version", "4", "--json")
    assert (code, json.loads(out)["refused"]["reason"]) == (1, "rollback")
    envelope = json.loads((tmp_path / "bundle.json").read_text())
    envelope["signature"] = envelope["signature"][::-1]
    (tmp_path / "bundle.json").write_text(json.dumps(envelope))
    code, out, _ = run("inspect", "bundle.json", "--key", str(key.public), "--json")
    assert (code, json.loads(out)["refused"]["reason"]) == (1, "corrupt")
    (tmp_path / "bundle.json").write_text("{}")
    code, out, err = run("inspect", "bundle.json", "--key", str(key.public))
    assert (code, out) == (1, "")
    assert err.startswith("keyrung: the bundle is damaged: ")


def test_key_given_as_jwk_is_the_same_key(run: Run, make_key: Callable[[str], SigningKey], tmp_path: Path) -> None:
    key = make_key("one")
    run("sign", str(CATALOG), *key.arguments, "--out", "bundle.json")
    (tmp_path / "key.jwk").write_text(json.dumps(encoding.public_jwk(key.public.read_text())))
    assert run("inspect", "bundle.json", "--key", "key.jwk")[0] == 0


def test_file_without_a_key_is_refused(run: Run, make_key: Callable[[str], SigningKey], tmp_path: Path) -> None:
    run("sign", str(CATALOG), *make_key("one").arguments, "--out", "bundle.json")
    (tmp_path / "key.pem").write_text("no key")
    code, _, err = run("inspect", "bundle.json", "--key", "key.pem")
    assert (code, err) == (1, "keyrung: key.pem holds no public key: give one as PEM or as JWK.\n")


def test_policy_with_a_failing_case_is_not_signed(
    run: Run, make_key: Callable[[str], SigningKey], tmp_path: Path
) -> None:
    text = "keyrung: policy/v1\ndefault: deny\nrules: [{id: one, actions: [a.b], allow: true}]\n"
    (tmp_path / "p.yaml").write_text(text + "cases: [{name: closed, action: a.b, expect: {outcome: deny}}]\n")
    code, _, err = run("sign", "p.yaml", *make_key("one").arguments, "--out", "bundle.json")
    assert (code, err) == (1, "keyrung: the case 'closed' fails: see `keyrung policy test`.\n")
    assert not (tmp_path / "bundle.json").exists()


def test_bundle_is_signed_in_transit_too(run: Run, openbao: OpenBaoServer, tmp_path: Path) -> None:
    name = openbao.key_name("policy-signing")
    client = openbao.client("deployer")
    client.call("POST", f"keyrung/keys/{name}", {"type": "ed25519"})
    settings = [word for pair in openbao.settings("deployer").items() for word in ("--setting", "=".join(pair))]
    uri = f"transit:mount=keyrung;name={name}"
    code, _, err = run("sign", str(CATALOG), "--key", uri, *settings, "--out", "bundle.json")
    assert (code, err) == (0, "")
    manager = open_manager("transit", openbao.settings("deployer"), root=tmp_path)
    (tmp_path / "key.pem").write_text(manager.describe(KeyUri.parse(uri)).public_key_pem or "")
    assert run("inspect", "bundle.json", "--key", "key.pem")[0] == 0


def test_bundle_without_a_key_is_shown_and_called_unverified(run: Run, make_key: Callable[[str], SigningKey]) -> None:
    run("sign", str(CATALOG), *make_key("one").arguments, "--out", "bundle.json", "--version", "7")
    code, out, _ = run("inspect", "bundle.json")
    assert (code, "version     7\n" in out) == (1, True)
    assert "refused (unknown-signer): no key is given, and no verifier is deployed here; give one with --key." in out
