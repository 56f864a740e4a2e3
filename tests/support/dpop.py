"""A client with a key of its own that makes DPoP proofs, written from RFC 9449 and not from the code under test."""

import hashlib
import json
import secrets
from typing import Any

from support.verifier import ORIGIN, UnsafeTestKey, World, b64

TOKEN = "the-base-token"
TOKEN_SHA256 = b64(hashlib.sha256(TOKEN.encode()).digest())


class DpopClient:
    """A client whose session at the application is bound to its key."""

    def __init__(self, world: World, name: str = "client") -> None:
        self.world = world
        self.key = UnsafeTestKey(f"dpop-{name}")
        self.jkt = self.key.key_id

    def session(self, session_id: str = "sid-1") -> dict[str, str]:
        return {"id": session_id, "dpop_jkt": self.jkt}

    def nonce(self) -> str:
        return str(self.world.http("GET", "/stepup/v1/challenges/x").headers["DPoP-Nonce"])

    def proof(
        self,
        method: str = "POST",
        url: str = "https://api.example/profile",
        *,
        header: dict[str, Any] | None = None,
        signer: UnsafeTestKey | None = None,
        **claims: Any,
    ) -> str:
        """Return a proof; a claim or header member of None is left out."""
        stated = {
            "jti": secrets.token_urlsafe(),
            "htm": method,
            "htu": url,
            "iat": int(self.world.clock.now().timestamp()),
            "nonce": self.nonce(),
        } | claims
        head = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.key.public_jwk} | (header or {})
        return signed(head, stated, signer or self.key)

    def answer_proof(self, challenge_id: str, **changes: Any) -> str:
        return self.proof(url=f"{ORIGIN}/stepup/v1/challenges/{challenge_id}/response", **changes)

    def respond(self, challenge_id: str, code: str, proof: str | None) -> Any:
        path = f"/stepup/v1/challenges/{challenge_id}/response"
        return self.world.http("POST", path, {"factor": "otp", "code": code}, dpop=proof)

    def use(self, proof: str | None = None, **changes: Any) -> dict[str, str]:
        """Return what a guard sends of a request that came with a proof."""
        return {"proof": proof or self.proof(ath=TOKEN_SHA256, **changes), "token_sha256": TOKEN_SHA256}


def signed(header: dict[str, Any], claims: dict[str, Any], key: UnsafeTestKey) -> str:
    members = [{name: value for name, value in each.items() if value is not None} for each in (header, claims)]
    text = ".".join(b64(json.dumps(each).encode()) for each in members)
    return f"{text}.{b64(key.sign(text.encode()))}"
