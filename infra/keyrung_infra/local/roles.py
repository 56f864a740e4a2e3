"""One token per role, and the short life of a root token.

No root token outlives the call that needed it. Token files are written after the root tokens are revoked: a run that
dies in between leaves no file, and the next run makes new tokens and revokes what the dead one left.
"""

import base64
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

from keyrung_infra.errors import InfraError
from keyrung_infra.files import write_private
from keyrung_infra.local.client import Client, RefusedError
from keyrung_infra.local.layout import ROLES, OpenBaoLayout
from keyrung_infra.local.policies import policy_fingerprint, policy_name, policy_text

# Each `keyrung dev up` renews the tokens for as long again.
_PERIOD = "720h"


def tokens_in_need(layout: OpenBaoLayout, client: Client) -> list[str]:
    """Return the roles whose token is missing, no longer valid, or made under another policy text; renew the others."""
    return [role for role in ROLES if not _renewed(layout, client, role)]


def issue_tokens(root: Client, roles: Iterable[str]) -> dict[str, str]:
    """Write the policies of ``roles`` and return a new token for each; older tokens of these roles are revoked."""
    names = {policy_name(role): role for role in roles}
    for name, role in names.items():
        root.call("PUT", f"sys/policies/acl/{name}", {"policy": policy_text(role)})
    _revoke_holders(root, {*names, "root"})
    return {role: _create(root, role) for role in names.values()}


def save_tokens(layout: OpenBaoLayout, tokens: dict[str, str]) -> None:
    """Write each token to its role's file."""
    for role, token in tokens.items():
        write_private(layout.token(role), f"{token}\n".encode())


@contextmanager
def root_client(client: Client, token: str) -> Iterator[Client]:
    """Yield ``client`` as root and revoke the root token at the end, whatever happened."""
    root = client.with_token(token)
    try:
        yield root
    finally:
        root.call("POST", "auth/token/revoke-self")


def generate_root(admin: Client, unseal_key: str) -> str:
    """Return a new root token, made with the unseal key over the owner's socket."""
    admin.call("DELETE", "sys/generate-root/attempt")  # one that a killed run began
    attempt = admin.call("PUT", "sys/generate-root/attempt")
    answer = admin.call("PUT", "sys/generate-root/update", {"key": unseal_key, "nonce": attempt["nonce"]})
    if not answer.get("complete"):
        raise InfraError("OpenBao wants more than the one unseal key", fix="run make clean, then keyrung dev up")
    encoded = str(answer["encoded_token"])
    masked = base64.b64decode(encoded + "=" * (-len(encoded) % 4))
    # The answer is the token XORed with the attempt's one-time pad.
    return bytes(left ^ right for left, right in zip(masked, attempt["otp"].encode(), strict=True)).decode("ascii")


def _renewed(layout: OpenBaoLayout, client: Client, role: str) -> bool:
    try:
        token = layout.token(role).read_text("ascii").strip()
    except (OSError, ValueError):
        return False
    if not token:
        return False
    try:
        auth = client.with_token(token).call("POST", "auth/token/renew-self")["auth"]
    except RefusedError as error:
        if error.status != HTTPStatus.FORBIDDEN:  # sealed or out of disk space says nothing about the token
            raise
        return False
    return (auth.get("metadata") or {}) == _metadata(role)


def _create(root: Client, role: str) -> str:
    answer = root.call(
        "POST",
        "auth/token/create-orphan",
        {
            "policies": [policy_name(role)],
            "no_default_policy": True,
            "period": _PERIOD,
            "renewable": True,
            "display_name": role,
            "meta": _metadata(role),
        },
    )
    return str(answer["auth"]["client_token"])


def _metadata(role: str) -> dict[str, str]:
    return {"role": role, "policy": policy_fingerprint(role)}


def _revoke_holders(root: Client, policies: set[str]) -> None:
    """Revoke every token but our own that holds one of ``policies``."""
    own = root.call("GET", "auth/token/lookup-self")["data"]["accessor"]
    for accessor in root.call("LIST", "auth/token/accessors")["data"]["keys"]:
        if accessor == own:
            continue
        try:
            held = root.call("POST", "auth/token/lookup-accessor", {"accessor": accessor})["data"]["policies"]
        except RefusedError:  # it expired in between
            continue
        if policies.intersection(held):
            root.call("POST", "auth/token/revoke-accessor", {"accessor": accessor})
