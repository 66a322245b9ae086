"""Depth of field: two planes, of which one is in focus; blur against scipy; shares of layers by hand."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from unshaken.core import Batch
from unshaken.stress.common_3d.far_focus import FarFocus
from unshaken.stress.common_3d.near_focus import NearFocus, blur, depth_layers, refocus


def halves(images):
    depth = torch.full((len(images), 32, 32), 0.2)
    depth[:, :, 16:] = 0.9
    return depth


def test_what_is_near_stays_and_what_is_far_blurs():
    noise = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    batch = Batch(noise, None, ("a",))
    near, far = (cls(truncate=False).with_depth(halves).apply(batch, 5).images for cls in (NearFocus, FarFocus))
    assert torch.allclose(near[..., :15], noise[..., :15], atol=1e-5)
    assert float(near[..., 20:].std()) < 0.8 * float(noise[..., 20:].std())
    assert torch.allclose(far[..., 17:], noise[..., 17:], atol=1e-5)
    assert float(far[..., :12].std()) < 0.8 * float(noise[..., :12].std())


def test_blur_is_scipy_s_with_a_short_kernel(peer):
    image = peer.double(20, 24, 1)
    theirs = gaussian_filter(image[0].numpy(), 2.3, mode="nearest", radius=3)
    assert blur(image, 2.3)[0].numpy() == pytest.approx(theirs, abs=1e-12)
    assert torch.equal(blur(image, 0.09), image)


def test_layers_hold_as_many_pixels_each_and_a_pixel_between_borders_is_mixed(peer):
    depth = torch.arange(1, 65, dtype=torch.float64).reshape(8, 8) / 64
    borders = depth_layers(depth)
    assert np.histogram(depth.numpy(), borders.numpy())[0].tolist() == [8] * 8
    image = peer.double(8, 8, 1)
    found = refocus(image, depth, borders, float(borders[4]), 200.0)
    stack = [blur(image, min(200.0 * abs(float(b - borders[4])) / float(b) * 8 / 224, 8)) for b in borders]
    right = int(np.searchsorted(borders.numpy(), float(depth[2, 3])))
    share = float((depth[2, 3] - borders[right - 1]) / (borders[right] - borders[right - 1]))
    weights = 1 - share**2, 1 - (1 - share) ** 2
    by_hand = (weights[0] * stack[right - 1] + weights[1] * stack[right])[0, 2, 3] / sum(weights)
    assert float(found[0, 2, 3]) == pytest.approx(float(by_hand))
