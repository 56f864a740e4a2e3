"""The provider's resources as Python classes for Pulumi programs."""

import pulumi

from keyrung_provisioners.api import Purpose


class KeyVault(pulumi.CustomResource):
    """A place that holds keys: a PKCS#11 token (proven to be there) or a Transit mount (created)."""

    uri: pulumi.Output[str]

    def __init__(self, name: str, *, uri: pulumi.Input[str], opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the vault at ``uri``: ``pkcs11:token=LABEL``, ``transit:mount=NAME`` or ``awskms:region=REGION``."""
        super().__init__("keyrung:index:KeyVault", name, {"uri": uri, "created": None, "evidence": None}, opts)


class Key(pulumi.CustomResource):
    """A key generated inside a vault; only its public half and evidence come out."""

    uri: pulumi.Output[str]
    thumbprint: pulumi.Output[str]
    public_key_pem: pulumi.Output[str]
    generation: pulumi.Output[int]
    state: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        vault: pulumi.Input[str],
        key_name: pulumi.Input[str],
        purpose: Purpose,
        algorithm: pulumi.Input[str] = "P-256",
        generation: pulumi.Input[int] = 1,
        deletion_protection: bool = True,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the key ``key_name`` in ``vault``; while protected it is neither deleted nor replaced.

        The engine is told as well: the provider learns of a deletion only when what depends on the key is gone already,
        while the engine refuses the whole `destroy` before it begins.
        """
        properties = {
            "vault": vault,
            "name": key_name,
            "purpose": purpose.value,
            "algorithm": algorithm,
            "generation": generation,
            "deletionProtection": deletion_protection,
            **dict.fromkeys(("uri", "thumbprint", "public_key_pem", "state", "evidence", "holder")),
        }
        protected = pulumi.ResourceOptions(protect=deletion_protection)
        super().__init__("keyrung:index:Key", name, properties, pulumi.ResourceOptions.merge(protected, opts))

    def translate_output_property(self, prop: str) -> str:
        """Return the Python name of an output."""
        return "public_key_pem" if prop == "publicKeyPem" else prop


class PolicySet(pulumi.CustomResource):
    """A compiled policy, signed by the policy key, where the verifier reads it."""

    path: pulumi.Output[str]
    version: pulumi.Output[int]

    def __init__(
        self,
        name: str,
        *,
        policy: pulumi.Input[str],
        signing_key: Key,
        path: pulumi.Input[str],
        lifetime_days: pulumi.Input[int] = 90,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the bundle of ``policy`` (canonical JSON) at ``path``, relative to the project."""
        properties = {
            "policy": policy,
            "signingKey": signing_key.uri,
            "signingKeyPem": signing_key.public_key_pem,
            "path": path,
            "lifetimeDays": lifetime_days,
            **dict.fromkeys(("version", "bundleDigest", "inPlace", "notBefore", "expiresAt")),
        }
        super().__init__("keyrung:index:PolicySet", name, properties, opts)


class VerifierConfig(pulumi.CustomResource):
    """The verifier's configuration file: references and public keys, no secret."""

    path: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        document: pulumi.Input[str],
        path: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare ``document`` (JSON, see `keyrung_infra.serve.settings`) at ``path``, relative to the project."""
        properties = {"document": document, "path": path, "inPlace": None}
        super().__init__("keyrung:index:VerifierConfig", name, properties, opts)
