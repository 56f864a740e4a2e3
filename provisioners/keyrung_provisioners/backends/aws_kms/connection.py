"""The connection to AWS KMS: one client per region, bounded retries, and each failure one clear sentence."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from keyrung_provisioners.errors import (
    BackendUnavailableError,
    InvalidSettingError,
    KeyConflictError,
    KeyMissingError,
    KeyRefusedError,
    ProvisionerError,
)

T = TypeVar("T")
Answer = Mapping[str, Any]

# botocore's standard mode: exponential backoff with jitter, at most 20 s between two attempts.
_ATTEMPTS = 5
_CONNECT_TIMEOUT_SECONDS = 5
_READ_TIMEOUT_SECONDS = 10
# KMS is eventually consistent: a key or alias may be unknown for some seconds after it was made ("Eventual
# consistency" in the KMS developer guide). What was made just now is asked for again after these pauses.
_PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_REFUSALS = frozenset(
    {
        "DisabledException",
        "ExpiredImportTokenException",
        "IncorrectKeyMaterialException",
        "InvalidImportTokenException",
        "UnsupportedOperationException",
        "IncorrectKeyException",
        "InvalidCiphertextException",
        "InvalidKeyUsageException",
        "KMSInvalidStateException",
        "MalformedPolicyDocumentException",
        "ValidationException",
    }
)
_DENIALS = frozenset({"AccessDeniedException", "NotAuthorizedException"})
_CREDENTIALS = frozenset(
    {
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "UnrecognizedClientException",
    }
)


class Connection:
    """KMS in any region, at AWS's address or at one given; a client may be shared by threads, but not by a fork."""

    def __init__(self, *, endpoint: Callable[[], str] | None, sleep: Callable[[float], None] = time.sleep) -> None:
        """Reach KMS at ``endpoint`` (None: AWS's own address), asked for when the first call needs it."""
        self._endpoint = endpoint
        self._sleep = sleep
        self._clients: dict[tuple[int, str], Any] = {}
        self._opening = threading.Lock()  # a boto3 session must not be shared between threads

    def ask(
        self,
        operation: str,
        understand: Callable[[Answer], T],
        *,
        region: str,
        what: str,
        **parameters: Any,  # as KMS names them
    ) -> T:
        """Return what ``understand`` makes of the answer.

        Args:
            operation: The call, as boto3 names it.
            understand: Reads the answer; what it cannot read (KeyError, TypeError, ValueError) is no answer.
            region: Where.
            what: The key or vault that is asked about.
            parameters: Those of the call.

        Raises:
            KeyMissingError: If KMS knows no such key or alias.
            KeyConflictError: If the alias is taken.
            KeyRefusedError: If KMS refuses the call for this key, or this text.
            BackendUnavailableError: If KMS cannot be asked.
        """
        try:
            answer = getattr(self._client(region), operation)(**parameters)
        except (BotoCoreError, ClientError) as error:
            raise _translated(error, operation, what, region) from error
        try:
            return understand(answer)
        except (KeyError, TypeError, ValueError) as error:
            raise BackendUnavailableError(
                f"KMS in {region} gave no answer to {operation} that can be understood",
                fix="check keyrung:awskmsEndpoint",
            ) from error

    def tell(self, operation: str, *, region: str, what: str, **parameters: Any) -> None:
        """Make a call whose answer says nothing; raises what `ask` raises."""
        self.ask(operation, lambda _answer: None, region=region, what=what, **parameters)

    def pages(self, operation: str, member: str, *, region: str, what: str, **parameters: Any) -> Iterator[Answer]:
        """Yield the entries called ``member`` of every page; raises what `ask` raises."""
        more: dict[str, str] = {}
        while True:
            page = self.ask(operation, dict, region=region, what=what, **parameters, **more)
            yield from page.get(member, ())
            if not page.get("Truncated"):
                return
            more = {"Marker": str(page["NextMarker"])}

    def settled(self, call: Callable[[], T]) -> T:
        """Return what ``call`` returns about something made just now, which KMS may not know everywhere yet."""
        for pause in _PAUSES_SECONDS:
            try:
                return call()
            except KeyMissingError:
                self._sleep(pause)
        return call()

    def _client(self, region: str) -> Any:
        with self._opening:
            place = (os.getpid(), region)
            if place not in self._clients:
                endpoint = None if self._endpoint is None else _checked_endpoint(self._endpoint())
                self._clients[place] = boto3.session.Session().client(
                    "kms", region_name=region, endpoint_url=endpoint, config=_config()
                )
            return self._clients[place]


def _config() -> Config:
    return Config(
        connect_timeout=_CONNECT_TIMEOUT_SECONDS,
        read_timeout=_READ_TIMEOUT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        ignore_configured_endpoint_urls=True,  # AWS_ENDPOINT_URL would send digests and seeds to any address
    )


def _checked_endpoint(endpoint: str) -> str:
    try:
        parts = urlsplit(endpoint)
        parts.port  # noqa: B018 - raises when it is no number
    except ValueError:
        parts = urlsplit("")
    safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    if (
        not safe
        or not parts.hostname
        or parts.path not in {"", "/"}
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
    ):
        raise InvalidSettingError(
            "awskmsEndpoint is no plain https address", fix="write it as https://HOST:PORT (http on loopback only)"
        )
    return endpoint


def _translated(error: BotoCoreError | ClientError, operation: str, what: str, region: str) -> ProvisionerError:
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        return _about_the_key(code, operation, what) or _about_the_service(code, operation, what, region)
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return _no_credentials("cannot be asked without complete AWS credentials")
    return BackendUnavailableError(
        f"KMS in {region} cannot be asked ({type(error).__name__})",
        fix="check the network, the region and keyrung:awskmsEndpoint, and try again",
    )


def _about_the_key(code: str, operation: str, what: str) -> ProvisionerError | None:
    if code == "NotFoundException":
        return KeyMissingError(f"KMS holds no {what}", fix="check the region and the alias", uri=what)
    if code == "AlreadyExistsException":
        fix = "choose another name, or take it over with `pulumi import`"
        return KeyConflictError(f"{what} exists already", fix=fix, uri=what)
    if code in _REFUSALS:
        return KeyRefusedError(
            f"KMS refused {operation} for {what} ({code})", fix="check the key's state and use", uri=what, code=code
        )
    return None


def _about_the_service(code: str, operation: str, what: str, region: str) -> ProvisionerError:
    if code in _CREDENTIALS:
        return _no_credentials(f"did not accept the AWS credentials ({code})")
    if code in _DENIALS:
        return BackendUnavailableError(
            f"AWS denies {operation} for {what}", fix="allow it in the role's policy or the key's", operation=operation
        )
    return BackendUnavailableError(
        f"KMS in {region} failed at {operation} ({code})", fix="try again; check the account's KMS quotas", code=code
    )


def _no_credentials(why: str) -> ProvisionerError:
    return BackendUnavailableError(
        f"KMS {why}", fix="provide valid ones as boto3 looks for them (AWS_PROFILE, environment, role)"
    )
