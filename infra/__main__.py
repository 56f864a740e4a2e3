"""The stack: settings, keys, policies, verifier. `pulumi up` runs this file."""

from pathlib import Path

import pulumi

from keyrung_infra.policy_text import policy_text
from keyrung_infra.project import find_root
from keyrung_infra.resources import Key, KeyVault, PolicySet, VerifierConfig
from keyrung_infra.settings import StackSettings
from keyrung_infra.verifier_document import verifier_document
from keyrung_provisioners.api import Purpose

settings = StackSettings.load()
stack = pulumi.get_stack()
protected = pulumi.ResourceOptions(protect=settings.protect_keys)
token = KeyVault("token", uri=settings.token)
transit = KeyVault("transit", uri=settings.transit)


def key(purpose: Purpose, vault: KeyVault, algorithm: str = "P-256") -> Key:
    """Declare the one key of ``purpose``, named after it and the stack."""
    return Key(
        purpose.value,
        vault=vault.uri,
        key_name=f"{purpose}-{stack}",
        purpose=purpose,
        algorithm=algorithm,
        generation=settings.key_generation,
        publish_seconds=settings.key_publish_seconds,
        overlap_seconds=settings.key_overlap_seconds,
        deletion_protection=settings.protect_keys,
        opts=pulumi.ResourceOptions(depends_on=[vault]),
    )


keys = {
    Purpose.ASSERTION_SIGNING: key(Purpose.ASSERTION_SIGNING, token),
    Purpose.POLICY_SIGNING: key(Purpose.POLICY_SIGNING, transit),
    Purpose.AUDIT_SIGNING: key(Purpose.AUDIT_SIGNING, transit),
    Purpose.CREDENTIAL_SEED: key(Purpose.CREDENTIAL_SEED, transit, "AES-256"),
}
bundle = PolicySet(
    "policies",
    policy=policy_text(find_root(Path(__file__).parent) / "policies" / "catalog"),
    signing_key=keys[Purpose.POLICY_SIGNING],
    path=f"{settings.state_folder}/verifier/policy-bundle.json",
    lifetime_days=settings.bundle_lifetime_days,
    allow_weaker=settings.allow_weaker_policies,
    opts=protected,
)
VerifierConfig(
    "verifier",
    document=verifier_document(settings, keys, bundle_path=bundle.path),
    path=f"{settings.state_folder}/verifier/config.json",
    opts=protected,
)

pulumi.export("policyVersion", bundle.version)
pulumi.export(
    "keys", {purpose.value: {"uri": made.uri, "thumbprint": made.thumbprint} for purpose, made in keys.items()}
)
