"""Networks without units: what is left is exact, and the edit by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ModelError, ParameterError
from unshaken.explain.units.ablation import Unit, ablating
from unshaken.explain.units.edit import correct, edit_units, random_sets, single_accuracies


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Classifier(
        nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4), nn.ReLU(),
            nn.Linear(4, 3),
        ).eval()
    )  # fmt: skip


@pytest.fixture
def images():
    return torch.rand(5, 3, 6, 6, generator=torch.Generator().manual_seed(1))


def logits(model, images, units=()):
    with torch.no_grad(), ablating(model, units):
        return model(images)


def test_without_a_dead_unit_nothing_changes(net, images):
    with torch.no_grad():
        net.net[0].weight[2], net.net[0].bias[2] = 0, -1
    assert torch.equal(logits(net, images), logits(net, images, [Unit("1", 2)]))


def test_without_the_penultimate_layer_the_bias_is_left(net, images):
    found = logits(net, images, {"5": range(4)})
    assert torch.equal(found, net.net[6].bias.detach().expand(5, -1))


def test_the_order_of_units_does_not_matter(net, images):
    both = logits(net, images, [Unit("1", 0), Unit("1", 3)])
    assert torch.equal(both, logits(net, images, [Unit("1", 3), Unit("1", 0)]))
    with ablating(net, [Unit("1", 0)]):
        assert torch.equal(both, logits(net, images, [Unit("1", 3)]))
    assert not torch.equal(both, logits(net, images))  # and the network is as it was


def test_tokens_lose_the_channel_everywhere():
    model = Classifier(nn.Sequential(nn.Flatten(2), nn.Linear(4, 5)).eval())
    found = logits(model, torch.ones(2, 3, 2, 2), [Unit("1", 4)])
    assert found.shape == (2, 3, 5)
    assert not found[..., 4].any()
    assert found[..., :4].all()


def test_absent_layers_and_units_are_named(net, images):
    with pytest.raises(ModelError, match="no layer '77'"), ablating(net, [Unit("77", 0)]):
        pass
    with pytest.raises(ModelError, match="units 0 to 5, not 6"):
        logits(net, images, [Unit("1", 6)])
    assert not net.net[1]._forward_hooks


class Votes(nn.Module):
    """Logit 0 is pixel 0; logit 1 is the sum of units, of which unit 1 misleads and unit 2 does nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.units = nn.Linear(4, 3, bias=False)
        with torch.no_grad():
            self.units.weight.copy_(torch.tensor([[0.0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]))

    def forward(self, x):
        x = x.flatten(1)
        return torch.stack([x[:, 0], self.units(x).sum(1)], 1)


def votes(n, prefix):
    """Images of class 0 (0.5) and 1 (0.8 in unit 0), half of class 0 with 0.9 in the misleading pixel."""
    pixels = torch.zeros(n, 4)
    labels = torch.arange(n) % 2
    pixels[:, 0] = 0.5
    pixels[labels == 1, 1] = 0.8
    pixels[::4, 2] = 0.9
    return Batch(pixels.view(n, 1, 2, 2), labels, tuple(f"{prefix}{i}" for i in range(n)))


UNITS = [Unit("units", i) for i in range(3)]


def test_the_edit_takes_out_the_unit_that_misleads():
    model = Classifier(Votes().eval())
    found = edit_units(model, UNITS, votes(8, "o"), votes(8, "c"), votes(16, "j"), others=UNITS, draws=6, seed=0)
    assert single_accuracies(model, UNITS, votes(8, "o")) == [0.25, 1.0, 0.75]
    assert found.ordered == (UNITS[1], UNITS[2], UNITS[0])
    assert found.alone == (1.0, 0.75, 0.25)
    assert found.curve == (0.75, 1.0, 1.0, 0.5)
    assert found.units == (UNITS[1],)
    assert found.comparison.difference.value == 0.25
    assert (found.comparison.gained, found.comparison.lost) == (4, 0)
    assert found.over_random.value == pytest.approx(1 - np.mean(found.random))
    assert set(found.random) <= {0.25, 0.75, 1.0}


def test_where_nothing_helps_nothing_is_taken_out():
    found = edit_units(Classifier(Votes().eval()), UNITS[:1], votes(8, "o"), votes(8, "c"), votes(8, "j"), others=UNITS)
    assert found.units == ()
    assert found.over_random is None
    assert found.comparison.difference.value == 0


def test_images_that_judge_choose_nothing():
    model = Classifier(Votes().eval())
    with pytest.raises(DataError, match="'j0' serves to choose and to judge"):
        edit_units(model, UNITS, votes(8, "o"), votes(8, "j"), votes(8, "j"))
    with pytest.raises(ParameterError, match="no unit was chosen"):
        edit_units(model, [], votes(8, "o"), votes(8, "c"), votes(8, "j"))
    with pytest.raises(DataError, match="no labels"):
        correct(model, Batch(torch.zeros(1, 1, 2, 2), None, ("a",)))


def test_random_sets_hold_each_unit_once():
    sets = random_sets(UNITS, 2, 50, 3)
    assert all(len(set(s)) == 2 for s in sets)
    assert {u for s in sets for u in s} == set(UNITS)
    assert sets == random_sets(UNITS, 2, 50, 3)
    with pytest.raises(ParameterError, match="sets of 4 units cannot be drawn from 3"):
        random_sets(UNITS, 4, 1, 0)
