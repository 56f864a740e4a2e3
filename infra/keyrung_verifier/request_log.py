"""One line of JSON for each request: what was asked, how it ended, how long it took; the same line carries the metrics.

The members are a closed list, and what comes from outside is written only if it has exactly the form that it should
have.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from keyrung_verifier import paths
from keyrung_verifier.entry import HTTP_OK, Reply
from keyrung_verifier.metrics import Metric, metric_line

# W3C Trace Context (level 1), section 3.2; version 00 has exactly these parts.
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)
# X-Ray's tracing header (X-Ray developer guide); Lambda appends more members than these three.
_XRAY = re.compile(r"Root=(1-[0-9a-f]{8}-[0-9a-f]{24})(?:;[!-~]{0,256})?", re.ASCII)
_REQUEST_ID = re.compile(r"[0-9A-Za-z-]{1,64}", re.ASCII)
_OPERATIONS = {
    ("POST", paths.EVALUATION): "evaluate",
    ("POST", paths.EVALUATIONS): "evaluate-many",
    ("POST", paths.CHALLENGES): "challenge",
    ("POST", paths.SPEND): "spend",
    ("GET", paths.JWKS): "read-keys",
    ("GET", paths.AUTHZEN_CONFIGURATION): "read-metadata",
    ("GET", paths.OPENAPI): "read-description",
    ("GET", paths.HEALTH): "health",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A request that was answered.

    Attributes:
        function: The name of the function.
        operation: See `operation_of`.
        request_id: The platform's name for the call.
        xray_header: What the platform says for tracing.
        traceparent: The caller's header.
        cold: Whether it was the first of its process.
    """

    function: str
    operation: str
    reply: Reply
    duration_ms: float
    cold: bool
    request_id: str | None = None
    xray_header: str | None = None
    traceparent: str | None = None


def operation_of(method: str, path: str) -> str:
    """Return what a request asks for, by one of a few names: a path may hold a challenge's id, which is a secret."""
    if path.startswith(f"{paths.CHALLENGES}/"):
        return "respond" if path.endswith(paths.RESPONSE_SUFFIX) else "read-challenge"
    return _OPERATIONS.get((method, path), "other")


def line_of(served: Served, *, now: datetime) -> str:
    """Return the line, without a line feed."""
    reply = served.reply
    failed = reply.error is not None
    members = {
        "level": "ERROR" if reply.status >= 500 else "INFO",  # noqa: PLR2004 - RFC 9110 section 15.6
        "message": "request",
        "function": served.function,
        "operation": served.operation,
        "status": reply.status,
        "error": reply.error,
        "correlation_id": reply.correlation_id,
        "request_id": _exact(_REQUEST_ID, served.request_id),
        "xray_trace_id": _xray(served.xray_header),
        "traceparent": _exact(_TRACEPARENT, served.traceparent),
        "cold_start": served.cold,
    }
    metrics = [
        Metric(name="Requests", unit="Count", value=1),
        Metric(name="StepUps", unit="Count", value=int(served.operation == "respond" and reply.status == HTTP_OK)),
        Metric(name="Refusals", unit="Count", value=int(failed)),
        Metric(name="Latency", unit="Milliseconds", value=round(served.duration_ms, 3)),
    ]
    by = ["operation", *(["error"] if failed else [])]
    return metric_line(members, metrics, dimensions=[["function"], *(["function", name] for name in by)], now=now)


def _exact(form: re.Pattern[str], text: str | None) -> str | None:
    return text if text is not None and form.fullmatch(text) else None


def _xray(header: str | None) -> str | None:
    found = _XRAY.fullmatch(header or "")
    return found[1] if found else None
