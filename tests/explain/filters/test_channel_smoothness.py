"""`channel-smoothness`: values known by hand, what noise adds, and layers that have no maps."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ModelError
from unshaken.data.in_memory import InMemory
from unshaken.explain.engine.analysis import Subject
from unshaken.explain.filters.channel_smoothness import ChannelSmoothness

LABELS = torch.zeros(4, dtype=torch.int64)


@pytest.fixture
def model():
    """A convolution that keeps the image, and one that takes the mean over 3 x 3 places."""
    same, mean = nn.Conv2d(1, 1, 1, bias=False), nn.Conv2d(1, 1, 3, bias=False)
    same.weight.data[:] = 1
    mean.weight.data[:] = 1 / 9
    return Classifier(nn.Sequential(same, mean, nn.Flatten(), nn.Linear(64, 2)))


def subject(model, images, batch=64):
    dataset = InMemory(images, LABELS[: len(images)], ids=tuple("abcd")[: len(images)])
    return Subject({"net": model}, dataset, range(len(images)), batch=batch)


def values(found):
    return dict(zip(zip(found.rows["layer"], found.rows["quantity"], strict=True), found.rows["value"], strict=True))


def test_a_ramp_has_the_variation_known_by_hand_and_noise_adds_to_it(model):
    ramp = (torch.arange(10) * 20).expand(4, 1, 10, 10).to(torch.uint8)
    found = ChannelSmoothness().find(subject(model, ramp))
    # of 180 pairs of neighbours the 90 across differ by 20, and the mean value is 90
    assert values(found)["0", "variation, clean"] == pytest.approx(10 / 90, rel=1e-5)
    assert values(found)["0", "added by noise"] > 3 * values(found)["1", "added by noise"] > 0
    assert found.forwards == 8


def test_the_batch_does_not_matter(model):
    images = torch.randint(0, 255, (4, 1, 10, 10), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    whole, single = (values(ChannelSmoothness().find(subject(model, images, batch))) for batch in (64, 1))
    assert whole == pytest.approx(single, rel=1e-5)


def test_bad_input_is_one_clear_line(model):
    images = torch.zeros(2, 1, 10, 10, dtype=torch.uint8)
    with pytest.raises(ModelError, match="no layer '7'"):
        ChannelSmoothness(layers="7").find(subject(model, images))
    with pytest.raises(ModelError, match="not maps"):
        ChannelSmoothness(layers="3").find(subject(model, images))
    with pytest.raises(DataError, match="no image could be read"):
        ChannelSmoothness().find(Subject({"net": model}))
    with pytest.raises(ModelError, match="no convolution that gives maps"):
        ChannelSmoothness().find(subject(Classifier(nn.Sequential(nn.Flatten(), nn.Linear(100, 2))), images))
