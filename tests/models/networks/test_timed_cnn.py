"""The small network that is told the noise level: its size, its embedding, and back from its weights."""

from __future__ import annotations

import math

import pytest
import torch

from unshaken.models.networks.timed_cnn import CLEAN, TimedCNN, time_embedding


@pytest.mark.parametrize(
    ("channels", "side", "count"), [(1, 28, 51_898), (3, 32, 51_898 + 2 * 16 * 9), (1, 36, 70_330)]
)
def test_so_many_parameters(channels, side, count):
    assert sum(p.numel() for p in TimedCNN(10, channels, side).parameters()) == count


@pytest.mark.parametrize(("level", "angle"), [(0.002, -1553.65), (0.5, -173.287), (1.0, 0.0), (80.0, 1095.51)])
def test_the_first_frequency_is_that_of_250_log_t(level, angle):
    found = time_embedding(torch.tensor([level], dtype=torch.float64), 64)[0]
    assert found.shape == (64,)
    assert found[0].item() == pytest.approx(math.cos(250 * math.log(level)), abs=1e-3)
    assert 250 * math.log(level) == pytest.approx(angle, abs=5e-3)
    assert found[33].item() == pytest.approx(math.sin(angle * 10_000 ** (-1 / 32)), abs=2e-3)
    assert found[63].item() == pytest.approx(math.sin(angle * 10_000 ** (-31 / 32)), abs=1e-4)


def test_called_as_a_classifier_it_takes_images_for_clean():
    torch.manual_seed(0)
    net, x = TimedCNN(4, 3, 20).eval(), torch.rand(2, 3, 20, 20)
    assert torch.equal(net(x), net.head(net.features(x, torch.full((2,), CLEAN))))
    assert not torch.allclose(net(x), net.head(net.features(x, torch.ones(2))), atol=1e-3)


def test_features_are_normed():
    found = TimedCNN().features(torch.rand(5, 1, 28, 28), torch.rand(5) + 0.1)
    assert found.mean(1).abs().max() < 1e-5
    assert torch.allclose(found.var(1, unbiased=False), torch.ones(5), atol=1e-2)


@pytest.mark.parametrize(("classes", "channels", "side"), [(2, 1, 28), (3, 3, 32), (8, 3, 25)])
def test_classes_channels_and_side_follow_from_the_weights(classes, channels, side):
    assert TimedCNN.shape_of(TimedCNN(classes, channels, side).state_dict()) == (classes, channels, side)
