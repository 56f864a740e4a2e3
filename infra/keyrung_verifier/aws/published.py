"""An object in S3 that a deployment replaces now and then: asked for anew every few seconds, read when it changed.

What was read stays good while the object cannot be reached; an object that is gone is gone.
"""

import logging
import re
from datetime import datetime, timedelta

from keyrung_verifier.aws.client import AwsClient
from keyrung_verifier.aws.errors import AwsRefusedError, AwsUnavailableError
from keyrung_verifier.aws.s3 import Bucket, StoredObject
from keyrung_verifier.errors import ConfigurationError
from keyrung_verifier.protocols import Clock

# A deployment acts within this time; one conditional request costs a few milliseconds.
POLL_SECONDS = 5
_URI = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/([!-~]{1,1024})", re.ASCII)
_LOG = logging.getLogger(__name__)


def parse_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key of `s3://BUCKET/KEY`; raises `ConfigurationError`."""
    found = _URI.fullmatch(uri)
    if found is None:
        raise ConfigurationError(f"{uri!r} names no object in S3; write s3://BUCKET/KEY")
    return found[1], found[2]


class PublishedObject:
    """The object at `uri`, which is in the client's region."""

    def __init__(self, client: AwsClient, uri: str, *, clock: Clock) -> None:
        bucket, self._key = parse_uri(uri)
        self._bucket = Bucket(client, bucket)
        self._uri = uri
        self._clock = clock
        self._found: StoredObject | None = None
        self._looked_at: datetime | None = None

    def stamp(self) -> str | None:
        """Return the ETag of what the object holds, as of a few seconds ago; None if there is nothing to read."""
        now = self._clock.now()
        # Looked at in the future: the clock was set back, and must not keep a change away meanwhile.
        if self._looked_at is None or abs(now - self._looked_at) >= timedelta(seconds=POLL_SECONDS):
            self._looked_at = now
            self._look()
        return None if self._found is None else self._found.etag

    def read(self) -> bytes:
        """Return what the last look found; raises `OSError` if that is nothing."""
        if self._found is None:
            raise FileNotFoundError(f"{self._uri} cannot be read")
        return self._found.body

    def _look(self) -> None:
        try:
            changed = self._bucket.get(self._key, unless_etag=None if self._found is None else self._found.etag)
        except AwsUnavailableError as error:
            _LOG.warning("%s", error)
        except AwsRefusedError as error:  # who may not list a bucket hears 403 for a missing object, not 404
            _LOG.error("%s", error)
            self._found = None
        else:
            self._found = self._found if changed is None else changed
