"""The provider's schema, derived from the tables of properties."""

import json
from collections.abc import Iterable, Mapping

from keyrung_infra.provider.model import OnChange, Property, ResourceType


def schema(name: str, version: str, configuration: Mapping[str, Property], resources: Iterable[ResourceType]) -> str:
    """Return the Pulumi package schema as JSON."""
    return json.dumps(
        {
            "name": name,
            "version": version,
            "displayName": "Keyrung",
            "description": "Provisions the keys behind step-up authentication.",
            "license": "Apache-2.0",
            "config": {"variables": _properties(configuration)},
            "provider": {"inputProperties": _properties(configuration)},
            "resources": {resource.token: _resource(resource) for resource in resources},
        },
        indent=2,
    )


def _resource(resource: ResourceType) -> dict[str, object]:
    everything = {**resource.inputs, **resource.outputs}
    return {
        "description": resource.description,
        "inputProperties": _properties(resource.inputs),
        "requiredInputs": [name for name, rule in resource.inputs.items() if rule.default is None],
        "properties": _properties(everything),
        "required": list(everything),
    }


def _properties(rules: Mapping[str, Property]) -> dict[str, object]:
    return {name: _property(rule) for name, rule in rules.items()}


def _property(rule: Property) -> dict[str, object]:
    described: dict[str, object] = {"type": rule.type, "description": rule.description}
    if rule.type == "object":
        described["additionalProperties"] = {"$ref": "pulumi.json#/Any"}
    if rule.default is not None:
        described["default"] = rule.default
    if rule.on_change is OnChange.REPLACE:
        described["replaceOnChanges"] = True
    return described
