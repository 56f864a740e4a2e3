"""Adds step-up to an ASGI application: every request is decided by the verifier before the application sees it.

Whatever goes wrong, the request does not pass. Routes that are not listed are refused too, so that a forgotten one is
noticed and never open. A request that brings an assertion is never answered with a new challenge: a client that
repeats itself can't loop (RFC 9470 section 5).
"""

from keyrung_verifier.guard.calls import verifier_client
from keyrung_verifier.guard.middleware import StepUpGuard
from keyrung_verifier.guard.model import Action, GuardConfigError, GuardedRequest, Session

__all__ = ["Action", "GuardConfigError", "GuardedRequest", "Session", "StepUpGuard", "verifier_client"]
