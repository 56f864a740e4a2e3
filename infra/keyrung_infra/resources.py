"""The provider's resources as Python classes for Pulumi programs."""

from collections.abc import Sequence
from typing import Any

import pulumi

from keyrung_provisioners.api import Purpose
from keyrung_provisioners.generations import OVERLAP_SECONDS, PUBLISH_SECONDS
from keyrung_provisioners.states import KeyState


def keyrung_provider(
    name: str, inventory: pulumi.Input[str], *, opts: pulumi.ResourceOptions | None = None
) -> pulumi.ProviderResource:
    """Declare a provider for keys in AWS KMS whose inventory the same program makes.

    Args:
        name: Of the resource.
        inventory: `dynamodb:table=NAME;region=REGION`.
        opts: Options of the resource.
    """
    endpoint = pulumi.Config("keyrung").get("awskmsEndpoint")
    return pulumi.ProviderResource("keyrung", name, {"inventory": inventory, "awskmsEndpoint": endpoint}, opts)


class KeyVault(pulumi.CustomResource):
    """A place that holds keys: a PKCS#11 token (proven to be there) or a Transit mount (created)."""

    uri: pulumi.Output[str]

    def __init__(self, name: str, *, uri: pulumi.Input[str], opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the vault at ``uri``: ``pkcs11:token=LABEL``, ``transit:mount=NAME`` or ``awskms:region=REGION``."""
        super().__init__("keyrung:index:KeyVault", name, {"uri": uri, "created": None, "evidence": None}, opts)


class Custodian(pulumi.CustomResource):
    """Who holds a share of escrows: a person's public recipient, or a kek in another store. No secret."""

    recipient: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        recipient: pulumi.Input[str],
        display_name: pulumi.Input[str] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the custodian by what `keyrung custodian keygen` printed, an age recipient or the URI of a kek."""
        properties = {"name": display_name or name, "recipient": recipient}
        super().__init__("keyrung:index:Custodian", name, properties, opts)


class Escrow(pulumi.CustomResource):
    """A quorum of custodians, to which keys are sealed while they are made."""

    threshold: pulumi.Output[int]
    custodians: pulumi.Output[list[str]]
    folder: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        threshold: pulumi.Input[int],
        custodians: Sequence[Custodian],
        folder: pulumi.Input[str] = ".keyrung/escrow",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare that ``threshold`` of ``custodians`` restore what is sealed to them.

        The envelopes lie in ``folder``, relative to the project. The custodians of a key change by `keyrung escrow
        reshare` with a quorum's opened shares; what is declared here has to follow.
        """
        recipients = [custodian.recipient for custodian in custodians]
        properties = {"threshold": threshold, "custodians": recipients, "folder": folder}
        super().__init__("keyrung:index:Escrow", name, properties, opts)

    @property
    def plan(self) -> dict[str, pulumi.Output[Any]]:
        """What a key is told of this escrow."""
        return {"threshold": self.threshold, "custodians": self.custodians, "folder": self.folder}


class Key(pulumi.CustomResource):
    """A key generated inside a vault; only its public half and evidence come out.

    Attributes:
        uri: Of the newest generation, as are `thumbprint`, `public_key_pem` and `state`.
        generations: Every generation, oldest first, the destroyed ones too, each with `generation`, `uri`,
            `thumbprint`, `public_key_pem`, `state`, `stateSince` and `useNotBefore`.
    """

    uri: pulumi.Output[str]
    thumbprint: pulumi.Output[str]
    public_key_pem: pulumi.Output[str]
    generation: pulumi.Output[int]
    state: pulumi.Output[str]
    generations: pulumi.Output[list[dict[str, Any]]]
    envelope: pulumi.Output[dict[str, Any] | None]

    def __init__(
        self,
        name: str,
        *,
        vault: pulumi.Input[str],
        key_name: pulumi.Input[str],
        purpose: Purpose,
        algorithm: pulumi.Input[str] = "P-256",
        generation: pulumi.Input[int] = 1,
        publish_seconds: pulumi.Input[int] = PUBLISH_SECONDS,
        overlap_seconds: pulumi.Input[int] = OVERLAP_SECONDS,
        escrow: Escrow | None = None,
        copy_to: pulumi.Input[str] | None = None,
        source: pulumi.Input[str] | None = None,
        cryptoperiod_days: pulumi.Input[int] | None = None,
        deletion_protection: bool = True,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the key ``key_name`` in ``vault``; while protected it is neither deleted nor replaced.

        Raise ``generation`` by one to rotate: the new key is published at once, used ``publish_seconds`` later, and the
        old one is destroyed by an `up` that comes ``overlap_seconds`` after the one that deactivated it.

        A generation may be used for ``cryptoperiod_days``, by default as long as its purpose allows (SP 800-57 part 1,
        5.3); a preview warns in the last tenth of that time and after it.

        With ``escrow`` each generation is active only after it was sealed to the custodians and restored once as a
        test; left out, it never leaves its store.

        With ``copy_to``, the URI of a key in another store, both are one identity: the key leaves its vault once,
        wrapped to that store, and is used only after its copy has proven itself.

        With ``source``, the ARN of a KMS key, the key is another resource's: `aws.kms.Key` makes it and
        `aws.kms.Alias` names it ``key_name`` (from the second generation on ``key_name``-gN). Here it is read back and
        recorded, with evidence, states and generations; let this depend on the alias. Each generation has a source of
        its own, and the key of a generation that is over is left to its resource.

        The engine is told as well: the provider learns of a deletion only when what depends on the key is gone already,
        while the engine refuses the whole `destroy` before it begins.
        """
        properties = {
            "vault": vault,
            "name": key_name,
            "purpose": purpose.value,
            "algorithm": algorithm,
            "generation": generation,
            "publishSeconds": publish_seconds,
            "overlapSeconds": overlap_seconds,
            "escrow": None if escrow is None else escrow.plan,
            "copyTo": copy_to,
            "source": source,
            "cryptoperiodDays": cryptoperiod_days,
            "deletionProtection": deletion_protection,
            **dict.fromkeys(
                ("uri", "thumbprint", "public_key_pem", "state", "evidence", "generations", "envelope", "holder")
            ),
        }
        protected = pulumi.ResourceOptions(protect=deletion_protection)
        super().__init__("keyrung:index:Key", name, properties, pulumi.ResourceOptions.merge(protected, opts))

    def translate_output_property(self, prop: str) -> str:
        """Return the Python name of an output."""
        return "public_key_pem" if prop == "publicKeyPem" else prop

    @property
    def in_use(self) -> pulumi.Output[dict[str, Any]]:
        """The generation to sign with during a deployment: the older one until the newer has taken over."""
        return self.generations.apply(
            lambda found: next((each for each in found if each["state"] == KeyState.ACTIVE), found[-1])
        )


class PolicySet(pulumi.CustomResource):
    """A compiled policy, signed by the policy key, where the verifier reads it."""

    path: pulumi.Output[str | None]
    bundle: pulumi.Output[str]
    version: pulumi.Output[int]

    def __init__(
        self,
        name: str,
        *,
        policy: pulumi.Input[str],
        signing_key: Key,
        path: pulumi.Input[str] | None = None,
        lifetime_days: pulumi.Input[int] = 90,
        allow_weaker: pulumi.Input[bool] = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the bundle of ``policy`` (canonical JSON) at ``path``, relative to the project, or as `bundle`.

        Unless ``allow_weaker``, a preview refuses a policy that asks for less than the deployed one.
        """
        properties = {
            "policy": policy,
            "signingKey": signing_key.in_use["uri"],
            "signingKeyPem": signing_key.in_use["public_key_pem"],
            "path": path,
            "lifetimeDays": lifetime_days,
            "allowWeaker": allow_weaker,
            **dict.fromkeys(("bundle", "version", "bundleDigest", "inPlace", "notBefore", "expiresAt")),
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
