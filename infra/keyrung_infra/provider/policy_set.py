"""Resource `PolicySet`: a compiled policy, signed by a provisioned key, for the verifier to read.

It is written to a path, or it is an output that another resource puts where the verifier is.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar

import msgspec

from keyrung_infra.errors import InfraError
from keyrung_infra.files import write_private
from keyrung_infra.policy_signing import signed_bundle
from keyrung_infra.provider.backends import Backends
from keyrung_infra.provider.model import Change, Changes, Failure, Imported, OnChange, Property, Values
from keyrung_infra.provider.policy_verdict import PolicyVerdict, policy_verdict, read_policy
from keyrung_infra.provider.values import UNKNOWN
from keyrung_policies.bundle import build_payload
from keyrung_policies.errors import PolicyError
from keyrung_policies.policy_set import PolicySet as Policy
from keyrung_provisioners import encoding
from keyrung_provisioners.api import Purpose
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import KeyUri

# Signed again when a third of its life is left, so that a stack that is deployed now and then never runs dry.
_RENEW_AT_REMAINING = 1 / 3


class PolicySet:
    """The signed policy bundle of one verifier."""

    token: ClassVar[str] = "keyrung:index:PolicySet"  # noqa: S105 - a Pulumi type token
    description: ClassVar[str] = "A compiled policy, signed by the policy key, where the verifier reads it."
    inputs: ClassVar[Mapping[str, Property]] = {
        "policy": Property(type="string", description="The compiled policy (canonical JSON)."),
        "signingKey": Property(type="string", description="URI of the policy-signing key."),
        "signingKeyPem": Property(type="string", description="Public half of the signing key (PEM)."),
        "path": Property(
            type="string",
            description="Where the bundle is written, relative to the project; left out, it is the output `bundle`.",
            optional=True,
            on_change=OnChange.REPLACE,
        ),
        "lifetimeDays": Property(type="integer", description="Days until the bundle expires.", default=90),
        "allowWeaker": Property(
            type="boolean",
            description="Whether a policy may replace one that asks for more; what is not decided counts as weaker.",
            default=False,
        ),
    }
    outputs: ClassVar[Mapping[str, Property]] = {
        "bundle": Property(type="string", description="The signed bundle; empty if it is written to a path."),
        "version": Property(type="integer", description="Grows with each signature; an older bundle is refused."),
        "bundleDigest": Property(type="string", description="SHA-256 of the signed bundle."),
        "inPlace": Property(type="boolean", description="Whether that bundle lies at its place (seen by refresh)."),
        "notBefore": Property(type="string", description="Start of the bundle's life (UTC)."),
        "expiresAt": Property(type="string", description="End of the bundle's life (UTC)."),
    }

    def __init__(self, backends: Backends) -> None:
        """Use the stores of ``backends``."""
        self._backends = backends

    def check(self, inputs: Values) -> list[Failure]:
        """See `ResourceType.check`."""
        failures = []
        if inputs["policy"] is not UNKNOWN:
            try:
                _policy(inputs)
            except InfraError as error:
                failures.append(Failure(property="policy", reason=str(error)))
        lifetime = inputs["lifetimeDays"]
        if isinstance(lifetime, int) and lifetime < 1:
            failures.append(Failure(property="lifetimeDays", reason="a bundle lives at least one day"))
        return failures

    def drift(self, state: Values, inputs: Values) -> Mapping[str, Change]:
        """Report a bundle that is missing or altered (found by a refresh), or that is due for renewal."""
        if not state["inPlace"]:
            return {"inPlace": Change(kind=OnChange.UPDATE, input=False)}
        begins, ends = (datetime.fromisoformat(str(state[name])) for name in ("notBefore", "expiresAt"))
        if ends - self._backends.now() < (ends - begins) * _RENEW_AT_REMAINING:
            return {"expiresAt": Change(kind=OnChange.UPDATE, input=False)}
        return {}

    def guard(self, state: Values, inputs: Values, changes: Changes) -> None:
        """See `ResourceType.guard`: refuse a policy that may be weaker, unless that is allowed."""
        if "policy" not in changes.by_property or inputs["policy"] is UNKNOWN or inputs["allowWeaker"] is True:
            return
        found = _verdict(state, inputs)
        if found.verdict.may_be_weaker:
            raise InfraError(
                f"the new policy is refused, because next to the deployed one it is {found.sentence.removesuffix('.')}",
                fix="see `keyrung policy diff HEAD`; to deploy it all the same set allowWeaker for this one `up`"
                " (Keyrung's own program: `pulumi config set allowWeakerPolicies true`)",
            )

    def planned(self, inputs: Values, state: Values | None) -> Values:
        """See `ResourceType.planned`; version and life are decided when it is signed."""
        return {}

    def advice(self, inputs: Values, state: Values | None) -> list[str]:
        """See `ResourceType.advice`: what a changed policy means next to the deployed one."""
        if state is None or inputs["policy"] is UNKNOWN or inputs["policy"] == state["policy"]:
            return []
        return [f"Next to the deployed policy this one is {_verdict(state, inputs).sentence}"]

    def create(self, urn: str, inputs: Values) -> tuple[str, Values]:
        """See `ResourceType.create`."""
        return str(inputs.get("path") or urn), self._sign(inputs, after_version=0)

    def read(self, urn: str, resource_id: str, state: Values) -> Values:
        """Say whether the signed bundle still lies at its place; if not, the next `up` signs again."""
        path = self._path(state)
        return {"inPlace": path is None or (path.is_file() and _digest(path.read_bytes()) == state["bundleDigest"])}

    def adopt(self, urn: str, resource_id: str) -> Imported:
        """See `ResourceType.adopt`."""
        raise InfraError("a policy set cannot be imported", fix="declare it; `up` signs it again")

    def update(self, urn: str, state: Values, inputs: Values) -> Values:
        """See `ResourceType.update`."""
        version = state["version"]
        return self._sign(inputs, after_version=version if isinstance(version, int) else 0)

    def delete(self, urn: str, state: Values) -> None:
        """See `ResourceType.delete`."""
        path = self._path(state)
        if path is not None:
            path.unlink(missing_ok=True)

    def _path(self, values: Values) -> Path | None:
        path = values.get("path")
        return None if path is None else self._backends.root / str(path)

    def _sign(self, inputs: Values, *, after_version: int) -> Values:
        now = self._backends.now().replace(microsecond=0)
        expires_at = now + timedelta(days=int(str(inputs["lifetimeDays"])))
        # Seconds since 1970 at least: versions keep growing even for a stack whose state was lost.
        version = max(after_version + 1, int(now.timestamp()))
        payload = build_payload(_policy(inputs), version=version, not_before=now, expires_at=expires_at)
        uri = KeyUri.parse(str(inputs["signingKey"]))
        manager = self._backends.manager(uri.scheme)
        row = self._backends.inventory().find(uri)
        if row is None or row.claim.purpose is not Purpose.POLICY_SIGNING:
            known = "unknown to the inventory" if row is None else f"for {row.claim.purpose}"
            raise InfraError(
                f"{uri} is {known}, and only a key made to sign policies signs one",
                fix="declare a key with the purpose policy-signing, or take this one over with `pulumi import`",
                uri=str(uri),
            )
        if row.state is not KeyState.ACTIVE:
            raise InfraError(
                f"{uri} is {row.state}, and only an active key signs a policy",
                fix="raise `generation` of the key (or resume it, if it is suspended)",
                uri=str(uri),
            )
        bundle = signed_bundle(payload, uri=uri, pem=str(inputs["signingKeyPem"]), manager=manager, now=now)
        path = self._path(inputs)
        if path is not None:
            write_private(path, bundle)
        return {
            "bundle": bundle.decode() if path is None else "",
            "version": version,
            "bundleDigest": _digest(bundle),
            "inPlace": True,
            "notBefore": now.isoformat(),
            "expiresAt": expires_at.isoformat(),
        }


def _verdict(state: Values, inputs: Values) -> PolicyVerdict:
    return policy_verdict(str(state["policy"]), str(inputs["policy"]))


def _policy(inputs: Values) -> Policy:
    try:
        return read_policy(str(inputs["policy"]))
    except (msgspec.MsgspecError, PolicyError) as error:
        raise InfraError(f"the policy is not valid ({error})", fix="compile it with keyrung_policies") from error


def _digest(data: bytes) -> str:
    return "sha-256:" + encoding.base64url(hashlib.sha256(data).digest())
