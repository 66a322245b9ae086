"""ODIN on a model that is linear, by hand."""

from __future__ import annotations

import pytest
import torch

from unshaken.core import Batch, Oracle
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.engine.screen import FittedDetector, screen
from unshaken.detect.scores.odin import ODIN


def score(toy, images, **params):
    fitted = {"odin": FittedDetector(ODIN(**params), {}, torch.zeros(0))}
    batch = Batch(images, None, tuple(str(i) for i in range(len(images))))
    return screen(fitted, Anatomy.of(toy, images), batch, Oracle(toy))["odin"]


def test_without_a_step_it_is_softmax_at_the_temperature(anatomy):
    queries = ODIN(eps=0).score(ForwardPass(anatomy, torch.tensor([[2.0, 1.0, 0.1]])), {})
    with pytest.raises(StopIteration) as stop:
        next(queries)
    assert stop.value.value.item() == pytest.approx(1 - 0.333656, abs=1e-6)


def test_the_step_raises_the_predicted_class_and_lowers_the_others(toy):
    """Logits are four times the mean colours, so a step of eps moves them by 4 eps each way."""
    images = torch.stack([torch.full((3, 2, 2), 0.4), torch.full((3, 2, 2), 0.5)])
    images[:, 0] += 0.2
    found = score(toy, images, temperature=1.0, eps=0.01)
    logits = torch.stack([4 * images.mean((2, 3)).double()[i] for i in range(2)])
    logits = logits + 4 * 0.01 * torch.tensor([1.0, -1.0, -1.0])
    assert torch.allclose(found.score, 1 - logits.softmax(1)[:, 0], atol=1e-6)


def test_it_costs_two_passes_forward_and_one_back(toy):
    found = score(toy, torch.rand(5, 3, 4, 4))
    assert (found.forwards.tolist(), found.backwards.tolist()) == ([2] * 5, [1] * 5)
