"""Where a run keeps maps of its examples: what a model looks at before and after a change."""

from __future__ import annotations

MAPS_RECORD = ("maps", "before-after.json")
"""By which method maps were made, and of which conditions."""


def map_file(condition: str) -> tuple[str, str]:
    """The file of a condition: tensors `before`, `after`, `class_before` and `class_after`, a row a sample."""
    return ("maps", f"before-after.{condition}.safetensors")
