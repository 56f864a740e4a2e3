"""Where a service of AWS is: its own address in a region, or the one that the environment names, as in the SDKs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from keyrung_verifier.errors import ConfigurationError

# Regions of every partition ("eu-central-1", "us-gov-west-1"): the region becomes part of a host name.
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]{2,12}){1,3}-[0-9]{1,2}", re.ASCII)
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An origin; over https its certificate is always verified."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """Return the Host header: the port only where it is not the scheme's own."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == _PORTS[self.scheme] else f"{name}:{self.port}"


def find_endpoint(service: str, region: str, environment: Mapping[str, str]) -> Endpoint:
    """Return where to ask a service; `AWS_ENDPOINT_URL_KMS` and the like, then `AWS_ENDPOINT_URL`, say so otherwise.

    Only an address that is named so may be plain http.

    Raises:
        ConfigurationError: The region or the address has another form.
    """
    if _REGION.fullmatch(region) is None:
        raise ConfigurationError(f"{region!r} is no region of AWS; write it as AWS does, such as eu-central-1")
    named = environment.get(f"AWS_ENDPOINT_URL_{service.upper()}") or environment.get("AWS_ENDPOINT_URL")
    if named is None:
        domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        return Endpoint(scheme="https", host=f"{service}.{region}.{domain}", port=_PORTS["https"])
    try:
        parts = urlsplit(named)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        port = None
    if port is None or not parts.hostname or "@" in parts.netloc or parts.path not in {"", "/"} or parts.query:
        raise ConfigurationError("AWS_ENDPOINT_URL is no http or https address without a path; correct it")
    return Endpoint(scheme=parts.scheme, host=parts.hostname, port=port)
