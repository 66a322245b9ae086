"""Recipes together: the order of their hooks, their losses, and recipes that do not go together."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F

import unshaken
from unshaken.core.errors import ParameterError
from unshaken.core.registry import Method, find_method, list_methods
from unshaken.harden.engine.compose import Composition, check_recipe_budgets
from unshaken.harden.engine.recipe import Recipe, Threat

CALLS: list[str] = []


class Recorded(Recipe):
    """Notes its calls."""

    def augment(self, step):
        CALLS.append(f"{self.info.name} augments")
        step.images = step.images + 0.1

    @contextmanager
    def around(self, step, loss):
        CALLS.append(f"{self.info.name} begins")
        yield
        CALLS.append(f"{self.info.name} ends")

    def penalty(self, step):
        return torch.tensor(0.5)


class Second(Recorded):
    threat: ClassVar[Threat] = Threat("l2", 1.0)
    replays: ClassVar[int] = 3


class Searching(Recipe):
    takes: ClassVar[frozenset[str]] = frozenset({"inner"})

    def inner(self, step):
        return step.images.flip(3)


class AlsoSearching(Searching):
    """Another recipe with a search."""


class Fixed(Recipe):
    takes: ClassVar[frozenset[str]] = frozenset({"loss"})
    refuses: ClassVar[Mapping[str, str]] = {"inner": "its loss is of clean images"}

    def loss(self, step):
        return torch.tensor(2.0)


for number, kind in enumerate((Recorded, Second, Searching, AlsoSearching, Fixed)):
    kind.info = Method(f"r{number}", "harden", kind, "none")


@pytest.fixture
def step(net, step_of):
    return step_of(net(), torch.rand(4, 1, 28, 28) / 2, torch.arange(4))


def test_hooks_run_in_the_order_given_and_close_in_reverse(step):
    CALLS.clear()
    both = Composition([Second(), Recorded()])
    before = step.images
    both.prepare(step)
    with both.around(step, lambda: torch.tensor(0.0)):
        CALLS.append("step")
    assert CALLS == ["r1 augments", "r0 augments", "r1 begins", "r0 begins", "step", "r0 ends", "r1 ends"]
    assert torch.allclose(step.images, before + 0.2)


def test_one_loss_and_all_penalties(step):
    expected = float(F.cross_entropy(step.model(step.images), step.labels).detach())
    assert float(Composition([]).loss(step, 0.0).detach()) == pytest.approx(expected)
    assert float(Composition([Recorded(), Second()]).loss(step, 0.0).detach()) == pytest.approx(expected + 1)
    assert float(Composition([Fixed(), Second()]).loss(step, 0.0)) == 2.5


def test_the_model_learns_from_what_the_search_found(step):
    Composition([Searching()]).search(step)
    assert torch.equal(step.shown, step.images.flip(3))


class Own(Fixed):
    takes: ClassVar[frozenset[str]] = frozenset({"inner"})


Own.info = Method("r5", "harden", Own, "none")


def test_a_recipe_may_refuse_to_others_what_it_takes_itself():
    assert Composition([Own()]).taken == {"inner": "r5"}
    with pytest.raises(ParameterError, match="recipe 'r5' learns from one class an image, and the data has masks"):
        Composition([Own()]).check_labels("masks")


def test_threat_and_replays_are_those_of_the_recipe_that_has_some():
    assert Composition([Recorded(), Second()]).threat == Threat("l2", 1.0)
    assert (Composition([]).threat, Composition([]).replays) == (None, 1)
    assert Composition([Recorded(), Second()]).replays == 3


@pytest.mark.parametrize(
    ("recipes", "message"),
    [
        ([Recorded(), Recorded()], "recipe 'r0' is given 2 times: give it once"),
        ([Searching(), AlsoSearching()], "recipes 'r2' and 'r3' both bring an inner search: choose one of them"),
        ([Searching(), Fixed()], "recipe 'r4' does not go with 'r2': its loss is of clean images"),
    ],
)
def test_recipes_that_do_not_go_together_are_named(recipes, message):
    with pytest.raises(ParameterError, match=message):
        Composition(recipes)


def is_budget(name):
    return name == "eps" or name.endswith("_eps")


SIZES = sorted({m.name for m in list_methods("harden") for n in m.cls.model_fields if is_budget(n)} - {"swav"})
"""Recipes with the size of a change of pixels among their parameters; that of `swav` smooths codes."""


@pytest.mark.parametrize("name", SIZES)
def test_every_budget_of_a_recipe_is_checked(name):
    info = find_method(name)
    for field in (n for n in info.cls.model_fields if is_budget(n)):
        recipe = info.cls(**{**info.cls.first_try.parameters, field: 8})
        with pytest.raises(ParameterError, match=rf"^{name}: (linf eps=8 is above 0.5|l2 eps=8 is above 3.46)"):
            check_recipe_budgets([recipe], 48, allow=False)
        check_recipe_budgets([recipe], 48, allow=True)
    check_recipe_budgets([info.cls(**info.cls.first_try.parameters)], 48, allow=False)


def test_a_training_with_a_budget_too_large_does_not_begin(tmp_path):
    with pytest.raises(ParameterError, match=r"^at: linf eps=8 is above 0.5, .*: did you mean 8/255\?"):
        unshaken.harden("small", "absent", "at:eps=8", out=tmp_path / "run")
    with pytest.raises(ParameterError, match=r"^at: l2 eps=20 is above 14"):
        unshaken.harden("small", "demo", "at:norm=l2,eps=20", out=tmp_path / "run", limit=20)
