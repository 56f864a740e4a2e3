"""The stack for production: everything in AWS."""

from collections.abc import Mapping
from typing import Any

import pulumi

from keyrung_infra.components import StepUp
from keyrung_infra.targets.aws_settings import step_up_args


def deploy(policy: str) -> Mapping[str, pulumi.Input[Any]]:
    """Declare the deployment that enforces ``policy`` (canonical JSON) and return what it exports."""
    step_up = StepUp("stepup", step_up_args(policy))
    return {
        "url": step_up.url,
        "keys": step_up.keys,
        "policyVersion": step_up.policy_version,
        "callerPolicy": step_up.caller_policy,
        "operatorPolicy": step_up.operator_policy,
        "config": step_up.config,
        "store": step_up.store,
        "inventory": step_up.inventory,
        "auditBucket": step_up.audit_bucket,
        "alarmTopic": step_up.alarm_topic,
    }
