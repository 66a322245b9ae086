"""Parameters that count classes, held against the model's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from unshaken.core.errors import ParameterError
from unshaken.run.plan import Step

_MOST = {"classes": 0, "classes - 1": -1}
"""How a field says its bound (`json_schema_extra={"most": ...}`), and what that adds to the number of classes."""


def check_class_counts(steps: Iterable[Step], classes: int) -> None:
    """Refuse a number of classes, given by the user, that the model does not have; a default is cut to what it has.

    Args:
        steps: of the plan.
        classes: K.

    Raises:
        ParameterError: a value is larger; the message names the largest.
    """
    for step in steps:
        for name, value in step.entry.params.items():
            fields: dict[str, Any] = getattr(type(step.method), "model_fields", {})
            extra = getattr(fields.get(name), "json_schema_extra", None)
            bound = extra.get("most") if isinstance(extra, dict) else None
            if isinstance(bound, str) and isinstance(value, int) and value > classes + _MOST[bound]:
                raise ParameterError(
                    f"{step.entry.method}: {name}={value} is more than the model has: it has {classes} classes, so "
                    f"{classes + _MOST[bound]} is the largest"
                )
