"""What each role may do in OpenBao: as little as its job needs.

Transit key names start with their purpose (`audit-signing-local`), because a path in an OpenBao policy may end in a
glob but has none in its middle: so the purpose, not the stack, is what a rule can name. A rule that ends in `*` also
covers the hash algorithm, which `sign`, `verify` and `hmac` take as a further path segment.
"""

import hashlib
from collections.abc import Mapping

from keyrung_infra.local.layout import TRANSIT_MOUNT

_Rules = Mapping[str, tuple[str, ...]]

# Without the `default` policy a token can only do what stands here; this much every role needs to stay alive.
_OWN_TOKEN: _Rules = {
    "auth/token/lookup-self": ("read",),
    "auth/token/renew-self": ("update",),
}
# `update` mounts engines, makes keys and uses them. `create` is given nowhere: with it, encrypting under a missing key
# would make that key.
RULES: Mapping[str, _Rules] = {
    "deployer": {
        f"sys/mounts/{TRANSIT_MOUNT}": ("read", "update", "delete"),
        f"{TRANSIT_MOUNT}/keys": ("list",),
        f"{TRANSIT_MOUNT}/keys/+": ("read", "update", "delete"),
        f"{TRANSIT_MOUNT}/keys/+/config": ("update",),
        f"{TRANSIT_MOUNT}/keys/+/rotate": ("update",),
        f"{TRANSIT_MOUNT}/keys/+/trim": ("update",),
        f"{TRANSIT_MOUNT}/wrapping_key": ("read",),
        f"{TRANSIT_MOUNT}/keys/+/import": ("update",),
        f"{TRANSIT_MOUNT}/keys/+/import_version": ("update",),
        f"{TRANSIT_MOUNT}/sign/policy-signing*": ("update",),
        f"{TRANSIT_MOUNT}/verify/*": ("update",),
        f"{TRANSIT_MOUNT}/hmac/credential-seed*": ("update",),
        # A kek seals shares of escrows here; who may open them is decided elsewhere, so no role decrypts with one.
        f"{TRANSIT_MOUNT}/hmac/kek*": ("update",),
        f"{TRANSIT_MOUNT}/encrypt/kek*": ("update",),
    },
    "verifier": {
        f"{TRANSIT_MOUNT}/keys/+": ("read",),
        f"{TRANSIT_MOUNT}/sign/audit-signing*": ("update",),
        f"{TRANSIT_MOUNT}/hmac/credential-seed*": ("update",),
        f"{TRANSIT_MOUNT}/encrypt/credential-seed*": ("update",),
        f"{TRANSIT_MOUNT}/decrypt/credential-seed*": ("update",),
    },
    "auditor": {
        f"{TRANSIT_MOUNT}/keys": ("list",),
        f"{TRANSIT_MOUNT}/keys/+": ("read",),
        f"{TRANSIT_MOUNT}/verify/*": ("update",),
    },
}


def policy_name(role: str) -> str:
    """Return the name of the role's policy in OpenBao."""
    return f"keyrung-{role}"


def policy_text(role: str) -> str:
    """Return the role's policy in OpenBao's own language."""
    rules = {**_OWN_TOKEN, **RULES[role]}
    return "".join(
        f'path "{path}" {{\n  capabilities = [{", ".join(f"{chr(34)}{name}{chr(34)}" for name in capabilities)}]\n}}\n'
        for path, capabilities in rules.items()
    )


def policy_fingerprint(role: str) -> str:
    """Return a digest of the role's policy; a token made under another text is replaced."""
    return hashlib.sha256(policy_text(role).encode()).hexdigest()
