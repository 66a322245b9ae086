"""Squeezers against scipy and scikit-image, and the score by hand."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor, nn

from unshaken.core import Classifier
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import Oracle
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.engine.screen import run_queries
from unshaken.detect.scores.feature_squeezing import FeatureSqueezing, median, non_local_means, squeezer


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5])
def test_median_agrees_with_scipy(side):
    images = torch.rand(2, 3, 7, 9, generator=torch.Generator().manual_seed(0))
    expected = ndimage.median_filter(images.numpy(), size=(1, 1, side, side), mode="nearest")
    assert np.array_equal(median(images, side).numpy(), expected)


def test_bit_depth_one_and_eight():
    one = squeezer("bits-1")(torch.tensor([0.49, 0.51]).view(1, 1, 1, 2))
    assert one.flatten().tolist() == [0, 1]
    every = (torch.arange(256) / 255).view(1, 1, 16, 16)
    assert torch.equal(squeezer("bits-8")(every), every)


def test_non_local_means_of_a_flat_image_and_of_noise():
    restoration = pytest.importorskip("skimage.restoration")
    flat = torch.full((1, 3, 12, 12), 0.4)
    assert non_local_means(flat, 7, 3, 5).numpy() == pytest.approx(flat.numpy(), abs=1e-6)
    noisy = (flat + 0.05 * torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    smooth = non_local_means(noisy, 7, 3, 30)
    assert smooth.var() < 0.5 * noisy.var()
    photo = noisy[0].permute(1, 2, 0).numpy()
    known = restoration.denoise_nl_means(photo, patch_size=3, patch_distance=3, h=30 / 255, channel_axis=-1)
    assert smooth[0].permute(1, 2, 0).numpy() == pytest.approx(known, abs=1e-6)
    assert torch.equal(non_local_means(noisy[1:], 7, 3, 30)[0], smooth[1])


def test_without_scikit_image_one_line_says_so(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ParameterError, match="needs the package scikit-image"):
        non_local_means(torch.zeros(1, 1, 4, 4), 3, 3, 2)


class Sum(nn.Module):
    """Logits are `(10 s, 0)` with s the picture's mean, times a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        s = self.factor * x.mean((1, 2, 3))
        return torch.stack([s, torch.zeros_like(s)], 1)


def scored(factor: float, images: Tensor, method: FeatureSqueezing) -> tuple[Tensor, Oracle]:
    model = Classifier(Sum(factor)).eval()
    oracle = Oracle(model)
    forward = ForwardPass(Anatomy("sum", 2, None, ()), model(images), {}, images)
    return run_queries(method.score(forward, {}), oracle), oracle


def test_the_largest_distance_of_the_answers():
    images = torch.full((1, 1, 4, 4), 0.4)
    images[0, 0, 1, 1] = 1.0  # the median takes it out; one bit makes 0 of 0.4
    found, oracle = scored(3.0, images, FeatureSqueezing(squeezers="bits-1+median-3"))
    p = [1 / (1 + np.exp(-3.0 * m)) for m in (0.4 + 0.6 / 16, 1 / 16, 0.4)]
    assert found.item() == pytest.approx(max(2 * abs(p[0] - p[1]), 2 * abs(p[0] - p[2])), rel=1e-6)
    assert oracle.meter.forwards == 2


def test_a_constant_classifier_scores_zero():
    images = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    assert scored(0.0, images, FeatureSqueezing())[0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("text", ["bits", "median-2-2", "blur-3", "bits-0", "median-65", "nlm-13"])
def test_unknown_squeezers_are_refused(text):
    with pytest.raises(ParameterError, match="no squeezer"):
        FeatureSqueezing(squeezers=f"bits-5+{text}")


def test_numbers_from_1_to_64_are_taken():
    assert len(FeatureSqueezing(squeezers="median-64+median-1+nlm-13-3-2").squeezers) == 3
