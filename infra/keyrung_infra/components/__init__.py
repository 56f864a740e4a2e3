"""Step-up authentication in AWS as Pulumi components; `StepUp` is the whole, the others are its parts."""

from keyrung_infra.components.deployment_document import Client
from keyrung_infra.components.step_up import StepUp
from keyrung_infra.components.step_up_args import StepUpArgs

__all__ = ["Client", "StepUp", "StepUpArgs"]
