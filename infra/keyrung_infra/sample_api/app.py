"""The bank with the guard around it: these lines are all that an application adds."""

from pathlib import Path
from typing import Annotated

import httpx
import msgspec
from msgspec import Meta, Struct
from starlette.applications import Starlette

from keyrung_infra.errors import InfraError
from keyrung_infra.sample_api.bank import ROUTES, bank
from keyrung_infra.sample_api.sessions import read_sessions
from keyrung_provisioners.sources import resolve
from keyrung_verifier.guard.asgi import Guard, StepUpGuard, client_credentials

_Text = Annotated[str, Meta(min_length=1, max_length=2048)]


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The sample API's configuration file; paths are relative to the project.

    Attributes:
        verifier_ca: The CA that signed the verifier's certificate.
        client_secret: A reference, `file:PATH` or `env:NAME`.
        certificate: This server's own certificate.
        sessions: File of sessions (see `read_sessions`).
        port: Where to listen on the loopback address; 0 takes a free one.
    """

    verifier_url: _Text
    verifier_ca: _Text
    issuer: _Text
    audience: _Text
    client_id: _Text
    client_secret: _Text
    certificate: _Text
    key: _Text
    sessions: _Text
    port: Annotated[int, Meta(ge=0, le=65535)] = 0


def read_settings(path: Path) -> Settings:
    """Return the settings in the file at ``path``."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Settings)
    except OSError as error:
        raise InfraError(f"{path} cannot be read ({error.strerror})", fix="give the file with --config") from error
    except msgspec.MsgspecError as error:
        raise InfraError(f"{path} is not valid ({error})", fix="correct that member") from error


def guarded_bank(settings: Settings, *, root: Path, public_url: str, http: httpx.AsyncClient) -> Starlette:
    """Return the bank behind the guard; ``http`` carries the calls to the verifier."""
    secret = resolve(settings.client_secret, root=root, secret=True)
    guard = Guard(
        verifier_url=settings.verifier_url,
        public_url=public_url,
        authenticate=client_credentials(settings.client_id, secret),
        audience=settings.audience,
        issuer=settings.issuer,
        routes=ROUTES,
        identify=read_sessions(root / settings.sessions),
    )
    app = bank()
    app.add_middleware(StepUpGuard, guard=guard, http=http)
    return app
