"""Metrics inside a line of the log, in CloudWatch's Embedded Metric Format: no call is needed to tell them.

The form is that of the specification in the CloudWatch user guide; CloudWatch drops a line that breaks it, unheard.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

NAMESPACE = "Keyrung"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A value of one moment; `unit` is one of CloudWatch's, such as `Count` or `Milliseconds`."""

    name: str
    unit: str
    value: float


def metric_line(
    members: Mapping[str, str | int | bool | None],
    metrics: Sequence[Metric],
    *,
    dimensions: Sequence[Sequence[str]],
    now: datetime,
) -> str:
    """Return one line of JSON, without a line feed.

    Args:
        members: What else the line says; those that are None are left out.
        metrics: Its metrics.
        dimensions: Sets of members, each a text, by which the metrics are told apart.
        now: The moment of the metrics.
    """
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [list(names) for names in dimensions],
        "Metrics": [{"Name": each.name, "Unit": each.unit} for each in metrics],
    }
    return json.dumps(
        {
            "_aws": {"Timestamp": int(now.timestamp() * 1000), "CloudWatchMetrics": [directive]},
            **{name: value for name, value in members.items() if value is not None},
            **{each.name: each.value for each in metrics},
        },
        separators=(",", ":"),
    )
