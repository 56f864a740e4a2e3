"""A deployment in AWS under the production rules: the defaults need one decision more, a locked archive needs none."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.pulumi_mocks import Deployment, deploy

from keyrung_guardrails.audit_store import Resource, archives_are_locked
from keyrung_guardrails.key_policies import KMS_KEYS, names_its_principals
from keyrung_guardrails.keys import KEY, has_an_age, kek_survives_its_store, not_in_software, signing_stays_inside
from keyrung_infra.components import StepUp, StepUpArgs
from keyrung_infra.components.audit_trail import LockMode


def _deploy(**options: Any) -> Deployment:
    def program() -> Mapping[str, Any]:
        StepUp("stepup", StepUpArgs(policy="{}", package=Path(__file__), **options))
        return {}

    return deploy(program)


def _refusals(deployment: Deployment) -> list[str]:
    key_rules = (not_in_software, signing_stays_inside, has_an_age, kek_survives_its_store)
    said = [message for key in deployment.of(KEY) for rule in key_rules for message in rule(key.inputs)]
    for kind in KMS_KEYS:
        said += [message for key in deployment.of(kind) for message in names_its_principals(key.inputs)]
    resources = [
        Resource(urn=each.urn, parent_urn=each.parent, type=each.type, props=each.inputs)
        for each in deployment.resources
    ]
    return said + [message for message, _ in archives_are_locked(resources)]


def test_a_deployment_with_a_locked_archive_passes_every_rule() -> None:
    assert _refusals(_deploy(audit_lock_mode=LockMode.COMPLIANCE)) == []


def test_the_defaults_lack_only_a_lock_that_nobody_opens() -> None:
    said = _refusals(_deploy())

    assert len(said) == 1
    assert "COMPLIANCE" in said[0]


def test_there_are_keys_and_policies_for_the_rules_to_look_at() -> None:
    deployment = _deploy()

    assert len(deployment.of(KEY)) == 4
    assert all(json.loads(key.inputs["policy"])["Statement"] for key in deployment.of("aws:kms/key:Key"))
