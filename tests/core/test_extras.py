"""Packages of optional extras."""

from __future__ import annotations

import json

import pytest

from unshaken.core.errors import MissingExtra, ModelError
from unshaken.core.imports import need


def test_what_is_installed_is_imported():
    assert need("json", "json", "some", "a test") is json


def test_an_absent_package_names_its_extra():
    with pytest.raises(MissingExtra, match=r"^a test needs the package 'pip-name'.*unshaken\[some\]"):
        need("no_such_package_at_all.inner", "pip-name", "some", "a test")


@pytest.mark.parametrize("body", ["import no_such_package_at_all", "raise ImportError('libx.so: cannot open')"])
def test_a_package_that_does_not_import_is_told_apart(tmp_path, monkeypatch, body):
    (tmp_path / "half_installed_package.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelError, match=r"^a test needs the package 'half', which does not import here: "):
        need("half_installed_package", "half", "some", "a test")
