"""What is wrong with a verifier's configuration beyond its form, told when it is declared and not when it starts."""

from pathlib import Path
from urllib.parse import urlsplit

from keyrung_infra.serve.settings import Settings
from keyrung_provisioners.errors import InvalidSettingError
from keyrung_provisioners.sources import resolve
from keyrung_provisioners.uri import KeyUri
from keyrung_verifier.errors import ConfigurationError
from keyrung_verifier.settings import VerifierSettings


def wrong(settings: Settings, *, root: Path) -> list[str]:
    """Return what would stop the verifier or have its assertions refused, one sentence each.

    What a reference stands for is judged only if it can be read here.
    """
    sentences = [_wrong_issuer(settings.issuer, root)]
    names = [client.client_id for client in settings.clients]
    sentences += [
        f"the client {name} is named twice; name each once" for name in sorted(set(names)) if names.count(name) > 1
    ]
    sentences += [_wrong_audience(client.client_id, client.audience) for client in settings.clients]
    signing = [*settings.assertion_keys, *settings.audit_keys]
    uris = [*(key.uri for key in signing), *(key.uri for key in settings.seed_keys)]
    sentences += [_wrong_key(uri) for uri in uris]
    return [sentence for sentence in sentences if sentence]


def unreadable(settings: Settings, *, root: Path) -> list[str]:
    """Return the references and files that this machine cannot read, one sentence each; the verifier's might."""
    references = [settings.issuer, *(client.secret for client in settings.clients), *settings.backends.values()]
    files = [reference.removeprefix("file:") for reference in references if reference.startswith("file:")]
    files += [settings.tls.certificate, settings.tls.key]
    missing = [name for name in files if not (root / name).is_file()]
    return [
        f"the verifier will read {name}, which is not there; put it there before `keyrung serve`" for name in missing
    ]


def _wrong_issuer(issuer: str, root: Path) -> str:
    try:
        VerifierSettings(public_url=resolve(issuer, root=root), clients=())
    except ConfigurationError as error:
        return f"issuer: {error}"
    except InvalidSettingError:  # a reference to what only the verifier's machine has
        return ""
    return ""


def _wrong_audience(client_id: str, audience: str) -> str:
    """Return whether ``audience`` is no absolute URI without a fragment (RFC 8707 section 2)."""
    try:
        parts = urlsplit(audience)
    except ValueError:
        parts = urlsplit("")
    place = parts.netloc if parts.scheme in ("https", "http") else parts.path
    if parts.scheme and place and not parts.fragment and audience.isascii() and not any(map(str.isspace, audience)):
        return ""
    return f"the audience of the client {client_id} is no absolute URI without a fragment; write it as https://host"


def _wrong_key(uri: str) -> str:
    try:
        KeyUri.parse(uri)
    except InvalidSettingError as error:
        return str(error)
    return ""
