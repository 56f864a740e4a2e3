"""Objects in S3: read when they changed, and written once.

The bucket stands in the path: a bucket's name may have dots, which no certificate for host names covers.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import quote

from keyrung_verifier.aws.client import AwsClient
from keyrung_verifier.aws.errors import AwsRefusedError
from keyrung_verifier.timed_connection import Response

_NOT_MODIFIED = 304
_PRECONDITION_FAILED = 412


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """What an object held when it was read; the ETag tells whether it changed since."""

    body: bytes
    etag: str


class Bucket:
    """One bucket in the client's region."""

    GET_ACTIONS: ClassVar[frozenset[str]] = frozenset({"s3:GetObject"})
    PUT_ACTIONS: ClassVar[frozenset[str]] = frozenset({"s3:PutObject"})

    def __init__(self, client: AwsClient, name: str) -> None:
        self._client = client
        self._name = name

    def get(self, key: str, *, unless_etag: str | None = None) -> StoredObject | None:
        """Return an object, or None when it still has that ETag; raises `AwsError` (`NoSuchKey` for a missing one)."""
        headers = {} if unless_etag is None else {"if-none-match": unless_etag}
        try:
            response = self._send("GET", key, headers)
        except AwsRefusedError as error:
            if error.status == _NOT_MODIFIED:
                return None
            raise
        return StoredObject(body=response.body, etag=response.headers.get("etag", ""))

    def put_once(self, key: str, body: bytes) -> None:
        """Write an object; one of this name stays as it is. How long it is locked is the bucket's own setting.

        Raises:
            AwsError: It was not written.
        """
        headers = {
            "if-none-match": "*",
            # Required where objects are locked (PutObject in the S3 API Reference).
            "x-amz-sdk-checksum-algorithm": "SHA256",
            "x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(body).digest()).decode("ascii"),
        }
        try:
            self._send("PUT", key, headers, body)
        except AwsRefusedError as error:
            if error.status != _PRECONDITION_FAILED:
                raise

    def _send(self, method: str, key: str, headers: Mapping[str, str], body: bytes = b"") -> Response:
        path = f"/{quote(self._name, safe='')}/{quote(key, safe='/~')}"
        signed = {**headers, "x-amz-content-sha256": hashlib.sha256(body).hexdigest()}
        return self._client.send(method, path, headers=signed, body=body, what=f"s3:{method.title()}Object of {key}")
