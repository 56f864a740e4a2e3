"""The JSON Schema of a policy file, for editors: the same words, patterns and bounds as the compiler's.

An editor sees shape, spelling and units. What needs the whole folder (undeclared names, orders without joins, operators
that do not fit an attribute) only the compiler tells.
"""

from typing import Any

from keyrung_policies.model import (
    ACR_PATTERN,
    ACTION_NAME_PATTERN,
    ACTION_PATTERN,
    ATTRIBUTE_PATTERN,
    AUDITS,
    BINDINGS,
    FACTORS,
    MAX_ACTION_CHARS,
    MAX_BATCH_COUNT,
    MAX_INTEGER,
    MAX_LEVELS,
    MAX_SET_ITEMS,
    MAX_TEXT_CHARS,
    ORDERINGS,
    OUTCOMES,
    SLUG_PATTERN,
    TRIGGERS,
)

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def policy_schema() -> Schema:
    """Return the schema of one policy file (JSON Schema 2020-12)."""
    return {
        "$schema": DIALECT,
        "title": "Keyrung policy",
        **_object(
            required={"keyrung": {"const": "policy/v1"}, "default": {"const": "deny"}},
            optional={
                "attributes": _named(ATTRIBUTE_PATTERN, 128, _ref("attribute")),
                "levels": {**_named(SLUG_PATTERN, 64, _ref("level")), "maxProperties": MAX_LEVELS},
                "rules": _list(_ref("rule")),
                "cases": _list(_ref("case")),
                "invariants": _list(_ref("invariant")),
            },
        ),
        "$defs": {
            "attribute": _attribute(),
            "level": _level(),
            "rule": _rule(),
            "require": _require(),
            "condition": _condition(),
            "tests": _tests(),
            "case": _case(),
            "invariant": _invariant(),
            "duration": _text(r"^[0-9]{1,9}(s|m|h)$", about="a number with its unit, like 90s, 5m or 2h"),
            "slug": _text(SLUG_PATTERN, 64),
            "action": _text(ACTION_PATTERN, MAX_ACTION_CHARS, about="a name, a prefix like payments.*, or *"),
            "bind": {"type": "array", "items": {"enum": list(BINDINGS)}, "uniqueItems": True},
            "integer": {"type": "integer", "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER},
            "value": {"type": ["string", "integer", "boolean"]},
        },
    }


def _attribute() -> Schema:
    audit = {"audit": {"enum": list(AUDITS), "description": "what the audit log keeps; omit without it"}}
    texts = _list({"type": "string"}, unique=True)

    def kind(name: str, required: Schema | None = None, optional: Schema | None = None) -> Schema:
        return _object(required={"type": {"const": name}} | (required or {}), optional=audit | (optional or {}))

    return {
        "oneOf": [
            kind("text", optional={"max_length": _bounded(1, MAX_TEXT_CHARS)}),
            kind("integer", optional={"min": _ref("integer"), "max": _ref("integer")}),
            kind("boolean"),
            kind("enum", {"values": texts}),
            kind("ip"),
            kind(
                "set",
                optional={
                    "values": texts,
                    "min_items": _bounded(0, MAX_SET_ITEMS),
                    "max_items": _bounded(1, MAX_SET_ITEMS),
                },
            ),
        ]
    }


def _level() -> Schema:
    together = _list({"enum": list(FACTORS)}, unique=True)
    return _object(
        required={"acr": _text(ACR_PATTERN, 128), "any_of": _list(together, unique=True)},
        optional={"above": _list(_ref("slug"), unique=True)},
    )


def _rule() -> Schema:
    rule = _object(
        required={"id": _ref("slug"), "actions": _list(_ref("action"), unique=True)},
        optional={
            "trigger": {"enum": list(TRIGGERS), "description": "why the rule is there; it changes no decision"},
            "when": _ref("condition"),
            "require": _ref("require"),
            "deny": {"const": True},
            "allow": {"const": True},
            "display": {"type": "string", "minLength": 1, "description": "what the user reads before approving"},
        },
    )
    effects = [{"required": [effect]} for effect in ("require", "deny", "allow")]
    return rule | {"oneOf": effects, "dependentRequired": {"display": ["require"]}}


def _require() -> Schema:
    batch = _object(required={"count": _bounded(2, MAX_BATCH_COUNT), "within": _ref("duration")})
    require = _object(
        required={"level": _ref("slug"), "max_age": _ref("duration")},
        optional={"bind": _ref("bind"), "single_use": {"type": "boolean"}, "batch": batch},
    )
    return require | {"dependentRequired": {"batch": ["bind"]}}


def _condition() -> Schema:
    clock = _text(r"^([01][0-9]|2[0-3]):[0-5][0-9]$", about='UTC, in quotes, like "22:00"')
    return {
        "type": "object",
        "minProperties": 1,
        "properties": {
            "all": _list(_ref("condition")),
            "any": _list(_ref("condition")),
            "not": _ref("condition"),
            "time": _object(required={"from": clock, "to": clock}),
        },
        "patternProperties": {_ecma(ATTRIBUTE_PATTERN): {"anyOf": [_ref("value"), _ref("tests")]}},
        "additionalProperties": False,
    }


def _tests() -> Schema:
    texts = _list({"type": "string"}, unique=True)
    tests = _object(
        optional={
            "eq": _ref("value"),
            "in": _list({"type": ["string", "integer"]}, unique=True),
            **{ordering: _ref("integer") for ordering in ORDERINGS},
            "glob": {"type": "string", "minLength": 1, "maxLength": MAX_TEXT_CHARS},
            "cidr": {"anyOf": [{"type": "string"}, texts]},
            "has": {"type": "string"},
            "has_any": texts,
            "has_all": texts,
        }
    )
    return tests | {"minProperties": 1}


def _case() -> Schema:
    expect = _object(
        required={"outcome": {"enum": list(OUTCOMES)}},
        optional={
            "level": _ref("slug"),
            "max_age": _ref("duration"),
            "rules": _list(_ref("slug"), unique=True),
            "display": {"type": "string"},
        },
    )
    value = {"anyOf": [_ref("value"), {"type": "array", "items": {"type": "string"}}]}
    return _object(
        required={"name": {"type": "string"}, "action": _text(ACTION_NAME_PATTERN, MAX_ACTION_CHARS), "expect": expect},
        optional={
            "attributes": _named(ATTRIBUTE_PATTERN, 128, value),
            "at": {"type": "string", "description": 'in quotes, like "2026-11-25T22:30:00Z"'},
        },
    )


def _invariant() -> Schema:
    floor = _object(
        required={"level": _ref("slug")},
        optional={"max_age": _ref("duration"), "bind": _ref("bind"), "single_use": {"type": "boolean"}},
    )
    outcome = {"enum": list(OUTCOMES)}
    invariant = _object(
        required={"name": {"type": "string"}, "actions": _list(_ref("action"), unique=True)},
        optional={"when": _ref("condition"), "always": {"anyOf": [outcome, floor]}, "never": outcome},
    )
    return invariant | {"oneOf": [{"required": ["always"]}, {"required": ["never"]}]}


def _object(*, required: Schema | None = None, optional: Schema | None = None) -> Schema:
    properties = (required or {}) | (optional or {})
    return {
        "type": "object",
        "properties": properties,
        "required": list(required or {}),
        "additionalProperties": False,
    }


def _named(pattern: str, most: int, value: Schema) -> Schema:
    return {
        "type": "object",
        "propertyNames": {"pattern": _ecma(pattern), "maxLength": most},
        "additionalProperties": value,
    }


def _list(item: Schema, *, unique: bool = False) -> Schema:
    return {"type": "array", "items": item, "minItems": 1} | ({"uniqueItems": True} if unique else {})


def _text(pattern: str, most: int | None = None, *, about: str | None = None) -> Schema:
    text: Schema = {"type": "string", "pattern": _ecma(pattern)}
    text |= {} if most is None else {"maxLength": most}
    return text if about is None else text | {"description": about}


def _bounded(least: int, most: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _ecma(pattern: str) -> str:
    """Return a pattern of ours in the dialect of editors (ECMA-262), which has other words for begin and end."""
    return pattern.replace(r"\A", "^").replace(r"\Z", "$")
