"""The stack: settings, keys, policies, verifier. `pulumi up` runs this file."""

from pathlib import Path

import pulumi

from keyrung_infra.project import find_root
from keyrung_infra.resources import Key, KeyVault, PolicySet, VerifierConfig
from keyrung_infra.settings import StackSettings
from keyrung_infra.verifier_document import verifier_document
from keyrung_policies.canonical import canonical_bytes
from keyrung_policies.compile import compile_catalog
from keyrung_provisioners.api import Purpose

settings = StackSettings.load()
stack = pulumi.get_stack()
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
        deletion_protection=settings.protect_keys,
        opts=pulumi.ResourceOptions(depends_on=[vault]),
    )


assertion = key(Purpose.ASSERTION_SIGNING, token)
policy = key(Purpose.POLICY_SIGNING, transit)
audit = key(Purpose.AUDIT_SIGNING, transit)
seed = key(Purpose.CREDENTIAL_SEED, transit, "AES-256")

bundle = PolicySet(
    "policies",
    policy=canonical_bytes(compile_catalog(find_root(Path(__file__).parent) / "policies" / "catalog")).decode(),
    signing_key=policy,
    path=f"{settings.state_folder}/verifier/policy-bundle.json",
    lifetime_days=settings.bundle_lifetime_days,
)
verifier = VerifierConfig(
    "verifier",
    document=verifier_document(
        settings, bundle_path=bundle.path, assertion=assertion, policy=policy, audit=audit, seed=seed
    ),
    path=f"{settings.state_folder}/verifier/config.json",
)

pulumi.export("issuer", settings.issuer)
pulumi.export("policyVersion", bundle.version)
pulumi.export(
    "keys",
    {made.purpose: {"uri": made.uri, "thumbprint": made.thumbprint} for made in (assertion, policy, audit, seed)},
)
