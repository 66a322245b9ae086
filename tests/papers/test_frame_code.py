"""The digest of the code that trains changes with that code, and with nothing else."""

import sys
import types

import pytest

from unshaken.harden.recipes.augmentation.mixup import Mixup
from unshaken.harden.recipes.ensembles.dverge import Dverge
from unshaken.papers import cache as code
from unshaken.papers.cache import code_digest

BODY = '"""A module."""\n\nclass Recipe:\n    """A recipe."""\n\n    def loss(self):\n        return {}  # {}\n'


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes the text of a module, and gives the digest of a class in it."""
    monkeypatch.setattr(code, "_module_digest", code._module_digest.__wrapped__)
    monkeypatch.setattr(code, "_imports", code._imports.__wrapped__)
    monkeypatch.setitem(sys.modules, "trained_elsewhere", types.ModuleType("trained_elsewhere"))
    path = tmp_path / "trained_elsewhere.py"
    sys.modules["trained_elsewhere"].__file__ = str(path)

    def digest(text):
        path.write_text(text)
        return code_digest(type("Recipe", (), {"__module__": "trained_elsewhere"}))

    return digest


def test_code_counts_and_comments_do_not(module):
    first = module(BODY.replace("{}", "1"))
    assert (
        module(BODY.replace("return {}", "return 1").replace("{}", "said otherwise").replace("A recipe", "B")) == first
    )
    assert module(BODY.replace("{}", "2")) != first


def test_imports_of_the_rooms_that_train_are_followed(module):
    plain = module("x = 1\n")
    followed = module("from unshaken.harden.recipes.augmentation.mixup import Mixup\nx = 1\n")
    assert followed != plain
    found = code._closure({"trained_elsewhere"})
    assert {"unshaken.harden.recipes.augmentation.mixup", "unshaken.harden.engine.recipe", "unshaken.core.rng"} <= found
    assert not any(name.startswith(("unshaken.run", "unshaken.measure", "unshaken.papers")) for name in found)


def test_the_loop_its_recipes_and_the_architecture_are_all_in_it():
    found = code._closure({"unshaken.harden.engine.fit", Dverge.__module__})
    assert {
        "unshaken.harden.engine.loop",
        "unshaken.harden.engine.training",
        "unshaken.harden.recipes.ensembles.dverge",
        "unshaken.attack.gradient.pgd",
    } <= found
    assert "unshaken.harden.recipes.augmentation.mixup" not in found
    assert code_digest("unshaken.harden.engine.fit", Dverge()) == code_digest(Dverge, "unshaken.harden.engine.fit")
    assert code_digest("unshaken.harden.engine.fit", Dverge()) != code_digest("unshaken.harden.engine.fit", Mixup())
