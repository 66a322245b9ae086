"""What excites units: thresholds, images and masks, against direct formulas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError
from unshaken.data.arrays import InMemory
from unshaken.explain import Subject
from unshaken.explain.units.exemplars import Best, enlarge, pack, probe, unpack
from unshaken.explain.units.layers import unit_layers


def test_a_unit_that_copies_red_is_described_by_red(subject, photos):
    found, passes = probe(subject, ["body"], quantile=0.9, k=4)
    red, one = photos[:, 0].float() / 255, found["body"]
    eta = np.quantile(red.numpy(), 0.9)
    assert float(one.thresholds[0]) == pytest.approx(eta, rel=1e-6)
    best = red.amax((1, 2)).sort(descending=True, stable=True)
    assert one.samples[0].tolist() == best.indices[:4].tolist()
    torch.testing.assert_close(one.values[0], best.values[:4])
    assert torch.equal(one.mask(0), red[one.samples[0]] > float(one.thresholds[0]))
    assert passes == 12
    assert one.mask(0).any()


def test_packed_masks_are_those_of_every_exemplar_the_first_image_among_them(subject):
    found, _ = probe(subject, ["body"], quantile=0.9, k=12)
    assert 0 in found["body"].samples[0]
    assert torch.equal(found["body"].packed_masks()[0], pack(found["body"].mask(0)))


def test_at_most_the_share_of_places_is_above_the_threshold(subject, photos):
    found, _ = probe(subject, ["body"], quantile=0.99, k=12)
    for channel in range(3):
        values = photos[:, channel].float() / 255
        assert float((values > float(found["body"].thresholds[channel])).float().mean()) <= 0.01 + 1 / values.numel()


def test_a_dead_unit_has_the_threshold_zero_and_empty_masks(subject):
    found, _ = probe(subject, ["body"])
    one = found["body"]
    assert float(one.thresholds[3]) == 0
    assert not one.mask(3).any()


@pytest.mark.parametrize("rank", ["max", "mean", "area"])
def test_images_are_ranked_by_what_was_asked_for(subject, photos, rank):
    found, _ = probe(subject, ["body"], quantile=0.8, k=5, rank=rank)
    one, green = found["body"], photos[:, 1].float() / 255
    by = {
        "max": green.amax((1, 2)),
        "mean": green.mean((1, 2)),
        "area": (green > one.thresholds[1]).float().mean((1, 2)),
    }
    order = by[rank].sort(descending=True, stable=True)
    torch.testing.assert_close(one.values[1], order.values[:5])
    if rank != "mean":  # two means may differ by rounding alone
        assert one.samples[1].tolist() == order.indices[:5].tolist()


@pytest.mark.parametrize("batch", [1, 4, 12])
def test_the_batch_size_changes_nothing(subject, batch):
    one, other = (probe(s, ["body"], quantile=0.9, k=6)[0]["body"] for s in (subject, replace(subject, batch=batch)))
    assert torch.equal(one.samples, other.samples)
    assert torch.equal(one.packed_masks(), other.packed_masks())


def test_fewer_images_than_exemplars_leave_places_empty(subject):
    one = probe(replace(subject, indices=[7, 3]), ["body"], k=5)[0]["body"]
    assert sorted(one.samples[0].tolist()) == [-1, -1, -1, 3, 7]
    assert len(one.mask(0)) == 2


def test_activations_that_are_not_finite_break_their_unit_alone(colours, photos):
    class Hot(nn.Module):
        def forward(self, x):
            return torch.where(torch.arange(4)[:, None, None] == 1, torch.nan, x)

    colours.net.body = nn.Sequential(colours.net.body, Hot())
    one = probe(Subject({"m": colours}, InMemory(photos), range(12)), ["body"])[0]["body"]
    assert one.broken.tolist() == [False, True, False, False]


def test_masks_can_be_smaller_than_images(subject):
    one = probe(subject, ["body"], quantile=0.9, mask_size=3)[0]["body"]
    assert one.size == (3, 3)
    assert one.packed_masks().shape == (4, 15, 2)


def test_packing_gives_the_masks_back():
    masks = torch.rand(3, 4, 5, 7, generator=torch.Generator().manual_seed(0)) > 0.5
    assert pack(masks).shape == (3, 4, 5)
    assert torch.equal(unpack(pack(masks), (5, 7)), masks)


def test_of_equal_values_the_earlier_stays():
    best, maps = Best(1, 2), torch.zeros(2, 1, 1, 1)
    best.add(torch.tensor([[1.0], [3.0]]), torch.tensor([4, 6]), maps)
    best.add(torch.tensor([[3.0], [3.0]]), torch.tensor([5, 7]), maps)
    assert best.samples.tolist() == [[5, 6]]


@pytest.mark.parametrize("together", [1, 3, 40])
def test_the_best_maps_are_those_of_the_best_samples(together):
    maps = torch.randn(40, 5, 4, 6, generator=torch.Generator().manual_seed(0))
    values, best = (maps.amax((2, 3)) * 4).round(), Best(5, 7)
    best.keep_maps((4, 6), (9, 9))
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    for samples in order.split(together):
        best.add(values[samples], samples, maps[samples])
    whole = values.T.sort(dim=1, descending=True, stable=True)
    assert torch.equal(best.values, whole.values[:, :7])
    assert torch.equal(best.samples, whole.indices[:, :7])
    for unit in range(5):
        assert torch.equal(best.maps[unit], maps[best.samples[unit], unit])


def test_maps_larger_than_masks_are_kept_at_the_size_of_masks():
    maps, best = torch.rand(2, 1, 8, 8), Best(1, 3)
    best.keep_maps((8, 8), (4, 4))
    best.add(maps.amax((2, 3)), torch.arange(2), maps)
    assert best.maps.shape == (1, 3, 4, 4)
    torch.testing.assert_close(
        best.maps[0, :2], F.interpolate(maps[best.samples[0, :2]], (4, 4), mode="bilinear")[:, 0]
    )


@pytest.mark.parametrize("size", [(2, 9), (7, 3), (20, 20), (5, 6)])
def test_maps_are_enlarged_as_interpolation_does(size):
    maps = torch.randn(3, 2, 5, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(enlarge(maps, size), F.interpolate(maps, size, mode="bilinear"))


def test_layers_by_name_pattern_and_by_default():
    images = torch.zeros(1, 3, 8, 8)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2),
    )  # fmt: skip
    model = Classifier(net.eval())
    assert unit_layers(model, images) == {"1": (4, 8, 8), "4": (6, 4, 4)}
    assert list(unit_layers(model, images, ["*"])) == [str(i) for i in range(8)]
    assert unit_layers(model, images, ["7"]) == {"7": (2, 1, 1)}
    with pytest.raises(ModelError, match="no layer '11'"):
        unit_layers(model, images, ["11"])


def test_a_layer_that_runs_twice_is_refused():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return self.conv(self.conv(x)).mean((2, 3))

    with pytest.raises(ModelError, match=r"'conv'.*runs several times in a pass"):
        unit_layers(Classifier(Twice()), torch.zeros(1, 3, 4, 4), ["conv"])
