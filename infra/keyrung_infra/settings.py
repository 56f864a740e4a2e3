"""The stack's settings, typed: what `infra/__main__.py` may be told, and what it does when it is not."""

import json
from dataclasses import dataclass
from typing import Any

import pulumi


@dataclass(frozen=True, slots=True, kw_only=True)
class StackSettings:
    """Settings of one stack; Pulumi.yaml documents and types each of them.

    Attributes:
        token: Vault of the assertion key.
        transit: Vault of the policy, audit and seed keys.
        issuer: Public URL of the verifier, a literal or a reference.
        verifier_backends: How the verifier reaches the vaults, with credentials of its own (references).
        clients: Applications that may ask for decisions.
    """

    token: str
    transit: str
    state_folder: str
    issuer: str
    protect_keys: bool
    key_generation: int
    key_publish_seconds: int
    key_overlap_seconds: int
    bundle_lifetime_days: int
    allow_weaker_policies: bool
    verifier_backends: dict[str, str]
    clients: list[dict[str, str]]

    @classmethod
    def load(cls) -> "StackSettings":
        """Return the settings of the selected stack."""
        config = pulumi.Config()
        return cls(
            token=config.require("token"),
            transit=config.require("transit"),
            state_folder=config.require("stateFolder"),
            issuer=config.require("issuer"),
            protect_keys=config.require_bool("protectKeys"),
            key_generation=config.require_int("keyGeneration"),
            key_publish_seconds=config.require_int("keyPublishSeconds"),
            key_overlap_seconds=config.require_int("keyOverlapSeconds"),
            bundle_lifetime_days=config.require_int("bundleLifetimeDays"),
            allow_weaker_policies=config.require_bool("allowWeakerPolicies"),
            verifier_backends=_object(config, "verifierBackends"),
            clients=_object(config, "clients"),
        )


def _object(config: pulumi.Config, name: str) -> Any:
    return json.loads(config.require(name))
