"""Entry points of installed packages."""

from __future__ import annotations

import importlib.metadata

from unshaken.core import imports


def test_installed_packages_are_looked_through_once(monkeypatch):
    asked = []
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: asked.append(group) or [group])
    assert [imports.plugins("unshaken.toys"), imports.plugins("unshaken.toys")] == [("unshaken.toys",)] * 2
    assert asked == ["unshaken.toys"]
    imports.plugins.cache_clear()
