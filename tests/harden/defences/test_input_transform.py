"""Input transformations against scipy, Pillow's JPEG and numbers by hand; which gradients pass."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch import nn

from unshaken.core import Batch, Classifier
from unshaken.core.errors import ParameterError
from unshaken.harden.defences.input_transform import (
    InputTransform,
    bit_depth,
    gaussian_smoothing,
    median_smoothing,
    resize_pad,
)
from unshaken.harden.engine.adaptive import against


def photos(n=3, channels=3, height=12, width=16):
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(0))


def shown(**options):
    """What a model behind the guard sees, and the guard."""
    guarded = InputTransform(**options).wrap(Classifier(nn.Flatten()))
    x = photos().requires_grad_(True)
    seen = guarded(x)
    return seen.view(x.shape).detach(), torch.autograd.grad(seen.sum(), x, allow_unused=True)[
        0
    ] if seen.requires_grad else None


def test_the_median_against_scipy():
    x = photos()
    expected = ndimage.median_filter(x.numpy(), size=(1, 1, 5, 5), mode="mirror")
    assert median_smoothing(x, 5).numpy() == pytest.approx(expected, abs=1e-6)


def test_the_gaussian_against_scipy():
    x = photos()
    expected = ndimage.gaussian_filter(x.numpy(), sigma=(0, 0, 1.5, 1.5), mode="mirror", radius=(0, 0, 4, 4))
    assert gaussian_smoothing(x, 1.5).numpy() == pytest.approx(expected, abs=1e-5)


def test_bits_by_hand():
    x = torch.tensor([0.0, 0.16, 0.17, 0.5, 0.84, 1.0])
    assert bit_depth(x, 2).tolist() == pytest.approx([0, 0, 1 / 3, 2 / 3, 1, 1])  # half of 3 rounds to 2
    assert torch.equal(bit_depth(torch.arange(256) / 255, 8), torch.arange(256) / 255)


def test_jpeg_against_pillow():
    seen, _ = shown(kind="jpeg", quality=40)
    for image, changed in zip(photos(), seen, strict=True):
        out = io.BytesIO()
        pixels = (image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        Image.fromarray(pixels).save(out, "JPEG", quality=40)
        assert (changed.permute(1, 2, 0).numpy() * 255 - np.array(Image.open(out))).std() < 3


def test_gradients_pass_shattered_transformations_straight_through_or_not_at_all():
    for kind in ("jpeg", "bits"):
        _, slope = shown(kind=kind)
        assert torch.equal(slope, torch.ones_like(slope))
    _, slope = shown(kind="jpeg", straight_through=False)
    assert slope is None
    _, slope = shown(kind="bits", straight_through=False)
    assert float(slope.abs().max()) == 0
    for kind in ("median", "gaussian", "resize-pad"):
        _, slope = shown(kind=kind)
        assert float(slope.sum()) > 0


def test_resize_and_pad_keeps_the_size_and_moves():
    x = torch.ones(2, 1, 20, 20)
    corners, counts = set(), set()
    for seed in range(30):
        seen = resize_pad(x, 0.5, torch.Generator().manual_seed(seed))
        assert seen.shape == x.shape
        lit = (seen[0, 0] > 0.5).nonzero()
        side = lit.max(0).values - lit.min(0).values + 1
        assert side[0] == side[1]
        assert len(lit) == side[0] * side[1]
        counts.add(int(side[0]))
        corners.add(tuple(lit.min(0).values.tolist()))
    assert min(counts) >= 10
    assert max(counts) <= 20
    assert len(corners) > 10
    assert torch.equal(resize_pad(x, 1.0, torch.Generator().manual_seed(0)), x)


def test_a_guard_without_gradients_is_seen_through():
    """One pixel decides at 1/2; rounding hides the gradient, the surrogate gives it back."""

    class Pixel(nn.Module):
        def forward(self, x):
            v = 10 * (x.flatten(1)[:, :1] - 0.5)
            return torch.cat([v, -v], 1)

    x = torch.full((4, 1, 1, 1), 0.6)
    batch = Batch(x, torch.zeros(4, dtype=torch.int64), tuple("abcd"))
    guard = InputTransform(kind="bits", bits=3, straight_through=False)
    found = against(guard, Classifier(Pixel()).eval(), batch, eps=0.3)
    assert not InputTransform(kind="bits").wrap(Classifier(Pixel())).surrogates()
    assert found.figures["straight-through"].value == 0
    assert found.figures["adaptive"].value == 0
    assert found.figures["clean"].value == 1


def test_bad_input():
    for options, words in (
        ({"window": 4}, "odd side"),
        ({"quality": 0}, "quality"),
        ({"bits": 9}, "bits"),
        ({"kind": "crop"}, "kind"),
    ):
        with pytest.raises(ParameterError, match=words):
            InputTransform(**options)
