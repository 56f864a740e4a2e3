"""Every permission of every role, and every refusal, against the real server."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from support.openbao import OpenBaoServer

from keyrung_infra.local.client import RefusedError
from keyrung_infra.local.layout import ROLES

_TEXT = base64.b64encode(b"text").decode()
_PURPOSES = {
    "policy-signing": "ecdsa-p256",
    "audit-signing": "ecdsa-p256",
    "credential-seed": "aes256-gcm96",
    "assertion-signing": "ecdsa-p256",
}
_SIGN = {"input": _TEXT, "marshaling_algorithm": "jws"}


@pytest.fixture(scope="module")
def keys(openbao: OpenBaoServer) -> Iterator[dict[str, str]]:
    """One key per purpose, its name by its purpose."""
    deployer = openbao.client("deployer")
    names = {purpose: openbao.key_name(purpose) for purpose in _PURPOSES}
    for purpose, name in names.items():
        deployer.call("POST", f"keyrung/keys/{name}", {"type": _PURPOSES[purpose]})
    yield names
    for name in names.values():
        deployer.call("POST", f"keyrung/keys/{name}/config", {"deletion_allowed": True})
        deployer.call("DELETE", f"keyrung/keys/{name}")


def _sealed(openbao: OpenBaoServer, name: str) -> str:
    answer = openbao.client("verifier").call("POST", f"keyrung/encrypt/{name}", {"plaintext": _TEXT})
    return str(answer["data"]["ciphertext"])


def _signature(openbao: OpenBaoServer, name: str) -> str:
    answer = openbao.client("deployer").call("POST", f"keyrung/sign/{name}/sha2-256", _SIGN)
    return str(answer["data"]["signature"])


# Role -> what it may do, as (method, path with {purpose} for a key's name).
_SEED_MAC = ("POST", "keyrung/hmac/{credential-seed}")
_ALLOWED = {
    "deployer": [
        ("GET", "sys/mounts/keyrung"),
        ("LIST", "keyrung/keys"),
        ("GET", "keyrung/keys/{policy-signing}"),
        ("POST", "keyrung/sign/{policy-signing}"),
        ("POST", "keyrung/sign/{policy-signing}/sha2-256"),
        ("POST", "keyrung/verify/{policy-signing}"),
        ("POST", "keyrung/keys/{policy-signing}/rotate"),
        ("GET", "keyrung/wrapping_key"),
        _SEED_MAC,
    ],
    "verifier": [
        ("GET", "keyrung/keys/{audit-signing}"),
        ("POST", "keyrung/sign/{audit-signing}"),
        ("POST", "keyrung/encrypt/{credential-seed}"),
        ("POST", "keyrung/decrypt/{credential-seed}"),
        _SEED_MAC,
    ],
    "auditor": [
        ("LIST", "keyrung/keys"),
        ("GET", "keyrung/keys/{audit-signing}"),
        ("POST", "keyrung/verify/{policy-signing}"),
    ],
}
# What nobody may do, and what each role must leave to another.
_NEVER = [
    ("POST", "keyrung/sign/{assertion-signing}"),
    ("GET", "keyrung/export/signing-key/{policy-signing}"),
    ("GET", "keyrung/backup/{policy-signing}"),
    ("GET", "keyrung/byok-export/{audit-signing}/{policy-signing}"),
    ("POST", "keyrung/encrypt/{policy-signing}"),
    ("POST", "keyrung/rewrap/{credential-seed}"),
    ("POST", "keyrung/datakey/plaintext/{credential-seed}"),
    ("POST", "sys/mounts/other"),
    ("POST", "sys/mounts/keyrung/tune"),
    ("PUT", "sys/policies/acl/keyrung-verifier"),
    ("GET", "sys/policies/acl/keyrung-verifier"),
    ("POST", "auth/token/create"),
    ("POST", "auth/token/create-orphan"),
    ("LIST", "auth/token/accessors"),
    ("POST", "sys/seal"),
    ("PUT", "sys/audit/file"),
]
_REFUSED = {
    "deployer": [
        *_NEVER,
        ("POST", "keyrung/sign/{audit-signing}"),
        ("POST", "keyrung/encrypt/{credential-seed}"),
        ("POST", "keyrung/decrypt/{credential-seed}"),
    ],
    "verifier": [
        *_NEVER,
        ("LIST", "keyrung/keys"),
        ("POST", "keyrung/sign/{policy-signing}"),
        ("POST", "keyrung/verify/{policy-signing}"),
        ("POST", "keyrung/keys/{credential-seed}/config"),
        ("POST", "keyrung/keys/{policy-signing}/rotate"),
        ("POST", "keyrung/keys/{policy-signing}/trim"),
        ("GET", "keyrung/wrapping_key"),
        ("POST", "keyrung/keys/new/import"),
        ("POST", "keyrung/keys/new"),
        ("DELETE", "keyrung/keys/{credential-seed}"),
        ("DELETE", "sys/mounts/keyrung"),
        ("GET", "sys/mounts/keyrung"),
    ],
    "auditor": [
        *_NEVER,
        ("POST", "keyrung/sign/{audit-signing}"),
        ("POST", "keyrung/sign/{policy-signing}"),
        ("POST", "keyrung/encrypt/{credential-seed}"),
        ("POST", "keyrung/decrypt/{credential-seed}"),
        ("POST", "keyrung/hmac/{credential-seed}"),
        ("POST", "keyrung/keys/{credential-seed}/config"),
        ("POST", "keyrung/keys/{policy-signing}/rotate"),
        ("POST", "keyrung/keys/{policy-signing}/trim"),
        ("GET", "keyrung/wrapping_key"),
        ("POST", "keyrung/keys/new/import"),
        ("POST", "keyrung/keys/new"),
        ("DELETE", "keyrung/keys/{credential-seed}"),
        ("DELETE", "sys/mounts/keyrung"),
        ("GET", "sys/mounts/keyrung"),
    ],
}


def _body(openbao: OpenBaoServer, method: str, path: str, keys: dict[str, str]) -> dict[str, Any] | None:
    """Return a body with which the call succeeds for someone who may make it."""
    if method != "POST":
        return None
    operation = path.split("/")[1]
    bodies: dict[str, dict[str, Any]] = {
        "sign": _SIGN,
        "encrypt": {"plaintext": _TEXT},
        "hmac": {"input": _TEXT},
    }
    if operation == "decrypt":
        return {"ciphertext": _sealed(openbao, keys["credential-seed"])}
    if operation == "verify":
        return {**_SIGN, "signature": _signature(openbao, keys["policy-signing"])}
    return bodies.get(operation, {})


def _cases(table: dict[str, list[tuple[str, str]]]) -> list[tuple[str, str, str]]:
    return [(role, method, path) for role, calls in table.items() for method, path in calls]


@pytest.mark.parametrize(("role", "method", "path"), _cases(_ALLOWED))
def test_role_may(openbao: OpenBaoServer, keys: dict[str, str], role: str, method: str, path: str) -> None:
    openbao.client(role).call(method, path.format_map(keys), _body(openbao, method, path, keys))


@pytest.mark.parametrize(("role", "method", "path"), _cases(_REFUSED))
def test_role_may_not(openbao: OpenBaoServer, keys: dict[str, str], role: str, method: str, path: str) -> None:
    with pytest.raises(RefusedError) as refused:
        openbao.client(role).call(method, path.format_map(keys), _body(openbao, method, path, keys))
    assert refused.value.status == 403


def test_deployer_creates_and_deletes_a_key(openbao: OpenBaoServer) -> None:
    deployer, name = openbao.client("deployer"), openbao.key_name("audit-signing")
    deployer.call("POST", f"keyrung/keys/{name}", {"type": "ecdsa-p256"})
    with pytest.raises(RefusedError):
        deployer.call("DELETE", f"keyrung/keys/{name}")
    deployer.call("POST", f"keyrung/keys/{name}/config", {"deletion_allowed": True})
    deployer.call("DELETE", f"keyrung/keys/{name}")
    with pytest.raises(RefusedError) as missing:
        deployer.call("GET", f"keyrung/keys/{name}")
    assert missing.value.status == 404


def test_encrypting_under_a_missing_key_makes_none(openbao: OpenBaoServer) -> None:
    deployer, name = openbao.client("deployer"), openbao.key_name("credential-seed")
    with pytest.raises(RefusedError):
        deployer.call("POST", f"keyrung/encrypt/{name}", {"plaintext": _TEXT})
    assert name not in deployer.call("LIST", "keyrung/keys")["data"]["keys"]


def test_deployer_mounts_and_unmounts(own_openbao: OpenBaoServer) -> None:
    deployer = own_openbao.client("deployer")
    deployer.call("DELETE", "sys/mounts/keyrung")
    with pytest.raises(RefusedError):
        deployer.call("GET", "sys/mounts/keyrung")
    deployer.call("POST", "sys/mounts/keyrung", {"type": "transit"})


@pytest.mark.parametrize("role", ROLES)
def test_token_is_orphan_periodic_renewable_and_has_one_policy(openbao: OpenBaoServer, role: str) -> None:
    token = openbao.client(role).call("GET", "auth/token/lookup-self")["data"]
    assert (token["orphan"], token["renewable"], token["period"]) == (True, True, 30 * 24 * 3600)
    assert token["policies"] == [f"keyrung-{role}"]


def test_no_root_token_is_left(own_openbao: OpenBaoServer) -> None:
    with own_openbao.root() as root:
        own = root.call("GET", "auth/token/lookup-self")["data"]["accessor"]
        held = [
            root.call("POST", "auth/token/lookup-accessor", {"accessor": accessor})["data"]["policies"]
            for accessor in root.call("LIST", "auth/token/accessors")["data"]["keys"]
            if accessor != own
        ]
    assert sorted(held) == [["keyrung-auditor"], ["keyrung-deployer"], ["keyrung-verifier"]]


def test_root_token_cannot_be_generated_over_tcp(openbao: OpenBaoServer) -> None:
    for method in ("PUT", "DELETE"):
        with pytest.raises(RefusedError, match="unsupported operation"):
            openbao.openbao.server.client().call(method, "sys/generate-root/attempt")
