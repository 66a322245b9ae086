"""A room's package: its classes as attributes, and its verb."""

from __future__ import annotations

import inspect
import sys
import types

import pytest

import unshaken
from unshaken.core import room as module
from unshaken.core.room import Room, bind_verb, open_room


@pytest.fixture
def hall(monkeypatch):
    """A package without methods, opened as a room."""
    package = types.ModuleType("unshaken.no_such_room")
    package.New, package.__all__ = 3, ["New", "Another"]
    monkeypatch.setitem(sys.modules, package.__name__, package)
    monkeypatch.setattr(module, "_verbs", {})
    assert open_room(package.__name__) == []
    return package


def test_classes_are_imported_when_they_are_first_used(monkeypatch):
    import unshaken.attack as attack

    attack.__dict__.pop("PGD", None)
    found = attack.PGD
    assert found.info.name == "pgd"
    assert attack.__dict__["PGD"] is found
    names = [n for n in attack.__all__ if n in ("FGSM", "PGD")]
    assert names == ["FGSM", "PGD"]
    assert open_room("unshaken.attack") == sorted(open_room("unshaken.attack"))


def test_another_name_is_refused(hall):
    with pytest.raises(AttributeError, match=r"^module 'unshaken\.no_such_room' has no attribute 'Other'$"):
        _ = hall.Other


def test_dir_lists_what_may_be_imported(hall):
    assert dir(hall) == sorted(dir(hall))
    assert {"New", "Another", "__name__"} <= set(dir(hall))


def test_a_room_with_a_verb_is_called_as_it(hall):
    def paint(image, *, shade=1):
        return image, shade

    bind_verb(hall.__name__, lambda: paint)
    assert hall("a", shade=2) == ("a", 2)
    assert inspect.signature(hall) == inspect.signature(paint)


def test_a_room_offers_a_function_of_a_higher_package(hall):
    bind_verb(f"{hall.__name__}.paint", lambda: len)
    assert hall.paint is len
    with pytest.raises(TypeError, match="is a room, not a verb"):
        hall("a")


def test_a_room_without_a_verb_is_not_called(hall):
    with pytest.raises(TypeError, match=r"^unshaken\.no_such_room is a room, not a verb$"):
        hall("a")
    assert not hasattr(hall, "__signature__")
    assert not hasattr(Room, "__signature__")


def test_the_verbs_of_the_package():
    assert "model" in inspect.signature(unshaken.attack).parameters
