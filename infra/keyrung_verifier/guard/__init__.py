"""Adds step-up to an application: every request is decided by the verifier before the application sees it.

Whatever goes wrong, the request does not pass. Routes that are not listed are refused too, so that a forgotten one is
noticed and never open. A request that brings an assertion is never answered with a new challenge: a client that
repeats itself can't loop (RFC 9470 section 5).

What is decided stands in `admission`, without input or output. Two shells carry it: `asgi` (with httpx) and
`aws_lambda` (with the standard library only); an application imports from the one it needs.
"""
