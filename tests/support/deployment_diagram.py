"""Draws what the target `aws` deploys, from what its program registers, into infra/README.md: `make diagram`.

A resource that only sets something on another one (a policy, a version, a route) is not drawn: what it depends on
counts for whatever depends on it, so that the arrows of a function show what its role's policy names. Nor are the keys
drawn that do nothing but encrypt what lies at rest.
"""

from collections import Counter
from collections.abc import Mapping
from functools import cache
from itertools import product
from pathlib import Path

import pulumi
from support.pulumi_mocks import Deployment, Registered, deploy

from keyrung_infra.components import StepUp, StepUpArgs

README = Path(__file__).parents[2] / "infra" / "README.md"
_BEGIN, _END = (
    "<!-- Written by `make diagram`, from what the program registers. -->",
    "<!-- End of what is written. -->",
)

# What is drawn, and the form of its box.
_DRAWN = {
    "aws:apigatewayv2/api:Api": '["{}<br/>HTTP API"]',
    "aws:cloudwatch/metricAlarm:MetricAlarm": '["{}<br/>CloudWatch alarm"]',
    "aws:dynamodb/table:Table": '[("{}<br/>DynamoDB table")]',
    "aws:kms/key:Key": '{{{{"{}<br/>KMS key"}}}}',
    "aws:lambda/function:Function": '["{}<br/>Lambda function"]',
    "aws:s3/bucket:Bucket": '[("{}<br/>S3 bucket")]',
    "aws:s3/bucketObjectv2:BucketObjectv2": '["{}<br/>S3 object"]',
    "aws:sns/topic:Topic": '["{}<br/>SNS topic"]',
    "aws:sqs/queue:Queue": '["{}<br/>SQS queue"]',
    "keyrung:index:PolicySet": '["{}<br/>signed by the policy key"]',
}
_MANY = {"aws:cloudwatch/metricAlarm:MetricAlarm": "alarms"}  # drawn as one box
# What passes calls or records on: from the one, to the other.
_FUNCTION = "aws:lambda/function:Function"
_PASSED_ON = {
    "aws:apigatewayv2/integration:Integration": ("aws:apigatewayv2/api:Api", _FUNCTION),
    "aws:lambda/eventSourceMapping:EventSourceMapping": ("aws:dynamodb/table:Table", _FUNCTION),
}
_NAME = "stepup"


def text() -> str:
    """Return the diagram (Mermaid) of a deployment with default settings."""
    deployment = deploy(_program)
    parents = {each.urn: each for each in deployment.resources}
    drawn = {each.urn: each for each in deployment.resources if _is_drawn(each, parents)}
    lines = ["```mermaid", "flowchart LR"]
    groups: dict[str, list[str]] = {}
    counted = Counter(_MANY[each.type] for each in drawn.values() if each.type in _MANY)
    for each in sorted(drawn.values(), key=lambda each: (each.type, each.name)):
        label = f"{counted[_MANY[each.type]]} {_MANY[each.type]}" if each.type in _MANY else _short(each)
        box = f"    {_box(each)}{_DRAWN[each.type].format(label)}"
        group = groups.setdefault(_component(each, parents), [])
        if box not in group:
            group.append(box)
    for component, boxes in sorted(groups.items()):
        lines += [f"  subgraph {component}", *boxes, "  end"]
    lines += [f"  {start} --> {end}" for start, end in sorted(_arrows(deployment, drawn))]
    return "\n".join([*lines, "```"])


def written(readme: str) -> str:
    """Return what stands between the marks."""
    return readme.split(_BEGIN, 1)[1].split(_END, 1)[0].strip()


def rewrite() -> None:
    """Put the diagram between the marks."""
    head, rest = README.read_text("utf-8").split(_BEGIN, 1)
    README.write_text(f"{head}{_BEGIN}\n\n{text()}\n\n{_END}{rest.split(_END, 1)[1]}", "utf-8")


def _program() -> Mapping[str, pulumi.Output[str]]:
    return {"url": StepUp(_NAME, StepUpArgs(policy="{}", package=Path(__file__))).url}


def _arrows(deployment: Deployment, drawn: Mapping[str, Registered]) -> set[tuple[str, str]]:
    by_urn = {each.urn: each for each in deployment.resources}

    @cache
    def reached(urn: str) -> frozenset[str]:
        """Return the drawn resources that ``urn`` depends on, itself or through what is not drawn."""
        found = by_urn[urn].depends_on
        return frozenset().union(*({each} if each in drawn else reached(each) for each in found))

    pairs = {(start, end) for start in drawn for end in reached(start)}
    for each in deployment.resources:
        if each.type in _PASSED_ON:
            start, end = (
                [urn for urn in reached(each.urn) if drawn[urn].type == kind] for kind in _PASSED_ON[each.type]
            )
            pairs |= set(product(start, end))
    boxes = {(_box(drawn[start]), _box(drawn[end])) for start, end in pairs}
    return {(start, end) for start, end in boxes if start != end}


def _is_drawn(resource: Registered, parents: Mapping[str, Registered]) -> bool:
    at_rest = resource.type == "aws:kms/key:Key" and _component(resource, parents) != "KmsKeyVault"
    return resource.type in _DRAWN and not at_rest


def _component(resource: Registered, parents: Mapping[str, Registered]) -> str:
    """Return the part of `StepUp` that the resource belongs to."""
    while parents[resource.parent].type != "keyrung:index:StepUp":
        resource = parents[resource.parent]
    own = parents[resource.parent].type == "keyrung:index:StepUp" and not resource.type.startswith("keyrung:index:")
    return "StepUp" if own or resource.type == "keyrung:index:PolicySet" else resource.type.rpartition(":")[2]


def _short(resource: Registered) -> str:
    return resource.name.removeprefix(f"{_NAME}-")


def _box(resource: Registered) -> str:
    kind = resource.type.rpartition(":")[2]
    return kind if resource.type in _MANY else f"{kind}_{_short(resource)}".replace("-", "_")


if __name__ == "__main__":
    rewrite()
