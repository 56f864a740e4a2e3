"""Resource `VerifierConfig`: what the verifier reads at its start. References and public keys only, no secret."""

from collections.abc import Mapping
from typing import ClassVar

from keyrung_infra.errors import InfraError
from keyrung_infra.files import write_private
from keyrung_infra.provider.backends import CONFIGURATION, SECRET_REFERENCES, Backends
from keyrung_infra.provider.check import check_settings
from keyrung_infra.provider.model import Change, Changes, Failure, Imported, OnChange, Property, Values
from keyrung_infra.provider.values import UNKNOWN
from keyrung_infra.serve import settings_check
from keyrung_infra.serve.settings import parse_settings


class VerifierConfig:
    """The configuration file of one verifier."""

    token: ClassVar[str] = "keyrung:index:VerifierConfig"  # noqa: S105 - a Pulumi type token
    description: ClassVar[str] = "The verifier's configuration, checked before it is written."
    inputs: ClassVar[Mapping[str, Property]] = {
        "document": Property(type="string", description="The configuration (JSON)."),
        "path": Property(
            type="string", description="Where it is written, relative to the project.", on_change=OnChange.REPLACE
        ),
    }
    outputs: ClassVar[Mapping[str, Property]] = {
        "inPlace": Property(type="boolean", description="Whether exactly this document lies there (seen by refresh)."),
    }

    def __init__(self, backends: Backends) -> None:
        """Write below the project of ``backends``."""
        self._backends = backends

    def check(self, inputs: Values) -> list[Failure]:
        """See `ResourceType.check`."""
        if inputs["document"] is UNKNOWN:
            return []
        try:
            settings = parse_settings(str(inputs["document"]).encode())
        except InfraError as error:
            return [Failure(property="document", reason=str(error))]
        failures = check_settings(CONFIGURATION, SECRET_REFERENCES, settings.backends)
        wrong = settings_check.wrong(settings, root=self._backends.root)
        return failures + [Failure(property="document", reason=sentence) for sentence in wrong]

    def drift(self, state: Values, inputs: Values) -> Mapping[str, Change]:
        """Report a file that is missing or altered, found by a refresh."""
        return {} if state["inPlace"] else {"inPlace": Change(kind=OnChange.UPDATE, input=False)}

    def guard(self, state: Values, inputs: Values, changes: Changes) -> None:
        """See `ResourceType.guard`; nothing is refused."""

    def planned(self, inputs: Values, state: Values | None) -> Values:
        """See `ResourceType.planned`."""
        return {"inPlace": True}

    def advice(self, inputs: Values, state: Values | None) -> list[str]:
        """Say which files the verifier will miss."""
        if inputs["document"] is UNKNOWN:
            return []
        return settings_check.unreadable(parse_settings(str(inputs["document"]).encode()), root=self._backends.root)

    def create(self, urn: str, inputs: Values) -> tuple[str, Values]:
        """See `ResourceType.create`."""
        return str(inputs["path"]), self._write(inputs)

    def read(self, urn: str, resource_id: str, state: Values) -> Values:
        """Say whether the file is as it was written."""
        path = self._backends.root / str(state["path"])
        return {"inPlace": path.is_file() and path.read_bytes() == str(state["document"]).encode()}

    def adopt(self, urn: str, resource_id: str) -> Imported:
        """See `ResourceType.adopt`."""
        raise InfraError("a verifier's configuration cannot be imported", fix="declare it; `up` writes it again")

    def update(self, urn: str, state: Values, inputs: Values) -> Values:
        """See `ResourceType.update`."""
        return self._write(inputs)

    def delete(self, urn: str, state: Values) -> None:
        """See `ResourceType.delete`."""
        (self._backends.root / str(state["path"])).unlink(missing_ok=True)

    def _write(self, inputs: Values) -> Values:
        write_private(self._backends.root / str(inputs["path"]), str(inputs["document"]).encode())
        return {"inPlace": True}
