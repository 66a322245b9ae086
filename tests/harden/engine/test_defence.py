"""A guarded model: what it takes from the model, and its seeds."""

from __future__ import annotations

import torch
from torch import nn

from unshaken.core.classifier import Classifier, View
from unshaken.harden.engine.defence import Draws, GuardedModel, reseed, uniform


class Noisy(nn.Module):
    """Logits with noise of its own in both places."""

    def __init__(self, net):
        super().__init__()
        self.net, self.first, self.second = net, Draws(), Draws()

    def forward(self, x):
        z = self.net(x)
        return z + torch.rand(z.shape, generator=self.first.next()) - torch.rand(z.shape, generator=self.second.next())


def guarded(**options):
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    model = Classifier(net, classes=("a", "b", "c"), view=View(2, 2), name="net", reject=2).eval()
    return model, GuardedModel(Noisy(net).train(), model, name="noise", random=True, **options)


def test_classes_view_and_rejection_are_those_of_the_model():
    model, guard = guarded()
    assert (guard.classes, guard.view, guard.reject, guard.name) == (model.classes, model.view, 2, "noise(net)")
    assert guard.random
    assert not any(m.training for m in guard.modules())


def test_the_bare_model_is_the_model_and_no_submodule():
    model, guard = guarded()
    assert guard.bare is model
    assert all(m is not model for m in guard.modules())
    assert guarded(bare=model)[1].bare is model


def test_surrogates_are_made_when_they_are_asked_for():
    model, guard = guarded(surrogates=lambda: {"soft": model})
    assert guard.surrogates() == {"soft": model}
    assert guarded()[1].surrogates() == {}


def test_all_draws_follow_from_one_seed():
    _, guard = guarded()
    images = torch.rand(2, 1, 2, 2)
    with torch.no_grad():
        guard.reseed(3)
        first, second = guard(images), guard(images)
        reseed(guard, 3)
        again = guard(images)
        clean = guard.bare(images)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert not torch.equal(first, clean)  # both sources draw numbers of their own, so they do not cancel


def drawn(draws, passes=3):
    return [torch.rand(4, generator=draws.next()).tolist() for _ in range(passes)]


def test_passes_draw_other_numbers_and_a_reset_the_same_again():
    draws = Draws(5)
    first = drawn(draws)
    assert first[0] != first[1] != first[2]
    draws.reset(5)
    assert drawn(draws) == first
    assert drawn(Draws(5)) == first
    assert drawn(Draws(6))[0] != first[0]


def test_sources_of_one_model_draw_other_numbers():
    one, two = Draws(), Draws()
    one.reset("a", 0)
    two.reset("a", 1)
    assert drawn(one)[0] != drawn(two)[0]


def test_a_frozen_source_draws_the_same_at_every_pass():
    first, second, _ = drawn(Draws(frozen=True))
    assert first == second


def test_numbers_lie_between_their_bounds_in_the_type_of_a_tensor():
    like = torch.zeros(1, dtype=torch.float64)
    found = uniform(Draws().next(), like, 1000, low=-2.0, high=3.0)
    assert found.dtype == torch.float64
    assert -2 <= float(found.min()) < -1.9
    assert 2.9 < float(found.max()) < 3


def test_default_sources_are_of_seed_0():
    assert drawn(Draws()) == drawn(Draws(0))
    reset = Draws(3)
    reset.reset(0)
    assert drawn(reset) == drawn(Draws())
