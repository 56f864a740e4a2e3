"""The verifier as its callers meet it: TLS, its keys, its policy, and what it takes the time to be."""

import json
import socket
import ssl
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from keyrung_infra.doctor.deployment import Deployment
from keyrung_infra.doctor.keys import VERIFYING
from keyrung_infra.doctor.model import Finding
from keyrung_infra.errors import InfraError
from keyrung_policies.bundle import document_digest
from keyrung_verifier import models, paths
from keyrung_verifier.keys import public_members, thumbprint

_SECONDS = 10.0
_CERTIFICATE_DAYS = 14  # whoever renews certificates does it earlier
_CLOCK_SECONDS = 10  # a sixth of what clocks of signers may differ by before a rotation goes wrong
_POLICY_DAYS = 7
_Answer = TypeVar("_Answer", models.JsonWebKeySet, models.Health)


class Reached:
    """A verifier that is asked from outside.

    Attributes:
        barred: Why nothing can be asked of it, in a phrase, once `certificate` found that; else empty.
    """

    def __init__(self, url: str, trust: ssl.SSLContext) -> None:
        """Ask at ``url``; ``trust`` says whose certificates count."""
        self._url, self._trust = url.rstrip("/"), trust
        self.barred = ""

    def certificate(self, now: datetime) -> Iterator[Finding]:
        """Yield a finding where the certificate does not count, or not for long."""
        place = urlsplit(self._url)
        try:
            with (
                socket.create_connection((str(place.hostname), place.port or 443), timeout=_SECONDS) as plain,
                self._trust.wrap_socket(plain, server_hostname=place.hostname) as tls,
            ):
                found = tls.getpeercert() or {}
        except ssl.SSLCertVerificationError as error:
            self.barred = "the verifier's certificate does not count"
            fix = "renew the certificate (locally: `keyrung dev up`), or name its authority with --ca"
            yield Finding(text=f"the certificate of {self._url} does not count ({error.verify_message})", fix=fix)
            return
        except OSError as error:
            self.barred = "the verifier cannot be reached"
            raise InfraError(
                f"{self._url} cannot be reached ({error})", fix="start the verifier (locally: `keyrung serve`)"
            ) from error
        ends_at = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(found["notAfter"])), UTC)
        if ends_at - now < timedelta(days=_CERTIFICATE_DAYS):
            yield Finding(text=f"the certificate of {self._url} ends {ends_at.date()}", fix="renew it")

    def clock(self, now: datetime) -> Iterator[Finding]:
        """Yield a finding where the verifier's clock and this machine's differ."""
        try:
            served = parsedate_to_datetime(self._get(paths.HEALTH).headers["Date"]).astimezone(UTC)
        except (KeyError, ValueError) as error:
            raise self._strange(paths.HEALTH) from error
        apart = abs((served - now).total_seconds())
        if apart > _CLOCK_SECONDS:
            text = f"the verifier's clock and this machine's are {apart:.0f} s apart"
            yield Finding(text=text, fix="set both by NTP; a wrong clock ends policies, challenges and rotations early")

    def keys(self, deployment: Deployment, withdrawn: Collection[str]) -> Iterator[Finding]:
        """Yield where the published key set differs from the deployed assertion keys without the withdrawn ones."""
        published = self._read(paths.JWKS, models.JsonWebKeySet).keys
        served = {thumbprint(each) for each in published if public_members(each) is not None}
        if len(served) < len(published):
            raise self._strange(paths.JWKS)
        deployed = {
            str(each["thumbprint"]) for each in deployment.parsed()["assertion_keys"] if each["state"] in VERIFYING
        }
        for ended in sorted(served & set(withdrawn)):
            yield Finding(
                text=f"the verifier still publishes {ended}, which is withdrawn", fix="restart it; read its log"
            )
        served, deployed = served - set(withdrawn), deployed - set(withdrawn)
        for missing in sorted(deployed - served):
            yield Finding(text=f"the verifier does not publish {missing}", fix="restart it; read its log")
        for foreign in sorted(served - deployed):
            fix = "find out which verifier answers there; it is not the deployed one"
            yield Finding(text=f"the verifier publishes {foreign}, which nobody deployed", fix=fix)

    def policy(self, deployment: Deployment, now: datetime) -> Iterator[Finding]:
        """Yield where the policy that decides is not the deployed one, or will soon be over."""
        served = self._read(paths.HEALTH, models.Health).policy_digest
        deployed = document_digest(json.loads(str(deployment.policy["policy"])))
        if served != deployed:
            text = f"the verifier decides by the policy {served}, and deployed is {deployed}"
            yield Finding(text=text, fix="read its log for `policy.refused`; then `pulumi up`")
        ends_at = datetime.fromisoformat(str(deployment.policy["expiresAt"]))
        if ends_at - now < timedelta(days=_POLICY_DAYS):
            yield Finding(text=f"the policy expires {ends_at.date()}", fix="`pulumi up` signs it again")

    def _read(self, path: str, shape: type[_Answer]) -> _Answer:
        try:
            return msgspec.json.decode(self._get(path).content, type=shape)
        except msgspec.MsgspecError as error:
            raise self._strange(path) from error

    def _strange(self, path: str) -> InfraError:
        return InfraError(f"{self._url}{path} does not answer as a verifier does", fix="check the address")

    def _get(self, path: str) -> httpx.Response:
        with httpx.Client(verify=self._trust, timeout=_SECONDS, trust_env=False) as http:
            answer = http.get(f"{self._url}{path}")
        if answer.status_code != httpx.codes.OK:
            raise InfraError(
                f"{self._url}{path} answers {answer.status_code}", fix="read the verifier's log; it cannot decide now"
            )
        return answer
