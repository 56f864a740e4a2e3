"""The provider's schema, derived from the tables of properties."""

import json
from collections.abc import Iterable, Mapping

from keyrung_infra.provider.model import Described, OnChange, Property


def schema(
    name: str,
    version: str,
    configuration: Mapping[str, Property],
    resources: Iterable[Described],
    components: Iterable[Described],
) -> str:
    """Return the Pulumi package schema as JSON."""
    resources, components = list(resources), list(components)
    return json.dumps(
        {
            "name": name,
            "version": version,
            "displayName": "Keyrung",
            "description": "Provisions the keys behind step-up authentication.",
            "license": "Apache-2.0",
            # SDKs generated from it say of which version they are, and don't claim to be Pulumi's own.
            "language": {
                "nodejs": {"packageName": "pulumi-keyrung", "respectSchemaVersion": True},
                "python": {"packageName": "pulumi_keyrung", "respectSchemaVersion": True},
            },
            "config": {"variables": _properties(configuration)},
            "provider": {"inputProperties": _properties(configuration)},
            "types": _types([*resources, *components]),
            "resources": {
                **{resource.token: _resource(resource) for resource in resources},
                **{component.token: _component(component) for component in components},
            },
        },
        indent=2,
    )


def _resource(resource: Described) -> dict[str, object]:
    everything = {**resource.inputs, **resource.outputs}
    return {
        "description": resource.description,
        "inputProperties": _properties(resource.inputs),
        "requiredInputs": [name for name, rule in resource.inputs.items() if rule.required],
        "properties": _properties(everything),
        "required": [name for name, rule in everything.items() if not rule.optional],
    }


def _component(component: Described) -> dict[str, object]:
    """Return a component, whose properties are its outputs alone: the engine keeps no inputs of it."""
    return {
        "isComponent": True,
        "description": component.description,
        "inputProperties": _properties(component.inputs),
        "requiredInputs": [name for name, rule in component.inputs.items() if rule.required],
        "properties": _properties(component.outputs),
        "required": list(component.outputs),
    }


def _types(resources: Iterable[Described]) -> dict[str, object]:
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
    reference = {"$ref": f"#/types/keyrung:index:{rule.object_name}"}
    if rule.type == "array":
        of_objects = reference if rule.object_name else {"$ref": "pulumi.json#/Any"}
        described["items"] = {"type": "string"} if rule.items == "string" else of_objects
    elif rule.object_name:
        described |= reference
    elif rule.type == "object":
        described["additionalProperties"] = {"$ref": "pulumi.json#/Any"}
    if rule.default is not None:
        described["default"] = rule.default
    if rule.on_change is OnChange.REPLACE:
        described["replaceOnChanges"] = True
    return described
