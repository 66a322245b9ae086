"""Total variation by hand, filters that let noise through and that do not, outliers, and nets without convolutions."""

import math

import pytest
import torch
from torch import nn

from tests.explain.biases.conftest import discs
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ModelError
from unshaken.explain.biases.smoothness import (
    Smoothness,
    kernel_variation,
    outlier_channels,
    total_variation,
    variation_quotient,
)


def net(kernel, classes=3):
    """A convolution of one 5 x 5 filter, and a mean."""
    conv = nn.Conv2d(3, 1, 5, padding=2, bias=False, padding_mode="replicate")
    with torch.no_grad():
        conv.weight.copy_(kernel.expand(1, 3, 5, 5))
    return Classifier(nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, classes))).eval()


SMOOTH = torch.full((5, 5), 1 / 75)
SHARP = torch.zeros(5, 5).index_fill(1, torch.tensor([2]), 0.1).index_fill(1, torch.tensor([3]), -0.1)


def test_a_smooth_filter_blocks_noise_and_a_sharp_one_does_not(subject):
    found = Smoothness(sigma=0.1).find(subject({"sharp": net(SHARP), "smooth": net(SMOOTH)}))
    ratio = {name: found.figures[f"tv_ratio.{name}.0"] for name in ("sharp", "smooth")}
    assert ratio["smooth"].high < ratio["sharp"].low
    assert found.extra["kernel_tv"]["smooth"] < found.extra["kernel_tv"]["sharp"]
    assert found.extra["ratios"]["sharp.0"] == pytest.approx(ratio["sharp"].value)
    assert found.arrays["sharp.0"].shape == (1, 2)
    assert found.forwards == 2 * 2 * 12
    assert found.rows["quantity"] == [*("tv-clean", "tv-noisy", "tv-ratio") * 2, *("kernel-tv",) * 2]
    assert found.rows["value"][0] == pytest.approx(float(found.arrays["sharp.0"][0, 0]))


def test_the_variation_is_that_of_the_maps(subject):
    images, labels = discs()
    model = net(SHARP)
    found = Smoothness().find(subject({"m": model}, images, labels))
    with torch.no_grad():
        maps = model.net[0](images.mul(255).round() / 255)
    assert float(found.arrays["m.0"][0, 0]) == pytest.approx(float(total_variation(maps).mean()), rel=1e-4)


def test_the_depth_of_a_layer_goes_from_0_to_1(subject):
    conv = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Conv2d(2, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3))
    rows = Smoothness().find(subject({"two": Classifier(conv).eval(), "one": net(SHARP)})).rows
    assert dict(zip(zip(rows["model"], rows["layer"], strict=True), rows["depth"], strict=True)) == {
        ("two", "0"): 0, ("two", "1"): 1, ("one", "0"): 0,
    }  # fmt: skip


def test_outliers_by_hand():
    assert outlier_channels(torch.tensor([1.0, 1, 2]), torch.tensor([1.1, 1.5, 1]), mean=2.0) == [1, 2]
    assert variation_quotient(4.0, 3.6) == pytest.approx(0.9)
    assert variation_quotient(0.0, 0.0) == 1


def test_a_model_compared_with_itself_has_the_same_outliers(subject):
    found = Smoothness().find(subject({"a": net(SHARP), "b": net(SHARP)})).extra
    assert found["outliers"]["a.0"] == found["outliers"]["b.0"]
    assert found["ratios"]["a.0"] == found["ratios"]["b.0"]


def test_nets_without_channels_with_places_are_one_line(subject):
    flat = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(768, 3)), name="flat").eval()
    with pytest.raises(ModelError, match="model 'flat' has no convolution"):
        Smoothness().find(subject({"m": flat}))
    with pytest.raises(ModelError, match="has no layer 'body'"):
        Smoothness(layers="body").find(subject({"m": net(SHARP)}))
    with pytest.raises(ModelError, match="layer '3' gives"):
        Smoothness(layers="3").find(subject({"m": net(SHARP)}))


MATRIX = torch.tensor([[1.0, 2, 4], [0, 0, 3], [5, 1, 1]])


def test_cases_by_hand():
    assert float(total_variation(MATRIX)) == 22
    assert float(MATRIX.diff(dim=0).abs().sum()) == 12
    one = torch.zeros(5, 5)
    one[2, 2] = 1
    assert float(total_variation(one)) == 4
    checks = (torch.arange(4)[:, None] + torch.arange(4)) % 2
    assert float(total_variation(checks.float())) == 24
    assert float(total_variation(torch.full((4, 6), 0.3))) == 0


def test_it_scales_and_does_not_change_with_constants_flips_and_transposes():
    maps = torch.rand(3, 2, 6, 6, generator=torch.Generator().manual_seed(0)).double()
    plain = total_variation(maps)
    assert plain.shape == (3, 2)
    for other in (maps + 3, maps.flip(2), maps.flip(3), maps.mT):
        assert torch.allclose(total_variation(other), plain)
    assert torch.allclose(total_variation(-2 * maps), 2 * plain)


def test_white_noise_varies_by_its_expectation_a_pair():
    noise = torch.randn(224, 224, generator=torch.Generator().manual_seed(0))
    assert float(total_variation(noise)) / (2 * 224 * 223) == pytest.approx(2 / math.sqrt(math.pi), rel=0.01)


def test_filters_are_compared_at_norm_one():
    kernels = torch.rand(2, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(kernel_variation(5 * kernels), kernel_variation(kernels))
    single = torch.zeros(1, 1, 3, 3)
    single[..., 1, 1] = 7
    assert float(kernel_variation(single)) == pytest.approx(4)
    assert float(kernel_variation(torch.zeros(1, 1, 3, 3))) == 0
    with pytest.raises(DataError, match="have no neighbours"):
        kernel_variation(torch.rand(2, 3, 1, 1))
