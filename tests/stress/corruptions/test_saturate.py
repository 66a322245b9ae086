"""Saturation against exact integer arithmetic, the reference's way through HSV, and colours worked by hand."""

import numpy as np
import pytest
import torch
from skimage.color import hsv2rgb, rgb2hsv

from unshaken.stress.corruptions.saturate import Saturate, saturate
from unshaken.stress.engine.base import to_8_bit

IMAGENET = Saturate.strengths.of["imagenet"]


def exact(pixels, a, b):
    """`floor(V - (V - x) min(a + b V / (V - min), V / (V - min)))` without rounding, a and b in tenths."""
    pixels = pixels.astype(np.int64)
    v = pixels.max(2, keepdims=True)
    spread = v - pixels.min(2, keepdims=True)
    ratio, whole = np.minimum(a * spread + b * v, 10 * v), np.maximum(10 * spread, 1)
    result = np.where(spread == 0, v, (v * whole - (v - pixels) * ratio) // whole)
    if b:
        result[..., 1:] = np.where(spread == 0, v * (10 - b) // 10, result[..., 1:])
    return result


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_every_8_bit_level_is_the_exact_one(peer, severity):
    pixels = np.random.default_rng(severity).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    pixels[:20] = pixels[:20, :, :1]
    pixels[:2] = 0
    a, b = IMAGENET[severity - 1]
    cut = to_8_bit(saturate(peer.to_images(pixels), a, b).clamp(0, 1))
    assert np.array_equal(np.rint(peer.to_rows(cut) * 255), exact(pixels, round(10 * a), round(10 * b)))


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_equals_the_reference_up_to_rounding_at_whole_levels(peer, severity):
    pixels = peer.photo()
    ours = saturate(peer.to_images(pixels), *IMAGENET[severity - 1])
    assert peer.agrees(ours, peer.reference("saturate", pixels, severity))


def test_equals_hsv_in_double_precision():
    pixels = np.random.default_rng(0).random((200, 200, 3))
    hsv = rgb2hsv(pixels)
    hsv[..., 1] = np.clip(hsv[..., 1] * 2 + 0.1, 0, 1)
    ours = saturate(torch.from_numpy(pixels).permute(2, 0, 1)[None], 2, 0.1)
    assert np.abs(ours[0].permute(1, 2, 0).numpy() - hsv2rgb(hsv)).max() < 1e-13


@pytest.mark.parametrize(("severity", "expected"), [(3, (0.5, 0.5, 0.5)), (4, (0.5, 0.45, 0.45)), (5, (0.5, 0.4, 0.4))])
def test_grey_turns_reddish_when_saturation_is_added(severity, expected):
    grey = torch.full((1, 3, 8, 8), 0.5)
    assert saturate(grey, *IMAGENET[severity - 1])[0, :, 0, 0].tolist() == pytest.approx(expected)


def test_one_channel_and_black_stay():
    grey = torch.rand(2, 1, 8, 9, generator=torch.Generator().manual_seed(0))
    assert torch.equal(saturate(grey, 20, 0.2), grey)
    assert saturate(torch.zeros(1, 3, 8, 8), 20, 0.2).abs().max() == 0


def test_a_sample_does_not_depend_on_its_batch(peer):
    assert peer.depends_on_batch(Saturate(truncate=False), 5) == []
