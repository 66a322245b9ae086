"""Methods found in source files, none of them imported."""

from __future__ import annotations

import pytest

from unshaken.core.sources import PACKAGE, ROOMS, keys_of, module_of, modules_named, sources_of


def test_rooms_are_the_packages_that_open_one():
    assert ROOMS[:3] == ("stress", "attack", "certify")
    opened = {p.parent.name for p in PACKAGE.glob("*/__init__.py") if "open_room(" in p.read_text()}
    assert sorted(ROOMS) == sorted(opened)


def test_what_a_decorator_enters_is_listed():
    (pgd,) = [s for s in sources_of("attack") if s.name == "pgd"]
    assert (pgd.symbol, pgd.module) == ("PGD", "unshaken.attack.gradient.pgd")
    modules = [s.module for s in sources_of("attack")]
    assert modules == sorted(modules, key=lambda m: tuple(m.split(".")))
    assert sources_of("attack", "enter") == ()
    assert sources_of("no-such-room") == ()


def test_the_keys_of_a_dictionary_that_is_written_out():
    assert keys_of("data/load.py", "SOURCES")[0] == "folder"
    with pytest.raises(LookupError, match=r"^data/load\.py writes out no dictionary SOURCE$"):
        keys_of("data/load.py", "SOURCE")


@pytest.mark.parametrize(
    ("room", "name", "modules"),
    [
        ("attack", "pgd", ["unshaken.attack.gradient.pgd"]),
        ("attack", "MI-FGSM", ["unshaken.attack.gradient.mi_fgsm"]),
        ("harden", "n-fgsm", ["unshaken.harden.recipes.adversarial.n_fgsm"]),
        ("attack", "no-such-method", []),
        ("attack", "", []),
    ],
)
def test_modules_bear_the_names_of_methods(room, name, modules):
    assert list(modules_named(room, name)) == modules


def test_a_module_has_a_dotted_name():
    assert module_of(PACKAGE / "core/rng.py") == "unshaken.core.rng"
    assert module_of(PACKAGE / "core/__init__.py") == "unshaken.core"
