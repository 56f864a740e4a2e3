"""The verifier's configuration file: written by the Pulumi resource `VerifierConfig`, read by `keyrung serve`.

It names keys, files and references to secrets, and holds public keys; no secret stands in it.
"""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from keyrung_infra.errors import InfraError
from keyrung_verifier.deployment import Keys, Policy, Record, Text

# Where the stack writes it, below the project's folder.
DEFAULT_CONFIG = ".keyrung/verifier/config.json"

SecretReference = Annotated[str, Meta(pattern=r"\A(file|env):.+\Z", max_length=2048)]


class Tls(Record, frozen=True):
    """Files of the server's certificate and key, relative to the project."""

    certificate: Text
    key: Text


class Audit(Record, frozen=True):
    """Where the log and its checkpoints lie, and the public keys that sign checkpoints."""

    store: Text
    checkpoints: Text
    keys: list[dict[str, str]]


class Client(Record, frozen=True):
    """An application that may ask for decisions; its assertions name ``audience``."""

    client_id: Text
    audience: Text
    secret: SecretReference


class Settings(Keys, frozen=True):
    """Everything the verifier needs.

    Attributes:
        issuer: Public https URL, a literal or a reference; its port is the one to listen on.
        backends: Settings of the key stores, with the verifier's own credentials.
        inventory: The key inventory, whose events go into the audit log.
    """

    issuer: Text
    tls: Tls
    store: Text
    inventory: Text
    policy: Policy
    audit: Audit
    clients: Annotated[list[Client], Meta(min_length=1)]
    backends: dict[str, str]


def parse_settings(data: bytes) -> Settings:
    """Return the settings in ``data``; raise `InfraError` naming the member that is wrong."""
    try:
        return msgspec.json.decode(data, type=Settings)
    except msgspec.MsgspecError as error:
        raise InfraError(f"the verifier's configuration is not valid ({error})", fix="correct that member") from error


def read_settings(path: Path) -> Settings:
    """Return the settings in the file at ``path``."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InfraError(f"{path} cannot be read", fix="deploy the stack first with `pulumi up`") from error
    return parse_settings(data)
