"""Snow against the reference fed with the same draws, and the authors' steps in plain numpy."""

import numpy as np
import pytest
import torch
from scipy.ndimage import zoom as spline_zoom

from unshaken.core.batch import Batch
from unshaken.core.rng import SampleRng
from unshaken.stress.corruptions.snow import Snow, flake_layer, snow

IMAGENET = Snow.strengths.of["imagenet"]


def draws(severity, height, width):
    """Noise of a whole image, float32, and its central part that enlargement keeps."""
    loc, scale, factor = IMAGENET[severity - 1][:3]
    noise = SampleRng.of(0, "snow", [str(severity)]).normal(height, width) * scale + loc
    sides = [int(np.ceil(side / factor)) for side in (height, width)]
    top, left = ((side - kept) // 2 for side, kept in zip((height, width), sides, strict=True))
    return noise[0].numpy(), noise[:, top : top + sides[0], left : left + sides[1]]


def authors_layer(part, severity, height, width, angle):
    """The flakes in the authors' order: enlarge, cut the centre, cut to 8 bits, blur, round to 8 bits."""
    _, _, factor, threshold, radius, sigma, _ = IMAGENET[severity - 1]
    layer = spline_zoom(part.astype(np.float64), factor, order=1)
    top, left = (layer.shape[0] - height) // 2, (layer.shape[1] - width) // 2
    layer = layer[top : top + height, left : left + width]
    layer = np.clip(np.where(layer < threshold, 0, layer), 0, 1)
    layer = np.floor(layer * 255) / 255
    weights = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * sigma**2))
    blurred = np.zeros_like(layer)
    rows, columns = np.mgrid[:height, :width]
    for i, weight in enumerate(weights / weights.sum()):
        dy, dx = (int(np.ceil(i * f(np.deg2rad(angle)) - 0.5)) for f in (np.sin, np.cos))
        blurred += weight * layer[np.clip(rows + dy, 0, height - 1), np.clip(columns + dx, 0, width - 1)]
    return np.rint(blurred * 255)


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_bethge_equals_the_reference_fed_with_the_same_draws(peer, monkeypatch, severity):
    _, _, factor, threshold, radius, sigma, mix = IMAGENET[severity - 1]
    pixels = peer.photo(96, 128)
    noise, part = draws(severity, 96, 128)
    monkeypatch.setattr(np.random, "normal", lambda size, loc, scale: noise.astype(np.float64))
    monkeypatch.setattr(np.random, "uniform", lambda low, high: -80.0)
    theirs = peer.reference("snow", pixels, severity)
    flakes = flake_layer(part, (96, 128), factor, threshold, radius, sigma, torch.tensor([-80.0]), "bethge")
    found = peer.compare(snow(peer.to_images(pixels), flakes, mix), theirs)
    # A flake within float32 rounding of half a level or of the threshold may go the other way.
    assert found["share"] < 2e-3
    assert np.mean(np.abs(peer.to_rows(snow(peer.to_images(pixels), flakes, mix).clamp(0, 1)) * 255 - theirs)) < 2e-3


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("angle", [-135.0, -71.3, -45.0])
def test_hendrycks_layer_equals_the_authors_steps(severity, angle):
    _, part = draws(severity, 70, 90)
    c = IMAGENET[severity - 1]
    ours = flake_layer(part, (70, 90), *c[2:6], torch.tensor([angle]))[0, 0].numpy() * 255
    apart = np.abs(np.rint(ours) - authors_layer(part[0].numpy(), severity, 70, 90, angle))
    assert np.abs(ours - np.rint(ours)).max() < 1e-4
    assert apart.max() <= 1
    assert (apart > 0).mean() < 2e-3


def test_flakes_fall_on_both_halves_and_the_image_is_bleached():
    image = torch.zeros(1, 3, 9, 9)
    flakes = torch.zeros(1, 1, 9, 9)
    flakes[0, 0, 1, 2] = 0.4
    result = snow(image, flakes, 0.8)
    expected = torch.full((9, 9), 0.1)
    expected[1, 2] = expected[7, 6] = 0.5
    assert torch.allclose(result[0, 1], expected)


def test_snow_brightens_and_the_angle_differs_between_samples():
    batch = Batch(torch.full((2, 3, 64, 64), 0.3), None, ("a", "b"))
    one, two = Snow(preset="imagenet").apply(batch, 2).images
    assert one.mean() > 0.35
    assert (one != two).float().mean() > 0.1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("variant", ["hendrycks", "bethge"])
def test_a_sample_does_not_depend_on_its_batch(peer, channels, variant):
    method = Snow(truncate=False, preset="imagenet", variant=variant)
    assert peer.depends_on_batch(method, 4, channels=channels) == []
