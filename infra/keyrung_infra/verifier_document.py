"""Puts together the verifier's configuration from what the stack declares and what its keys turned out to be."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from keyrung_infra.resources import Key
from keyrung_infra.targets.local_settings import LocalSettings
from keyrung_provisioners.api import Purpose
from keyrung_provisioners.encoding import public_jwk
from keyrung_provisioners.states import KeyState

Generations = Sequence[Mapping[str, Any]]


def verifier_document(
    settings: LocalSettings, keys: Mapping[Purpose, Key], *, bundle_path: pulumi.Input[str]
) -> pulumi.Output[str]:
    """Return the configuration (JSON) once every key is known."""
    folder = settings.state_folder
    audit = keys[Purpose.AUDIT_SIGNING].generations
    return pulumi.Output.json_dumps(
        {
            "issuer": settings.issuer,
            "tls": {"certificate": f"{folder}/tls/server.pem", "key": f"{folder}/tls/server-key.pem"},
            "store": f"{folder}/verifier/store.db",
            "inventory": f"{folder}/inventory.db",
            "policy": {"bundle": bundle_path, "keys": keys[Purpose.POLICY_SIGNING].generations.apply(trusted_keys)},
            "audit": {
                "store": f"{folder}/verifier/store.db",
                "checkpoints": f"{folder}/verifier/checkpoints.jsonl",
                "keys": audit.apply(public_keys),
            },
            "assertion_keys": keys[Purpose.ASSERTION_SIGNING].generations.apply(signing_keys),
            "audit_keys": audit.apply(signing_keys),
            "seed_keys": keys[Purpose.CREDENTIAL_SEED].generations.apply(sealing_keys),
            "clients": settings.clients,
            "backends": settings.verifier_backends,
        },
        indent=2,
        sort_keys=True,
    )


def signing_keys(generations: Generations) -> list[dict[str, Any]]:
    """Return every generation of a signing key with its public half, as a verifier's configuration has them."""
    return [
        {**_key(each), "thumbprint": each["thumbprint"], "jwk": public_jwk(each["public_key_pem"])}
        for each in _made(generations)
    ]


def sealing_keys(generations: Generations) -> list[dict[str, Any]]:
    """Return every generation of a sealing key."""
    return [_key(each) for each in _made(generations)]


def _key(generation: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "uri": generation["uri"],
        "generation": int(generation["generation"]),
        "state": generation["state"],
        "use_not_before": generation["useNotBefore"],
    }


def trusted_keys(generations: Generations) -> dict[str, dict[str, str]]:
    """Return the public keys whose signature counts: the next generation's too, the last one's until it is over."""
    counts = {KeyState.ACTIVE, KeyState.DEACTIVATED}
    return {
        each["thumbprint"]: public_jwk(each["public_key_pem"]) for each in _made(generations) if each["state"] in counts
    }


def public_keys(generations: Generations) -> list[dict[str, str]]:
    """Return every public key there ever was: old records stay to be verified."""
    return [public_jwk(each["public_key_pem"]) for each in _made(generations)]


def _made(generations: Generations) -> Generations:
    """Return those that were ever fit for use; one that was given up before has no public key that counts."""
    return [each for each in generations if each["useNotBefore"]]
