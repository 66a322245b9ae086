"""Entry points of installed packages."""

from __future__ import annotations

from unshaken.core import plugins


def test_installed_packages_are_looked_through_once(monkeypatch):
    asked = []
    monkeypatch.setattr(plugins, "entry_points", lambda group: asked.append(group) or [group])
    assert [plugins.plugins("unshaken.toys"), plugins.plugins("unshaken.toys")] == [("unshaken.toys",)] * 2
    assert asked == ["unshaken.toys"]
    plugins.plugins.cache_clear()
