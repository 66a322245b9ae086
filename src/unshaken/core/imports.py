"""Imports of packages of optional extras, and plug-ins."""

from __future__ import annotations

import importlib
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

from unshaken.core.errors import MissingExtra, ModelError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


def need(module: str, package: str, extra: str, why: str) -> ModuleType:
    """Import a module of an optional package.

    Args:
        module: its name in an import.
        package: its name for pip.
        extra: the extra of unshaken that brings it.
        why: what needs it, as the start of the message.

    Raises:
        MissingExtra: it is absent.
        ModelError: it is there but cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name == module.partition(".")[0]:
            raise MissingExtra(package, extra, why) from None
        raise ModelError(f"{why} needs the package {package!r}, which does not import here: {error}") from error
    except ImportError as error:
        raise ModelError(f"{why} needs the package {package!r}, which does not import here: {error}") from error


@cache
def plugins(group: str) -> tuple[EntryPoint, ...]:
    """The entry points of installed packages under a group such as `unshaken.methods`."""
    from importlib.metadata import entry_points  # a tenth of a second that `import unshaken` does not spend

    return tuple(entry_points(group=group))
