"""An assertion pays for one request, once: checked against the request at hand, then used up durably."""

from keyrung_verifier import assertion, models
from keyrung_verifier.audit_writer import hash_id
from keyrung_verifier.callers import Caller
from keyrung_verifier.calls import Call
from keyrung_verifier.core import Core, digest_of, read_body
from keyrung_verifier.errors import AssertionInvalidError, AssertionRefusedError
from keyrung_verifier.limits import USED_MARK_SECONDS
from keyrung_verifier.store.protocol import ConditionFailedError, ConsumeOnce, RequireEarned


def spend(core: Core, call: Call, caller: Caller, body: bytes) -> models.AssertionSpent:
    """Use up an assertion for the session and request it was made for."""
    asked = read_body(body, models.SpendRequest)
    request_digest = digest_of(asked.request)
    call.learn(session_id=asked.session.id, request_digest=request_digest)
    claims = _checked(core, asked.assertion, caller)
    call.learn(subject_id=claims.sub, action=claims.action, jti=claims.jti, policy_digest=claims.policy_digest)
    bundle = core.policy_source.current()
    call.learn(policy_version=bundle.version)
    if claims.sid != asked.session.id:
        raise AssertionRefusedError("session")
    if claims.request_digest != request_digest:
        raise AssertionRefusedError("request")
    if claims.policy_digest != bundle.digest:
        raise AssertionRefusedError("policy_changed")
    mark = ConsumeOnce(
        kind="assertion",
        key=hash_id(claims.jti),
        keep_until_seconds=claims.exp + USED_MARK_SECONDS,
    )
    try:
        # Revoking a credential ends what it earned as well (ASVS 5.0 6.5.6).
        core.audit.commit([call.record("success")], [mark, RequireEarned(jti_hash=mark.key)])
    except ConditionFailedError as error:
        raise AssertionRefusedError("used" if error.write is mark else "credential_revoked") from error
    return models.AssertionSpent(spent=True, sub=claims.sub, acr=claims.acr, auth_time=claims.auth_time, jti=claims.jti)


def _checked(core: Core, text: str, caller: Caller) -> assertion.Claims:
    try:
        return assertion.verify(
            text,
            keys=core.signers.verifying(),
            issuer=core.settings.issuer,
            audience=caller.audience,
            now=core.clock.now(),
        )
    except AssertionInvalidError as error:
        raise AssertionRefusedError(error.reason) from error
