"""The stack for development: keys in a token and in Transit, the policy and the verifier's configuration as files."""

from collections.abc import Mapping
from typing import Any

import pulumi

from keyrung_infra.resources import Key, KeyVault, PolicySet, VerifierConfig
from keyrung_infra.targets.local_settings import LocalSettings
from keyrung_infra.verifier_document import verifier_document
from keyrung_provisioners.api import Purpose


def deploy(policy: str) -> Mapping[str, pulumi.Input[Any]]:
    """Declare the stack that enforces ``policy`` (canonical JSON) and return what it exports."""
    settings = LocalSettings.load()
    token = KeyVault("token", uri=settings.token)
    transit = KeyVault("transit", uri=settings.transit)
    keys = {
        Purpose.ASSERTION_SIGNING: _key(settings, Purpose.ASSERTION_SIGNING, token),
        Purpose.POLICY_SIGNING: _key(settings, Purpose.POLICY_SIGNING, transit),
        Purpose.AUDIT_SIGNING: _key(settings, Purpose.AUDIT_SIGNING, transit),
        Purpose.CREDENTIAL_SEED: _key(settings, Purpose.CREDENTIAL_SEED, transit, "AES-256"),
    }
    protected = pulumi.ResourceOptions(protect=settings.protect_keys)
    bundle_path = f"{settings.state_folder}/verifier/policy-bundle.json"
    bundle = PolicySet(
        "policies",
        policy=policy,
        signing_key=keys[Purpose.POLICY_SIGNING],
        path=bundle_path,
        lifetime_days=settings.bundle_lifetime_days,
        allow_weaker=settings.allow_weaker_policies,
        opts=protected,
    )
    VerifierConfig(
        "verifier",
        document=verifier_document(settings, keys, bundle_path=bundle_path),
        path=f"{settings.state_folder}/verifier/config.json",
        opts=pulumi.ResourceOptions(protect=settings.protect_keys, depends_on=[bundle]),
    )
    found = {purpose.value: {"uri": made.uri, "thumbprint": made.thumbprint} for purpose, made in keys.items()}
    return {"policyVersion": bundle.version, "keys": found}


def _key(settings: LocalSettings, purpose: Purpose, vault: KeyVault, algorithm: str = "P-256") -> Key:
    """Declare the one key of ``purpose``, named after it and the stack."""
    return Key(
        purpose.value,
        vault=vault.uri,
        key_name=f"{purpose}-{pulumi.get_stack()}",
        purpose=purpose,
        algorithm=algorithm,
        generation=settings.key_generation,
        publish_seconds=settings.key_publish_seconds,
        overlap_seconds=settings.key_overlap_seconds,
        cryptoperiod_days=settings.cryptoperiod_days,
        deletion_protection=settings.protect_keys,
        opts=pulumi.ResourceOptions(depends_on=[vault]),
    )
