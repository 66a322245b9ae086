"""Where an attack ends, whether it succeeds or not: by hand on an affine model."""

from __future__ import annotations

import pytest
import torch

from unshaken.attack.engine import end_point
from unshaken.attack.engine.end_point import find_end_points
from unshaken.attack.gradient.fgsm import FGSM
from unshaken.attack.gradient.mi_fgsm import MIFGSM
from unshaken.attack.gradient.pgd import PGD
from unshaken.core import Batch
from unshaken.core.meter import Meter

W = torch.tensor([[[1.0, -2.0], [3.0, -1.0]]])
BATCH = Batch(torch.full((2, 1, 2, 2), 0.5), torch.tensor([0, 0]), ("a", "b"))


def test_the_end_is_the_corner_even_where_nothing_is_broken(make):
    model = make.affine(W, 20.0)  # class 0 far beyond the budget, with a gradient above the least normal number
    found = find_end_points(model, FGSM(), BATCH, norm="linf", eps=0.1, seed=0)
    assert torch.allclose(found.x, BATCH.images - 0.1 * W.sign(), atol=1e-6)
    assert found.forwards.tolist() == found.backwards.tolist() == [1, 1]


@pytest.mark.parametrize(("steps", "made"), [(49, 0), (50, 1)])
def test_a_copy_is_made_for_searches_that_are_worth_it(make, monkeypatch, steps, made):
    """Of 2 images and 2 x 50 passes of each."""
    copies = []
    monkeypatch.setattr(end_point, "search_copy", lambda model, images: copies.append(model))
    find_end_points(make.affine(W, 20.0), PGD(steps=steps), BATCH, norm="linf", eps=0.1, seed=0)
    assert len(copies) == made


def test_a_search_goes_on_after_a_success_unless_it_is_to_end_early(make):
    model, attack = make.affine(W, -0.4), PGD(steps=10, rel_stepsize=0.25, random_start=False)
    meter = Meter()
    whole = find_end_points(model, attack, BATCH, norm="linf", eps=0.2, seed=0, meter=meter)
    early = find_end_points(model, attack, BATCH, norm="linf", eps=0.2, seed=0, early=True)
    assert torch.allclose(whole.x, BATCH.images - 0.2 * W.sign(), atol=1e-6)
    assert whole.backwards.tolist() == [10, 10]
    assert meter.backwards == 20
    assert bool((early.backwards < 10).all())
    assert bool((model(early.x).argmax(1) == 1).all())


@pytest.mark.parametrize("attack", [FGSM(), PGD(steps=3), MIFGSM(steps=3)])
def test_no_pass_is_spent_on_logits_that_the_attack_does_not_read(make, attack):
    meter = Meter()
    found = find_end_points(make.affine(W, 20.0), attack, BATCH, norm="linf", eps=0.1, seed=0, meter=meter)
    assert meter.forwards == int(found.forwards.sum())
