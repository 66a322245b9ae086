"""Names of a package that are imported when they are first used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any


def attribute_of(package: str, name: str, homes: Mapping[str, str]) -> Any:
    """The attribute of a package, from the module that holds it.

    Args:
        package: for the message.
        name: of the attribute.
        homes: attribute to module; a module whose last part is the attribute's name is itself the attribute, unless it
            defines one.

    Raises:
        AttributeError: the package has no such attribute.
    """
    if name not in homes:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    module = importlib.import_module(homes[name])
    return module if homes[name] == f"{package}.{name}" else getattr(module, name)
