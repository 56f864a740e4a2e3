"""AWS Signature Version 4 for requests without a query (the "Create a signed AWS API request" guide of IAM).

The path is signed as it is sent, percent-encoded once, which is S3's rule; the path of the other services is `/`.
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime

from keyrung_verifier.aws.credentials import Credentials

_ALGORITHM = "AWS4-HMAC-SHA256"


def sign(
    *,
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    credentials: Credentials,
    region: str,
    service: str,
    now: datetime,
) -> dict[str, str]:
    """Return the headers with those that sign the request added.

    Args:
        method: The HTTP method.
        path: The path as it is sent.
        headers: Every header that is to be signed, `host` among them, in lower case.
        body: The body as it is sent.
        credentials: Who asks.
        region: Such as `eu-central-1`.
        service: Such as `kms`.
        now: When the request is sent, aware; AWS accepts 5 minutes to each side.
    """
    moment = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    signed = {**headers, "x-amz-date": moment}
    if credentials.session_token is not None:
        signed["x-amz-security-token"] = credentials.session_token
    names = ";".join(sorted(signed))
    canonical_headers = "".join(f"{name}:{' '.join(signed[name].split())}\n" for name in sorted(signed))
    canonical = "\n".join((method, path, "", canonical_headers, names, hashlib.sha256(body).hexdigest()))
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    to_sign = "\n".join((_ALGORITHM, moment, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{credentials.secret_access_key}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    signature = _hmac(key, to_sign).hex()
    signed["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return signed


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
