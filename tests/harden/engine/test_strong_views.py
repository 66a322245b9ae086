"""Strong views: each part by hand where it can be, and each sample by its own stream."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from unshaken.core.rng import SampleRng
from unshaken.harden.engine.strong_views import (
    PHOTOS,
    SMALL,
    ViewSettings,
    blurred,
    cropped,
    jittered,
    strong_view,
    turned,
)

DRAW = torch.Generator().manual_seed(0)
HALF, NOUGHT = torch.full((2,), 0.5), torch.zeros(2)
NOTHING = ViewSettings(1.0, 0.0, (0, 0, 0, 0), 0.0, 0.0, 0.0)


def photos(n=2, channels=3, high=12, wide=12):
    return torch.rand(n, channels, high, wide, generator=DRAW)


def test_a_whole_square_crop_is_the_image_or_its_mirror():
    x = photos()
    found = cropped(x, torch.ones(2), HALF, NOUGHT, NOUGHT, torch.tensor([False, True]))
    assert torch.allclose(found[0], x[0], atol=1e-5)
    assert torch.allclose(found[1], x[1].flip(-1), atol=1e-5)


def test_a_quarter_at_each_corner():
    x = photos()
    area, corner = torch.full((2,), 0.25), torch.tensor([0.0, 1.0])
    found = cropped(x, area, HALF, corner, corner, torch.zeros(2, dtype=torch.bool))
    for image, part in ((found[0], x[0, :, :6, :6]), (found[1], x[1, :, 6:, 6:])):
        wanted = torch.nn.functional.interpolate(part[None], size=12, mode="bilinear", align_corners=False)[0]
        assert torch.allclose(image[:, 1:-1, 1:-1], wanted[:, 1:-1, 1:-1], atol=1e-5)


def test_brightness_contrast_and_saturation_are_those_of_torchvision():
    x = photos() * 0.5 + 0.2
    for strengths, wanted in (
        ((0.4, 0, 0, 0), tv.adjust_brightness(x, 1.2)),
        ((0, 0.4, 0, 0), tv.adjust_contrast(x, 1.2)),
        ((0, 0, 0.4, 0), tv.adjust_saturation(x, 1.2)),
    ):
        found = jittered(x, [torch.full((2,), 0.75)] * 4, strengths)
        assert torch.allclose(found, wanted, atol=2e-3), strengths
    assert torch.allclose(jittered(x, [torch.full((2,), 0.5)] * 4, (0.4, 0.4, 0.2, 0.1)), x, atol=1e-6)


def test_turning_colours_keeps_brightness_and_comes_round():
    x = photos() * 0.2 + 0.4
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    found = turned(x, torch.tensor([0.25, 0.5]))
    assert torch.allclose((found * weights).sum(1), (x * weights).sum(1), atol=1e-5)
    assert (found - x).abs().max() > 0.05
    assert torch.allclose(turned(x, torch.ones(2)), x, atol=1e-5)


def test_blur_is_that_of_torchvision():
    x = photos(high=32, wide=32)
    found = blurred(x, torch.tensor([7.0, 14.0]))
    for image, blurry, deviation in zip(x, found, (1.0, 2.0), strict=True):
        wanted = tv.gaussian_blur(image, [13, 13], [deviation, deviation])
        assert torch.allclose(blurry, wanted, atol=3e-3)


@pytest.mark.parametrize("look", [*PHOTOS, SMALL[0]])
@pytest.mark.parametrize("channels", [1, 3])
def test_views_stay_in_range_and_belong_to_the_sample(look, channels):
    x, rng = photos(6, channels, 20, 16), SampleRng.of(0, "t", [str(i) for i in range(6)])
    found = strong_view(x, look, rng)
    assert found.shape == x.shape
    assert (float(found.min()) >= 0, float(found.max()) <= 1) == (True, True)
    assert torch.allclose(strong_view(x[2:4], look, rng[torch.tensor([2, 3])]), found[2:4], atol=1e-5)
    assert (found - x).abs().amax((1, 2, 3)).min() > 0.01


def test_without_mirror_images_left_stays_left():
    x = torch.linspace(0, 1, 16).expand(40, 1, 16, 16)
    rng = SampleRng.of(0, "t", [str(i) for i in range(40)])
    rising = [(strong_view(x, NOTHING, rng, mirror)[:, 0, 8, -1] > 0.5).float().mean().item() for mirror in (0, 0.5, 1)]
    assert (rising[0], rising[2]) == (1, 0)
    assert 0.2 < rising[1] < 0.8


def test_chances_are_kept():
    n = 2000
    x, rng = photos(1, 3, 4, 4).expand(n, -1, -1, -1), SampleRng.of(0, "t", [str(i) for i in range(n)])
    grey = strong_view(x, ViewSettings(1.0, 0.0, (0, 0, 0, 0), 0.2, 0.0, 0.0), rng)
    assert float((grey.std(1).amax((1, 2)) < 1e-5).float().mean()) == pytest.approx(0.2, abs=0.03)
    solar = strong_view(x, ViewSettings(1.0, 0.0, (0, 0, 0, 0), 0.0, 0.0, 0.2), rng)
    assert float((solar.amax((1, 2, 3)) <= 0.5).float().mean()) == pytest.approx(0.2, abs=0.03)
    light = strong_view(x, ViewSettings(1.0, 0.8, (0.4, 0, 0, 0), 0.0, 0.0, 0.0), rng)
    same = (light.mean((1, 2, 3)) - strong_view(x, NOTHING, rng).mean((1, 2, 3))).abs() < 1e-6
    assert float(same.float().mean()) == pytest.approx(0.2, abs=0.03)


def ramps(n, side=16):
    """Red grows from 0 to 1 to the right, green downwards: in the middle of a pixel by its place."""
    across = (torch.arange(side) + 0.5) / side
    return torch.stack([across.expand(side, side), across[:, None].expand(side, side), torch.zeros(side, side)]).repeat(
        n, 1, 1, 1
    )


def rectangle(view):
    """Left, top, width and height of what a view of the ramps shows, as shares of the image, by its middle pixels."""
    side = view.shape[-1]
    at, middle = (side // 4, 3 * side // 4), side // 2
    found = []
    for channel, line in ((0, view[0, middle]), (1, view[1, :, middle])):
        a, b = (float(line[i]) for i in at)
        size = (b - a) * side / (at[1] - at[0])
        found.append((a - (at[0] + 0.5) / side * size, size, channel))
    return found[0][0], found[1][0], found[0][1], found[1][1]


@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("place", [0.0, 0.25, 1.0])
def test_a_crop_has_its_area_its_ratio_and_its_place(ratio, place):
    """Width over height runs from 3/4 to 4/3; a place of 0 is at the left or top, one of 1 at the other end."""
    one = torch.ones(1)
    found = cropped(ramps(1), 0.4 * one, ratio * one, place * one, (1 - place) * one, torch.tensor([False]))
    left, top, wide, high = rectangle(found[0])
    assert wide * high == pytest.approx(0.4, abs=1e-3)
    assert wide / high == pytest.approx((4 / 3) ** (2 * ratio - 1), abs=1e-2)
    assert left == pytest.approx(place * (1 - wide), abs=1e-2)
    assert top == pytest.approx((1 - place) * (1 - high), abs=1e-2)


def test_a_crop_is_no_larger_than_the_image_and_of_the_size_asked_for():
    one = torch.ones(1)
    found = cropped(ramps(1), one, one, 0 * one, 0.5 * one, torch.tensor([False]), (8, 8))
    assert found.shape == (1, 3, 8, 8)
    left, top, wide, high = rectangle(found[0])
    assert wide == pytest.approx(1, abs=1e-3)
    assert high == pytest.approx(0.75**0.5, abs=1e-3)
    assert (left, top) == (pytest.approx(0, abs=1e-3), pytest.approx((1 - high) / 2, abs=1e-3))


def test_areas_lie_between_the_least_and_the_most():
    rng = SampleRng.of(0, "t", [str(i) for i in range(200)])
    found = strong_view(ramps(200), ViewSettings(0.2, 0.0, (0, 0, 0, 0), 0.0, 0.0, 0.0, most=0.4), rng, 0.0)
    areas = [wide * high for _, _, wide, high in map(rectangle, found)]
    assert 0.2 - 1e-3 < min(areas) < 0.21
    assert 0.39 < max(areas) < 0.4 + 1e-3


def test_half_a_turn_turns_colours_over_and_a_quarter_swaps_them():
    """In units of 1.402 (red) and 1.772 (blue) from the grey of BT.601."""
    x = photos() * 0.1 + 0.45
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    grey = (x * weights).sum(1)
    half, quarter = turned(x, torch.tensor([0.5, 0.5])), turned(x, torch.tensor([0.25, 0.25]))
    for channel in (0, 2):
        assert torch.allclose(half[:, channel] - grey, grey - x[:, channel], atol=1e-5)
    assert torch.allclose((quarter[:, 2] - grey) / 1.772, (grey - x[:, 0]) / 1.402, atol=1e-5)
    assert torch.allclose((quarter[:, 0] - grey) / 1.402, (x[:, 2] - grey) / 1.772, atol=1e-5)


def test_hue_is_turned_by_its_share_of_a_turn():
    x = photos() * 0.2 + 0.4
    draws = [torch.full((2,), 0.5)] * 3 + [torch.tensor([0.75, 0.0])]
    found = jittered(x, draws, (0.4, 0.4, 0.4, 0.1))
    assert torch.allclose(found, turned(x, torch.tensor([0.05, -0.1])), atol=1e-5)


def test_blurs_are_of_deviations_from_a_tenth_to_two():
    x, rng = photos(6, high=24, wide=24), SampleRng.of(0, "t", [str(i) for i in range(6)])
    sharp, soft = (strong_view(x, ViewSettings(1.0, 0.0, (0, 0, 0, 0), 0.0, blur, 0.0), rng) for blur in (0.0, 1.0))
    width = rng.fold("view").fresh(14)[:, 8]
    assert torch.allclose(soft, blurred(sharp, 0.1 + 1.9 * width), atol=1e-6)


def test_a_blur_wider_than_the_image_reaches_to_its_border():
    x = photos(1, high=3, wide=5)
    found = blurred(x, torch.tensor([400.0]))
    assert found.shape == x.shape
    assert float(found.std()) < float(x.std())
