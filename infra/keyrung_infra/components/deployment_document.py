"""The deployment document: what the verifier in AWS is told of its keys, store, policy and clients. No secret."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from keyrung_infra.resources import Key
from keyrung_infra.verifier_document import public_keys, sealing_keys, signing_keys, trusted_keys
from keyrung_provisioners.api import Purpose
from keyrung_verifier.deployment import parse_deployment
from keyrung_verifier.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """An application that may ask for decisions.

    Attributes:
        audience: Absolute URI that its assertions name.
        principal_arn: The IAM role or user that it calls as.
    """

    client_id: str
    audience: pulumi.Input[str]
    principal_arn: pulumi.Input[str]


def deployment_document(
    *,
    issuer: pulumi.Input[str],
    store: pulumi.Input[str],
    bundle: pulumi.Input[str],
    archive: pulumi.Input[str],
    keys: Mapping[Purpose, Key],
    clients: Sequence[Client],
) -> pulumi.Output[str]:
    """Return the document (JSON) once every key is known, as the verifier will read it."""
    audit = keys[Purpose.AUDIT_SIGNING].generations
    document = pulumi.Output.json_dumps(
        {
            "issuer": issuer,
            "store": store,
            "policy": {"bundle": bundle, "keys": keys[Purpose.POLICY_SIGNING].generations.apply(trusted_keys)},
            "audit": {"archive": archive, "keys": audit.apply(public_keys)},
            "assertion_keys": keys[Purpose.ASSERTION_SIGNING].generations.apply(signing_keys),
            "audit_keys": audit.apply(signing_keys),
            "seed_keys": keys[Purpose.CREDENTIAL_SEED].generations.apply(sealing_keys),
            "clients": [
                {"client_id": each.client_id, "audience": each.audience, "principal_arn": each.principal_arn}
                for each in clients
            ],
        },
        indent=2,
        sort_keys=True,
    )
    return document.apply(_checked)


def _checked(document: str) -> str:
    """Return the document; one that would stop the verifier is refused here and not published."""
    try:
        parse_deployment(document.encode())
    except ConfigurationError as error:
        raise pulumi.RunError(str(error)) from error
    return document
