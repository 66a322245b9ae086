"""Finds what a short name means by an index; Sphinx looks through all names of the API for each."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sphinx.domains.python import ObjectEntry, PythonDomain


class IndexedPythonDomain(PythonDomain):
    """The Python domain: what `name` may mean ends with the last part of `name`, so only such names are looked at."""

    def find_obj(self, env: Any, modname: str, classname: str, name: str, *more: Any) -> list[tuple[str, ObjectEntry]]:
        """See `PythonDomain.find_obj`."""
        whole: dict[str, ObjectEntry] = self.data["objects"]
        indexed = self.__dict__.get("_indexed")
        if indexed is None or indexed[0] != len(whole):
            ends: dict[str, dict[str, ObjectEntry]] = defaultdict(dict)
            for full, entry in whole.items():
                ends[full.rpartition(".")[2]][full] = entry
            indexed = self.__dict__["_indexed"] = len(whole), ends
        self.data["objects"] = indexed[1].get(name.removesuffix("()").rpartition(".")[2], {})
        try:
            return super().find_obj(env, modname, classname, name, *more)
        finally:
            self.data["objects"] = whole


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_domain(IndexedPythonDomain, override=True)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
