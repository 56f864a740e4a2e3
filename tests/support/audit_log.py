"""A good log, written here from the format's text alone: neither the writer nor the reader made it."""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keyrung_audit import PublicKey, Report, load_public_key, verify

KEY_URI = "pkcs11:token=keyrung;object=assertion"
KEY_THUMBPRINT = "bWFkZS11cC10aHVtYnByaW50LW9mLWEtdGVzdC1rZXk"


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class AuditKey:
    """A private key of the test that signs checkpoints."""

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self._ec = ec.generate_private_key(ec.SECP256R1())
        self._ed = ed25519.Ed25519PrivateKey.generate()
        handle = self._ec if algorithm == "ES256" else self._ed
        self.pem = handle.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self.public: PublicKey = load_public_key(self.pem)
        self.kid = self.public.key_id

    def sign(self, data: bytes) -> bytes:
        if self.algorithm == "Ed25519":
            return self._ed.sign(data)
        r, s = decode_dss_signature(self._ec.sign(data, ec.ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def jws(self, payload: bytes, **header: object) -> bytes:
        members = {"alg": self.algorithm, "kid": self.kid, "typ": "audit-checkpoint+jws"} | header
        signing_input = f"{b64(canonical(members))}.{b64(payload)}"
        return f"{signing_input}.{b64(self.sign(signing_input.encode()))}".encode()

    def checkpoint(self, seq: int, line: bytes, **changes: object) -> bytes:
        time = f"2026-11-25T02:{seq // 60 % 60:02}:{seq % 60:02}.000000Z"
        return self.jws(canonical({"v": 1, "shard": "main", "seq": seq, "head": sha256(line), "time": time} | changes))


def record(number: int, prev: str, **changes: Any) -> bytes:
    members: dict[str, Any] = {
        "v": 1,
        "shard": "main",
        "seq": number,
        "prev": prev,
        "time": f"2026-11-25T01:{number // 60 % 60:02}:{number % 60:02}.000000Z",
        "event": "access.evaluated",
        "outcome": "step_up",
        "reason": None,
        "actor": "sample-api",
        "subject": "ab" * 32,
        "session": "cd" * 32,
        "action": "payments.transfer",
        "request_digest": "q" * 43,
        "rule_ids": ["large-transfer"],
        "policy_digest": "sha-256:abc",
        "policy_version": 1,
        "factor": None,
        "credential_id": None,
        "key": None,
        "challenge": None,
        "jti": None,
        "correlation_id": f"c-{number}",
        "attributes": {"resource.amount_minor": 250000, "resource.payee": "Zoë \u2028 & Söhne"},
        "detail": None,
    }
    return canonical(members | changes)


def chain(changes: list[dict[str, Any]]) -> list[bytes]:
    """Return lines linked in order, each with its own changes to the plain record."""
    lines: list[bytes] = []
    for seq, change in enumerate(changes):
        prev = sha256(lines[-1]) if lines else "0" * 64
        lines.append(record(change.get("seq", seq), prev, **change))
    return lines


def key(state: str, **changes: object) -> dict[str, object]:
    return {"uri": KEY_URI, "generation": 1, "state": state, "thumbprint": KEY_THUMBPRINT} | changes


def plain_changes(audit_key: AuditKey, count: int) -> list[dict[str, Any]]:
    """Return the story of a small log: opened, a key made and activated, then step-ups."""
    life = {"event_id": "e", "purpose": "assertion-signing", "at": "2026-11-25T00:00:00.000000Z"}
    opening: list[dict[str, Any]] = [
        {"event": "log.opened", "outcome": None, "detail": {"audit_key": audit_key.kid, "salt": "0f" * 32}},
        {"event": "key.claimed", "outcome": None, "key": key("pre-activation", thumbprint=None), "detail": life},
        {"event": "key.created", "outcome": None, "key": key("pre-activation"), "detail": life},
        {"event": "key.activated", "outcome": None, "key": key("active"), "detail": life},
        {"event": "verifier.started", "outcome": None, "detail": {}},
    ]
    issued = {"event": "assertion.issued", "outcome": "success", "key": key("active"), "jti": "12" * 32}
    return opening + [dict(issued) if index % 3 == 0 else {} for index in range(count - len(opening))]


@dataclass(kw_only=True)
class Log:
    """A log with its checkpoints, and the key that vouches for it."""

    key: AuditKey
    lines: list[bytes]
    checkpoints: list[bytes] = field(default_factory=list)

    def check(self, lines: list[bytes] | None = None, checkpoints: list[bytes] | None = None) -> Report:
        return verify(
            self.lines if lines is None else lines,
            self.checkpoints if checkpoints is None else checkpoints,
            [self.key.public],
        )


def good_log(audit_key: AuditKey, count: int = 14) -> Log:
    lines = chain(plain_changes(audit_key, count))
    covered = sorted({4, count // 2, count - 1})
    return Log(key=audit_key, lines=lines, checkpoints=[audit_key.checkpoint(seq, lines[seq]) for seq in covered])


def signed_log(audit_key: AuditKey, lines: list[bytes]) -> Log:
    return Log(key=audit_key, lines=lines, checkpoints=[audit_key.checkpoint(len(lines) - 1, lines[-1])])
