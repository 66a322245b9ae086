"""Sections of a report, one file a room or a theme. A file of this folder that has a `section` is one; no list is kept.

A plug-in adds one through the entry point group `unshaken.sections`.
"""

from __future__ import annotations

import importlib
import pkgutil

from unshaken.core.imports import plugins
from unshaken.report.sections.section import Report, Section, SectionFigures, Source

__all__ = ["Report", "Section", "SectionFigures", "Source", "load_sections"]


def load_sections() -> list[Section]:
    """The sections of this folder and of installed plug-ins, in the order of the page.

    Raises:
        ValueError: two sections have one name, or fill the same part of `summary.json`.
    """
    files = [m.name for m in pkgutil.iter_modules(__path__) if not m.ispkg and not m.name.startswith("_")]
    modules = [importlib.import_module(f"{__name__}.{name}") for name in sorted(files)]
    found = [m.section for m in modules if hasattr(m, "section")]
    found += [plugin.load() for plugin in plugins("unshaken.sections")]
    for what, names in (("name", [s.name for s in found]), ("part", [key for s in found for key in s.schema])):
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"two sections of the report have the {what} {twice[0]!r}")
    return sorted(found, key=lambda s: (s.order, s.name))
