"""The JSON schema of a parameter, in the words of a reader."""

from __future__ import annotations

import json
from typing import Any

_BOUNDS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "multipleOf": "a multiple of {}",
    "minLength": "{} characters or more",
    "maxLength": "{} characters or fewer",
    "minItems": "{} items or more",
    "maxItems": "{} items or fewer",
}


def type_of(schema: dict[str, Any]) -> str:
    """Its type.

    >>> type_of({"anyOf": [{"type": "integer"}, {"type": "null"}]})
    'integer or none'
    """
    if "enum" in schema:
        return " or ".join(str(value) for value in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(type_of(part) for part in schema["anyOf"]))
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if schema.get("type") == "array":
        inner: dict[str, Any] = schema.get("items") or next(iter(schema.get("prefixItems", [])), {})
        return f"list of {type_of(inner)}" if inner else "list"
    return {"null": "none"}.get(str(schema.get("type")), str(schema.get("type", "any")))


def bounds_of(schema: dict[str, Any]) -> str:
    """What values it allows, or nothing.

    >>> bounds_of({"type": "integer", "exclusiveMinimum": 0, "maximum": 9})
    '> 0, ≤ 9'
    """
    parts = [schema, *schema.get("anyOf", [])]
    return ", ".join(dict.fromkeys(text.format(p[k]) for p in parts for k, text in _BOUNDS.items() if k in p))


def default_of(value: Any) -> str:
    """Its default as JSON, a float in six digits.

    >>> default_of(0.1), default_of(None), default_of("auto")
    ('0.1', 'null', '"auto"')
    """
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)
