"""`load_ray`: the package ray, which is an extra."""

from __future__ import annotations

import os
from types import ModuleType

from unshaken.core.extras import need


def load_ray() -> ModuleType:
    """The package ray, without its usage reports.

    Raises:
        MissingExtra: it is absent.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere unless the user says so
    return need("ray", "ray", "ray", "--engine ray")
