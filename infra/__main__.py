"""The stack: its settings choose the target, the catalogue is the policy. `pulumi up` runs this file.

A program of your own declares a deployment in AWS with `keyrung_infra.components.StepUp`, as `targets/aws.py` does.
"""

from importlib import import_module
from pathlib import Path

import pulumi

from keyrung_infra.policy_text import policy_text
from keyrung_infra.project import find_root
from keyrung_infra.settings import chosen_target

policy = policy_text(find_root(Path(__file__).parent) / "policies" / "catalog")
target = import_module(f"keyrung_infra.targets.{chosen_target()}")  # only one of them is loaded
for name, value in target.deploy(policy).items():
    pulumi.export(name, value)
