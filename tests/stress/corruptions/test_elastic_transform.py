"""Elastic transform against the reference and OpenCV fed with the same draws, and known displacements."""

import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from skimage.filters import gaussian

from unshaken.core.errors import ParameterError
from unshaken.core.rng import SampleRng
from unshaken.stress.corruptions.elastic_transform import ElasticTransform, affine_jitter, elastic_transform, smooth

IMAGENET = ElasticTransform.strengths.of["imagenet"]


def field(*shape):
    return SampleRng.of(0, "elastic", ["a"]).uniform(2, *shape, low=-1, high=1)


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_bethge_equals_the_reference_fed_with_the_same_draws(peer, monkeypatch, severity):
    height, width = 96, 128
    noise = field(height, width)
    feed = iter(noise[0].double().numpy())
    monkeypatch.setattr(np.random, "uniform", lambda low, high, size: next(feed) * high)
    pixels = peer.photo(height, width)
    theirs = peer.reference("elastic_transform", pixels, severity)
    gain = IMAGENET[severity - 1][3] * 0.005 * height
    dx, dy = (smooth(noise, 0.01 * height, 0.01 * width) * gain).unbind(1)
    assert peer.agrees(elastic_transform(peer.to_images(pixels), dy, dx), theirs, gap=0.02)


@pytest.mark.parametrize("sigma", [0.64, 2.44, 19.52, 170.8])
def test_the_blur_is_that_of_scikit_image(sigma):
    noise = field(150, 224)
    theirs = [gaussian(part, sigma, mode="reflect", truncate=3) for part in noise[0].double().numpy()]
    assert np.abs(smooth(noise, sigma, sigma)[0].numpy() - theirs).max() < 1e-6


def test_displacements_have_the_known_spread():
    noise = SampleRng.of(0, "spread", list("abcdefgh")).uniform(2, 224, 224, low=-1, high=1)
    spreads = [(smooth(noise, sigma, sigma) * alpha).square().mean().sqrt().item() for alpha, sigma, _, _ in IMAGENET]
    assert spreads[1:] == pytest.approx([4.7, 0.84, 1.17, 1.99], rel=0.1)
    local = (smooth(noise, IMAGENET[0][1], IMAGENET[0][1]) * IMAGENET[0][0]).flatten(2)
    assert local.std(2).mean().item() == pytest.approx(0.09, rel=0.25)
    assert [c[2] for c in IMAGENET] == pytest.approx([24.4, 48.8, 4.88, 4.88, 4.88])


def test_sampling_is_that_of_scipy_beyond_the_borders_too(peer):
    image = peer.photo(31, 45)[..., :1].astype(np.float64) / 255
    dy, dx = field(31, 45)[0] * 20
    rows, columns = np.mgrid[:31, :45]
    theirs = map_coordinates(image[..., 0], [rows + dy.numpy(), columns + dx.numpy()], order=1, mode="reflect")
    ours = elastic_transform(torch.from_numpy(image).permute(2, 0, 1)[None].float(), dy[None], dx[None])
    assert np.abs(ours[0, 0].numpy() - theirs).max() < 5e-5


@pytest.mark.parametrize(("height", "width"), [(224, 224), (120, 171)])
@pytest.mark.parametrize("size", [4.88, 24.4])
def test_the_affine_map_is_opencv_s(peer, height, width, size):
    image = peer.photo(height, width).astype(np.float32) / 255
    jitter = SampleRng.of(3, "jitter", ["a"]).uniform(3, 2, low=-size, high=size)
    q = min(height, width) // 3
    anchors = np.float32([width // 2, height // 2]) + np.float32([[q, q], [q, -q], [-q, -q]])
    matrix = cv2.getAffineTransform(anchors, anchors + jitter[0].numpy())
    theirs = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    ours = affine_jitter(torch.from_numpy(image).permute(2, 0, 1)[None], jitter)[0].permute(1, 2, 0).numpy()
    # OpenCV may place its samples on a grid of 1/32 pixel; a step of the image bounds what that changes.
    apart = np.abs(ours - theirs)
    assert apart.mean() < 2e-3
    assert apart.max() < 0.05


def test_no_jitter_and_no_displacement_change_nothing(peer):
    images = peer.to_images(peer.photo(40, 56))
    assert torch.allclose(affine_jitter(images, torch.zeros(1, 3, 2)), images, atol=2e-5)
    zero = torch.zeros(1, 40, 56)
    assert torch.allclose(elastic_transform(images, zero, zero), images, atol=2e-5)


def test_a_whole_pixel_displacement_by_hand():
    image = torch.arange(12.0).reshape(1, 1, 3, 4) / 12
    down = elastic_transform(image, torch.ones(1, 3, 4), torch.zeros(1, 3, 4))
    assert torch.allclose(down[0, 0], image[0, 0, [1, 2, 2]], atol=1e-5)
    right = elastic_transform(image, torch.zeros(1, 3, 4), torch.ones(1, 3, 4))
    assert torch.allclose(right[0, 0], image[0, 0][:, [1, 2, 3, 3]], atol=1e-5)


def test_an_unknown_variant_is_refused():
    with pytest.raises(ParameterError, match="variant='other'"):
        ElasticTransform(variant="other")


@pytest.mark.parametrize("variant", ["hendrycks", "bethge"])
@pytest.mark.parametrize(("severity", "preset"), [(1, "imagenet"), (3, "imagenet"), (1, "cifar"), (2, "cifar")])
def test_a_sample_does_not_depend_on_its_batch(peer, variant, severity, preset):
    method = ElasticTransform(truncate=False, variant=variant, preset=preset)
    assert peer.depends_on_batch(method, severity) == []
    assert peer.depends_on_batch(method, severity, height=75, width=66, channels=1) == []
