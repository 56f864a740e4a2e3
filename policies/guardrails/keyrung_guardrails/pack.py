"""The rules as a policy pack of Pulumi."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)

from keyrung_guardrails.audit_store import Resource, archives_are_locked
from keyrung_guardrails.key_policies import KMS_KEYS, names_its_principals
from keyrung_guardrails.keys import (
    KEY,
    has_an_age,
    kek_survives_its_store,
    not_in_software,
    signing_stays_inside,
)

Rule = Callable[[Mapping[str, Any]], Iterator[str]]


def serve() -> None:
    """Answer the engine that started this process."""
    key = frozenset({KEY})
    PolicyPack(
        name="keyrung-production",
        enforcement_level=EnforcementLevel.MANDATORY,
        policies=[
            _of_resource("no-software-key", key, not_in_software),
            _of_resource("no-extractable-signing-key", key, signing_stays_inside),
            _of_resource("generation-age-set", key, has_an_age),
            _of_resource("kek-escrowed", key, kek_survives_its_store),
            _of_resource("no-wildcard-principal", KMS_KEYS, names_its_principals),
            StackValidationPolicy(
                name="audit-store-locked", description=_summary(archives_are_locked), validate=_archives_locked
            ),
        ],
    )


def _of_resource(name: str, types: frozenset[str], rule: Rule) -> ResourceValidationPolicy:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        if args.resource_type in types:
            for message in rule(args.props):
                report(message)

    return ResourceValidationPolicy(name=name, description=_summary(rule), validate=validate)


def _archives_locked(args: StackValidationArgs, report: ReportViolation) -> None:
    resources = [
        Resource(
            urn=found.urn,
            parent_urn=found.parent.urn if found.parent else None,
            type=found.resource_type,
            props=found.props,
        )
        for found in args.resources
    ]
    for message, urn in archives_are_locked(resources):
        report(message, urn)


def _summary(rule: Callable[..., object]) -> str:
    return (rule.__doc__ or "").splitlines()[0]
