"""Each check of the conformance suite finds the store that does the thing wrong which it is for."""

import secrets
from dataclasses import replace
from typing import Any

import pytest
from support.key_transport import receiver
from support.softhsm import SoftHsmToken
from support.stores import token_manager

from keyrung_provisioners.api import Capability, Custody, ImportOffer, KeyDescription, KeySpec, Purpose
from keyrung_provisioners.backends.pkcs11 import Pkcs11KeyManager
from keyrung_provisioners.conformance import run as conformance
from keyrung_provisioners.conformance import using
from keyrung_provisioners.conformance.run import CHECKS, REMOVES, Outcome, Result
from keyrung_provisioners.conformance.trial import Trial
from keyrung_provisioners.errors import BackendUnavailableError, KeyMissingError, NotOfferedError
from keyrung_provisioners.uri import KeyUri, VaultUri

_REAL = {
    name: getattr(Pkcs11KeyManager, name)
    for name in ("create", "describe", "destroy", "sign", "seal", "open", "wrap", "lock", "export", "import_wrapped")
}


def _made_over(self: Pkcs11KeyManager, spec: KeySpec) -> KeyDescription:
    _REAL["destroy"](self, spec.uri)
    made: KeyDescription = _REAL["create"](self, spec)
    return made


def _made_when_missing(self: Pkcs11KeyManager, uri: KeyUri, data: bytes) -> bytes:
    try:
        signature: bytes = _REAL["sign"](self, uri, data)
    except KeyMissingError:
        spec = KeySpec(uri=uri, algorithm="P-256", purpose=Purpose.POLICY_SIGNING, claim_id=secrets.token_bytes(16))
        _REAL["create"](self, spec)
        signature = _REAL["sign"](self, uri, data)
    return signature


def _first_bytes_signed(self: Pkcs11KeyManager, uri: KeyUri, data: bytes) -> bytes:
    signature: bytes = _REAL["sign"](self, uri, data[:100])
    return signature


def _context_left_out(self: Pkcs11KeyManager, uri: KeyUri, plaintext: bytes, *, context: bytes) -> str:
    sealed: str = _REAL["seal"](self, uri, plaintext, context=b"")
    return sealed


def _opened_without_context(self: Pkcs11KeyManager, uri: KeyUri, sealed: str, *, context: bytes) -> bytes:
    opened: bytes = _REAL["open"](self, uri, sealed, context=b"")
    return opened


def _always_extractable(self: Pkcs11KeyManager, spec: KeySpec) -> KeyDescription:
    made: KeyDescription = _REAL["create"](self, replace(spec, custody=Custody.ESCROWING))
    return made


def _never_locked(self: Pkcs11KeyManager, uri: KeyUri) -> KeyDescription:
    found: KeyDescription = _REAL["describe"](self, uri)
    return found


def _another_key_exported(self: Pkcs11KeyManager, uri: KeyUri, offer: Any) -> bytes:
    spec = KeySpec(
        uri=replace(uri, name="someone-elses"),
        algorithm="P-256",
        purpose=Purpose.POLICY_SIGNING,
        claim_id=secrets.token_bytes(16),
        custody=Custody.PORTABLE,
    )
    _REAL["create"](self, spec)
    try:
        exported: bytes = _REAL["export"](self, spec.uri, offer)
    finally:
        _REAL["destroy"](self, spec.uri)
    return exported


def _not_destroyed(self: Pkcs11KeyManager, uri: KeyUri) -> None:
    """Say that it is done."""


def _refused_to_destroy(self: Pkcs11KeyManager, uri: KeyUri) -> None:
    raise BackendUnavailableError("the token is locked", fix="unlock it")


def _found_differently(self: Pkcs11KeyManager, uri: KeyUri) -> KeyDescription:
    found: KeyDescription = _REAL["describe"](self, uri)
    return replace(found, attributes={**found.attributes, "CKA_START_DATE": secrets.token_hex(4)})


def _made_for_nobody(self: Pkcs11KeyManager, spec: KeySpec) -> KeyDescription:
    made: KeyDescription = _REAL["create"](self, replace(spec, claim_id=secrets.token_bytes(16)))
    return made


def _found_for_nobody(self: Pkcs11KeyManager, uri: KeyUri) -> KeyDescription:
    found: KeyDescription = _REAL["describe"](self, uri)
    return replace(found, claim_id=secrets.token_bytes(16))


def _made_anew(self: Pkcs11KeyManager, uri: KeyUri, *_wrapped: object) -> KeyDescription:
    spec = KeySpec(uri=uri, algorithm="P-256", purpose=Purpose.POLICY_SIGNING, claim_id=secrets.token_bytes(16))
    made: KeyDescription = _REAL["create"](self, spec)
    return made


def _replaced_instead_of_renewed(self: Pkcs11KeyManager, uri: KeyUri) -> KeyDescription:
    _REAL["destroy"](self, uri)
    spec = KeySpec(uri=uri, algorithm="AES-256", purpose=Purpose.CREDENTIAL_SEED, claim_id=secrets.token_bytes(16))
    made: KeyDescription = _REAL["create"](self, spec)
    return made


def _offered(self: Pkcs11KeyManager, spec: KeySpec, *, hash_name: str) -> ImportOffer:
    return receiver().offer(hash_name)


def _whatever_comes_received(self: Pkcs11KeyManager, spec: KeySpec, *_wrapped: object) -> KeyDescription:
    return _made_anew(self, spec.uri)


# Check -> the algorithm, and what the store does wrong.
_SABOTAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "makes a key as declared": ("P-256", {"create": _made_for_nobody}),
    "finds it again by its URI": ("P-256", {"describe": _found_differently}),
    "lists it": ("P-256", {"names": lambda *_: []}),
    "tells another algorithm": ("P-256", {"deviations": lambda *_: []}),
    "makes no second key under the name": ("P-256", {"create": _made_over}),
    "adopts after an interruption": ("AES-256", {"describe": _found_for_nobody}),
    "misses what is not there": ("P-256", {"sign": _made_when_missing}),
    "signs": ("P-256", {"sign": _first_bytes_signed}),
    "seals nothing": ("P-256", {"seal": lambda *_, **__: "a text"}),
    "seals and opens": ("AES-256", {"open": lambda *_, **__: b"another secret"}),
    "opens nothing altered": ("AES-256", {"seal": _context_left_out, "open": _opened_without_context}),
    "signs nothing": ("AES-256", {"sign": lambda *_: b"a signature"}),
    "renews in place": ("AES-256", {"rotate": _replaced_instead_of_renewed}),
    "wraps no sole key": ("P-256", {"create": _always_extractable}),
    "rehearses a wrapped key": ("P-256", {"rehearse": lambda *_: bytes(64)}),
    "locks a key in": ("P-256", {"lock": _never_locked}),
    "takes a wrapped key back": ("P-256", {"import_wrapped": _made_anew}),
    "exports no sole key": ("P-256", {"create": _always_extractable}),
    "exports to another store": ("P-256", {"export": _another_key_exported}),
    "receives from another store": ("P-256", {"offer": _offered, "receive": _whatever_comes_received}),
    "destroys": ("P-256", {"destroy": _not_destroyed}),
    REMOVES: ("P-256", {"destroy": _refused_to_destroy}),
}
# What it says is not about the store but about `cryptography`: an altered signature verifies nowhere.
_ABOUT_VERIFYING = {"signs its message only"}


@pytest.fixture
def vault(softhsm_token: SoftHsmToken) -> VaultUri:
    return VaultUri("pkcs11", softhsm_token.label)


def _outcome(token: SoftHsmToken, vault: VaultUri, algorithm: str, check: str) -> Result:
    results = conformance.run(
        lambda: token_manager(token),
        vault,
        algorithms=[algorithm],
        random=secrets.token_bytes,
        reached=lambda _result: None,
    )
    return next(result for result in results if result.check == check)


def test_every_check_has_its_sabotage() -> None:
    assert {check.name for check in CHECKS} | {REMOVES} == _SABOTAGES.keys() | _ABOUT_VERIFYING


@pytest.mark.parametrize("name", list(_SABOTAGES))
def test_a_check_fails_over_the_store_that_it_is_there_to_find(
    softhsm_token: SoftHsmToken, vault: VaultUri, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    algorithm, sabotage = _SABOTAGES[name]
    needed = next((check.needs for check in CHECKS if check.name == name), frozenset[Capability]())
    monkeypatch.setattr(Pkcs11KeyManager, "capabilities", Pkcs11KeyManager.capabilities | needed)
    monkeypatch.setattr(conformance, "CHECKS", tuple(check for check in CHECKS if check.name == name) or CHECKS[:1])
    for method, replacement in sabotage.items():
        monkeypatch.setattr(Pkcs11KeyManager, method, replacement, raising=False)
    found = _outcome(softhsm_token, vault, algorithm, name)
    assert found.outcome is Outcome.FAILED, found
    assert found.reason


def test_what_verifies_altered_signatures_is_found(
    softhsm_token: SoftHsmToken, vault: VaultUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(using, "verifies", lambda *_: True)
    found = _outcome(softhsm_token, vault, "P-256", "signs its message only")
    assert (found.outcome, found.reason) == (Outcome.FAILED, "the signature verifies over another message")


def test_an_algorithm_that_the_store_lacks_is_not_offered_and_no_failure(
    softhsm_token: SoftHsmToken, vault: VaultUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_self: Pkcs11KeyManager, spec: KeySpec) -> KeyDescription:
        raise NotOfferedError(f"the token makes no {spec.algorithm} key", fix="choose another")

    monkeypatch.setattr(Pkcs11KeyManager, "create", refused)
    results = conformance.run(
        lambda: token_manager(softhsm_token),
        vault,
        algorithms=["P-384"],
        random=secrets.token_bytes,
        reached=lambda _result: None,
    )
    assert len(results) == conformance.total(["P-384"])
    assert {result.outcome for result in results[:-1]} == {Outcome.NOT_OFFERED}
    assert results[-1].outcome is Outcome.PASSED


def test_a_run_that_is_interrupted_in_a_check_removes_what_it_made(
    softhsm_token: SoftHsmToken, vault: VaultUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(trial: Trial) -> None:
        trial.make()
        raise KeyboardInterrupt

    monkeypatch.setattr(conformance, "CHECKS", (CHECKS[0], replace(CHECKS[1], run=interrupted)))
    with pytest.raises(KeyboardInterrupt):
        _outcome(softhsm_token, vault, "P-256", CHECKS[1].name)
    assert token_manager(softhsm_token).names(vault) == []
