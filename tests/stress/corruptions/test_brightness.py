"""Brightness against exact integer arithmetic, the reference's way through HSV, and colours worked by hand."""

import numpy as np
import pytest
import torch
from skimage.color import hsv2rgb, rgb2hsv

from unshaken.stress.corruptions.brightness import Brightness, brightness
from unshaken.stress.engine.base import to_8_bit


def exact(pixels, tenths):
    """`floor(x min(V + 25.5 tenths, 255) / V)` without rounding."""
    pixels = pixels.astype(np.int64)
    v = pixels.max(2, keepdims=True)
    raised = np.minimum(10 * v + 255 * tenths, 2550)
    return np.where(v == 0, 255 * tenths // 10, pixels * raised // np.maximum(10 * v, 1))


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_every_8_bit_level_is_the_exact_one(peer, severity):
    pixels = np.random.default_rng(severity).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    pixels[:20] = 0
    cut = to_8_bit(brightness(peer.to_images(pixels), severity / 10))
    assert np.array_equal(np.rint(peer.to_rows(cut) * 255), exact(pixels, severity))


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_equals_the_reference_up_to_rounding_at_whole_levels(peer, severity):
    pixels = peer.photo()
    assert peer.agrees(
        brightness(peer.to_images(pixels), severity / 10), peer.reference("brightness", pixels, severity)
    )


def test_equals_hsv_in_double_precision():
    pixels = np.random.default_rng(0).random((200, 200, 3))
    pixels[:5] = 0
    hsv = rgb2hsv(pixels)
    hsv[..., 2] = np.clip(hsv[..., 2] + 0.3, 0, 1)
    ours = brightness(torch.from_numpy(pixels).permute(2, 0, 1)[None], 0.3)
    assert np.abs(ours[0].permute(1, 2, 0).numpy() - hsv2rgb(hsv)).max() < 1e-14


def test_colours_by_hand():
    images = torch.tensor([[0.0, 0, 0], [0.5, 0.25, 0.0], [0.9, 0.9, 0.9]]).T.reshape(1, 3, 1, 3)
    expected = torch.tensor([[0.2, 0.2, 0.2], [0.7, 0.35, 0.0], [1.0, 1.0, 1.0]]).T.reshape(1, 3, 1, 3)
    assert torch.allclose(brightness(images, 0.2), expected)
    assert torch.allclose(brightness(torch.tensor([[[[0.1, 0.95]]]]), 0.2), torch.tensor([[[[0.3, 1.0]]]]))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sample_does_not_depend_on_its_batch(peer, channels):
    assert peer.depends_on_batch(Brightness(truncate=False), 2, channels=channels) == []
