"""State against declaration, property by property: nothing, in place, or replacement."""

from keyrung_infra.provider.model import Change, Changes, OnChange, ResourceType, Values
from keyrung_infra.provider.values import UNKNOWN


def diff(resource: ResourceType, state: Values, inputs: Values, ignored: list[str]) -> Changes:
    """Return the changes that `inputs` ask for, after the resource type has allowed them.

    The state holds every input among its outputs, since the engine hands no old inputs over. A value that is still
    unknown may turn out to be another one, so it counts as a change.
    """
    changes = {
        name: Change(kind=rule.on_change)
        for name, rule in resource.inputs.items()
        if name not in ignored and (inputs.get(name) is UNKNOWN or inputs.get(name) != state.get(name))
    }
    replaced = any(change.kind is OnChange.REPLACE for change in changes.values())
    if not replaced:
        changes |= {name: change for name, change in resource.drift(state, inputs).items() if name not in changes}
    result = Changes(by_property=changes)
    if result.by_property:
        resource.guard(state, inputs, result)
    return result
