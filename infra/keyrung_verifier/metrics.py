"""Metrics inside a line of the log, in CloudWatch's Embedded Metric Format: no call is needed to tell them.

The form is that of the specification in the CloudWatch user guide; CloudWatch drops a line that breaks it, unheard.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from keyrung_verifier.protocols import Clock

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


class Teller:
    """Writes lines that count something, by function.

    Args:
        write: Takes the log's lines.
        function: The name of the function.
        clock: Dates them.
    """

    def __init__(self, write: Callable[[str], object], *, function: str, clock: Clock) -> None:
        self._write, self._function, self._clock = write, function, clock

    def tell(self, message: str, *, level: str = "INFO", **counts: int) -> None:
        """Write one line with these counts."""
        members = {"level": level, "message": message, "function": self._function}
        metrics = [Metric(name=name, unit="Count", value=count) for name, count in counts.items()]
        self._write(metric_line(members, metrics, dimensions=[["function"]], now=self._clock.now()) + "\n")
