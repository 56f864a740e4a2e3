"""The provider's schema, derived from the tables of properties."""

import json
from collections.abc import Iterable, Mapping

from keyrung_infra.provider.model import OnChange, Property, ResourceType


def schema(name: str, version: str, configuration: Mapping[str, Property], resources: Iterable[ResourceType]) -> str:
    """Return the Pulumi package schema as JSON."""
    resources = list(resources)
    return json.dumps(
        {
            "name": name,
            "version": version,
            "displayName": "Keyrung",
            "description": "Provisions the keys behind step-up authentication.",
            "license": "Apache-2.0",
            "config": {"variables": _properties(configuration)},
            "provider": {"inputProperties": _properties(configuration)},
            "types": _types(resources),
            "resources": {resource.token: _resource(resource) for resource in resources},
        },
        indent=2,
    )


def _resource(resource: ResourceType) -> dict[str, object]:
    everything = {**resource.inputs, **resource.outputs}
    return {
        "description": resource.description,
        "inputProperties": _properties(resource.inputs),
        "requiredInputs": [name for name, rule in resource.inputs.items() if rule.required],
        "properties": _properties(everything),
        "required": [name for name, rule in everything.items() if not rule.optional],
    }


def _types(resources: Iterable[ResourceType]) -> dict[str, object]:
    """Return the objects of a fixed form that resources take or give, by their names."""
    rules = [rule for resource in resources for rule in (*resource.inputs.values(), *resource.outputs.values())]
    return {
        f"keyrung:index:{rule.object_name}": {
            "type": "object",
            "description": rule.description,
            "properties": _properties(rule.members),
            "required": [name for name, member in rule.members.items() if member.required],
        }
        for rule in rules
        if rule.object_name
    }


def _properties(rules: Mapping[str, Property]) -> dict[str, object]:
    return {name: _property(rule) for name, rule in rules.items()}


def _property(rule: Property) -> dict[str, object]:
    described: dict[str, object] = {"type": rule.type, "description": rule.description}
    if rule.object_name:
        described["$ref"] = f"#/types/keyrung:index:{rule.object_name}"
    elif rule.type == "array":
        described["items"] = {"type": "string"} if rule.items == "string" else {"$ref": "pulumi.json#/Any"}
    elif rule.type == "object":
        described["additionalProperties"] = {"$ref": "pulumi.json#/Any"}
    if rule.default is not None:
        described["default"] = rule.default
    if rule.on_change is OnChange.REPLACE:
        described["replaceOnChanges"] = True
    return described
