"""A package's public names as attributes, each imported on first use; and its verb."""

from __future__ import annotations

import inspect
import sys
import types

import pytest

import unshaken
from unshaken.core import package as module
from unshaken.core.package import Package, homes_of, open_package
from unshaken.core.sources import Source

STUB = """from unshaken.core.errors import UnshakenError as UnshakenError
from unshaken.core.registry import list_methods as methods
from unshaken.core.errors import ModelError as _private
"""


@pytest.fixture
def hall(monkeypatch, tmp_path):
    """A package with a stub and without methods."""
    package = types.ModuleType("unshaken.no_such_package")
    package.__file__ = str(tmp_path / "__init__.py")
    (tmp_path / "__init__.pyi").write_text(STUB, encoding="utf-8")
    monkeypatch.setitem(sys.modules, package.__name__, package)
    functions = {"no_such_package.paint": Source("f", "find_method", "unshaken.core.registry")}
    monkeypatch.setattr(module, "public_functions", lambda: functions)
    homes_of.cache_clear()
    open_package(package.__name__)
    yield package, functions
    homes_of.cache_clear()


def test_names_are_those_of_the_stub_and_of_public_functions(hall):
    package, _ = hall
    assert package.__all__ == ["UnshakenError", "methods", "paint"]
    assert package.UnshakenError is unshaken.UnshakenError
    assert package.methods is unshaken.list_methods
    assert package.paint is unshaken.core.registry.find_method
    assert {*package.__all__, "__name__"} <= set(dir(package))


def test_registered_classes_are_names_of_their_room():
    assert unshaken.attack.PGD.info.name == "pgd"
    assert {"FGSM", "PGD"} <= set(unshaken.attack.__all__)


def test_another_name_is_refused(hall):
    with pytest.raises(AttributeError, match=r"^module 'unshaken\.no_such_package' has no attribute 'Other'$"):
        _ = hall[0].Other


def test_a_module_of_the_same_name_does_not_hide_a_function(hall):
    package, _ = hall
    inner = types.ModuleType("unshaken.no_such_package.paint")
    inner.paint = len
    package.paint = inner  # what an import of that module does
    assert package.paint is len
    package.other = inner
    assert package.other is inner


def test_a_package_with_a_verb_is_called_as_it(hall):
    package, functions = hall
    functions["no_such_package"] = Source("f", "did_you_mean", "unshaken.core.errors")
    assert package("fog", ["fog"]) == unshaken.core.errors.did_you_mean("fog", ["fog"])
    assert inspect.signature(package) == inspect.signature(unshaken.core.errors.did_you_mean)


def test_a_package_without_a_verb_is_not_called(hall):
    with pytest.raises(TypeError, match=r"^unshaken\.no_such_package is a package, not a function$"):
        hall[0]("a")
    assert not hasattr(hall[0], "__signature__")
    assert not hasattr(Package, "__signature__")


def test_the_verbs_of_the_package():
    assert "model" in inspect.signature(unshaken.attack).parameters
