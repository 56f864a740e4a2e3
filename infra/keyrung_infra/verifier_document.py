"""Puts together the verifier's configuration from what the stack declares and what its keys turned out to be."""

from collections.abc import Mapping

import pulumi

from keyrung_infra.resources import Key
from keyrung_infra.settings import StackSettings
from keyrung_provisioners.api import Purpose
from keyrung_provisioners.encoding import public_jwk


def verifier_document(
    settings: StackSettings, keys: Mapping[Purpose, Key], *, bundle_path: pulumi.Input[str]
) -> pulumi.Output[str]:
    """Return the configuration (JSON) once every key is known."""
    folder = settings.state_folder
    policy, audit, seed = (
        keys[purpose] for purpose in (Purpose.POLICY_SIGNING, Purpose.AUDIT_SIGNING, Purpose.CREDENTIAL_SEED)
    )
    return pulumi.Output.json_dumps(
        {
            "issuer": settings.issuer,
            "tls": {"certificate": f"{folder}/tls/server.pem", "key": f"{folder}/tls/server-key.pem"},
            "store": f"{folder}/verifier/store.db",
            "inventory": f"{folder}/inventory.db",
            "policy": {"bundle": bundle_path, "keys": _trusted(policy)},
            "audit": {
                "store": f"{folder}/verifier/store.db",
                "checkpoints": f"{folder}/verifier/checkpoints.jsonl",
                "keys": [audit.public_key_pem.apply(public_jwk)],
            },
            "assertion_key": _signing_key(keys[Purpose.ASSERTION_SIGNING]),
            "audit_key": _signing_key(audit),
            "seed_key": {"uri": seed.uri, "generation": seed.generation},
            "clients": settings.clients,
            "backends": settings.verifier_backends,
        },
        indent=2,
        sort_keys=True,
    )


def _signing_key(key: Key) -> dict[str, pulumi.Input[object]]:
    return {
        "uri": key.uri,
        "generation": key.generation,
        "state": key.state,
        "thumbprint": key.thumbprint,
        "jwk": key.public_key_pem.apply(public_jwk),
    }


def _trusted(key: Key) -> pulumi.Output[dict[str, dict[str, str]]]:
    return pulumi.Output.all(key.thumbprint, key.public_key_pem).apply(
        lambda values: {values[0]: public_jwk(values[1])}
    )
