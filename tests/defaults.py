"""What a method's parameters are by default and between which bounds, as one line, for tests that pin them."""

from __future__ import annotations

from typing import Any

from unshaken.core.registry import Method

BOUNDS = {
    "minimum": ">=",
    "exclusiveMinimum": ">",
    "maximum": "<=",
    "exclusiveMaximum": "<",
    "multipleOf": "multiple of ",
}
FACTS = ("minimal", "needs_labels", "needs_objects", "reads_clean")
"""Flags of a method's class that say how it is run."""


def described(method: Method) -> list[str]:
    """One line a parameter, such as `steps=40 >0`, then the flags that are set and the norms."""
    lines = [f"{name}={_value(about.get('default'))}{_bounds(about)}" for name, about in method.parameters().items()]
    flags = [name for name in FACTS if getattr(method.cls, name, False)]
    return [*lines, " ".join([*flags, *method.norms])]


def _value(value: Any) -> str:
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _bounds(about: dict[str, Any]) -> str:
    parts = [about, *about.get("anyOf", [])]
    return "".join(f" {sign}{part[key]:g}" for key, sign in BOUNDS.items() for part in parts if key in part)
