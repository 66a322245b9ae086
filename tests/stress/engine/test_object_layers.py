"""Layers of objects: sizes and zoom by hand, "full", places, turns, pasting, and when resizing gives up."""

import pytest
import torch

from unshaken.core.rng import SampleRng
from unshaken.stress.engine import object_layers
from unshaken.stress.engine.object_layers import (
    bounding_box,
    fill_holes,
    fill_picture,
    move_object,
    object_size,
    paste,
    resize_object,
    turn_object,
    zoom,
    zoom_factor,
)

PICTURE = torch.rand(3, 100, 100, generator=torch.Generator().manual_seed(0))


def square(top, left, side=20, size=100):
    mask = torch.zeros(size, size, dtype=torch.bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_zoom_factors():
    assert zoom_factor(0.20, 0.05) == 0.5
    assert zoom_factor(0.04, 0.09) == pytest.approx(1.5)
    assert object_size(square(10, 30)) == 0.04


def test_size_is_that_in_the_largest_box_of_one_part():
    mask = square(10, 10) | square(70, 70, 5)
    mask[60:61, 2:60] = True  # a line has a small box, whatever its length
    assert object_size(mask) == 0.04
    assert object_size(torch.zeros(4, 4, dtype=torch.bool)) == 0


@pytest.mark.parametrize("factor", [0.5, 1.5])
def test_zoom_keeps_the_relative_place_of_the_centre(factor):
    image, mask = zoom(PICTURE, square(10, 60), factor)
    box = bounding_box(mask)
    assert image.shape == PICTURE.shape
    assert (box.top + box.bottom) / 2 == pytest.approx(20, abs=1)
    assert (box.left + box.right) / 2 == pytest.approx(70, abs=1)
    assert object_size(mask) == pytest.approx(0.04 * factor**2, rel=0.1)


def test_zoom_by_one_changes_nothing():
    image, mask = zoom(PICTURE, square(10, 60), 1.0)
    assert torch.equal(image, PICTURE)
    assert torch.equal(mask, square(10, 60))


@pytest.mark.parametrize("wanted", [0.3, 0.1, 0.08, 0.05])
def test_resizing_reaches_the_size(wanted):
    layer = resize_object(PICTURE, square(30, 40, 44), wanted)
    assert layer.problem == ""
    assert abs(object_size(layer.mask) - wanted) <= 0.015


def test_an_object_that_has_the_size_stays_and_one_that_cannot_grow_fills_the_picture():
    mask = square(30, 40, 24)  # 5.8 %, within the tolerance of 5 %
    assert torch.equal(resize_object(PICTURE, mask, 0.05).image, PICTURE)
    bar = torch.zeros(100, 100, dtype=torch.bool)
    bar[50:52, 10:90] = True  # a line fills the picture at 2 % of it
    full = fill_picture(PICTURE, bar)
    found = resize_object(PICTURE, bar, 0.5)
    assert torch.equal(found.mask, full[1])
    assert object_size(found.mask) < 0.1


def test_resizing_gives_up_when_the_size_moves_away(monkeypatch):
    mask = square(30, 40, 44)
    monkeypatch.setattr(object_layers, "zoom", lambda image, mask, factor: (image, square(20, 20, 50)))
    layer = resize_object(PICTURE, mask, 0.05)
    assert "cannot be resized to 5% of the picture: it stays at 25.0%" in layer.problem
    assert torch.equal(layer.mask, mask)


def test_resizing_gives_up_after_some_rounds(monkeypatch):
    tries, mask = [], square(30, 40, 44)

    def stay(image, mask, factor):
        tries.append(factor)
        return image, mask

    monkeypatch.setattr(object_layers, "zoom", stay)
    assert resize_object(PICTURE, mask, 0.05).problem
    assert len(tries) == object_layers.ROUNDS


def test_full_is_the_box_in_the_shape_of_the_picture():
    image, mask = fill_picture(PICTURE, square(10, 60))
    assert bool(mask.all())
    expected = torch.nn.functional.interpolate(
        PICTURE[None, :, 10:30, 60:80], (100, 100), mode="bilinear", antialias=True
    )
    assert torch.allclose(image, expected[0], atol=1e-6)
    wide = torch.zeros(60, 100, dtype=torch.bool)
    wide[5:25, 0:10] = True
    _, mask = fill_picture(PICTURE[:, :60], wide)
    assert mask.shape == (60, 100)
    assert bool(mask.any(1).all())


def test_every_corner_is_in_range_and_the_area_stays():
    mask = square(10, 60)
    draws = SampleRng.of(0, "corner", [str(i) for i in range(64)]).uniform(2)
    for down, across in [*draws.tolist(), [0.0, 0.0], [0.99999994, 0.99999994]]:
        image, moved = move_object(PICTURE, mask, down, across)
        box = bounding_box(moved)
        assert int(moved.sum()) == 400
        assert (box.height, box.width) == (20, 20)
        assert torch.equal(image[:, moved], PICTURE[:, mask])
    assert (box.top, box.left) == (80, 80)
    whole = torch.ones(100, 100, dtype=torch.bool)
    assert torch.equal(move_object(PICTURE, whole, 0.7, 0.4)[0], PICTURE)


@pytest.mark.parametrize("angle", [0, 360, -360, 720])
def test_whole_turns_change_nothing(angle):
    image, mask = turn_object(PICTURE, square(10, 60), angle)
    assert torch.equal(image, PICTURE)
    assert torch.equal(mask, square(10, 60))


def test_a_quarter_turn_is_that_of_the_pixels():
    mask = torch.zeros(100, 100, dtype=torch.bool)
    mask[40:50, 30:60] = True
    image, turned = turn_object(PICTURE, mask, 90)
    assert bounding_box(turned) == (30, 40, 60, 50)
    assert int(turned.sum()) == 300
    assert torch.allclose(image[:, 30:60, 40:50], PICTURE[:, 40:50, 30:60].rot90(1, (1, 2)), atol=1e-4)


def test_paste_is_exact_and_knows_its_ends():
    mask, other = square(10, 60), torch.zeros_like(PICTURE)
    assert torch.equal(paste(PICTURE, mask, PICTURE), PICTURE)
    pasted = paste(PICTURE, mask, other)
    assert torch.equal(pasted[:, mask], PICTURE[:, mask])
    assert float(pasted[:, ~mask].abs().max()) == 0
    assert torch.equal(paste(PICTURE, torch.zeros_like(mask), other), other)
    assert torch.equal(paste(PICTURE, torch.ones_like(mask), other), PICTURE)


def hole(height, width, rows, columns):
    mask = torch.zeros(1, 1, height, width, dtype=torch.bool)
    mask[..., rows, columns] = True
    return mask


def test_known_pixels_stay_and_the_hole_is_as_its_surroundings():
    images = torch.rand(1, 3, 17, 23, generator=torch.Generator().manual_seed(0)) * 0.2 + 0.6
    mask = hole(17, 23, slice(3, 14), slice(5, 20))
    spoilt = torch.where(mask, torch.zeros_like(images), images)
    filled = fill_holes(spoilt, mask)
    inside = mask.expand_as(images)
    assert torch.equal(filled[~inside], images[~inside])
    assert 0.6 <= float(filled[inside].min()) <= float(filled[inside].max()) <= 0.8
    assert torch.equal(fill_holes(images, mask), filled)  # whatever was there


def test_a_constant_is_continued_and_no_hole_changes_nothing():
    images = torch.full((1, 1, 9, 8), 0.5)
    mask = hole(9, 8, slice(None, 8), slice(None))
    assert torch.allclose(fill_holes(torch.where(mask, 0.9, images), mask), images, atol=1e-6)
    assert torch.equal(fill_holes(images, torch.zeros_like(mask)), images)


def test_left_and_right_fill_their_own_side():
    images = torch.zeros(1, 1, 16, 32)
    images[..., 16:] = 1
    filled = fill_holes(images, hole(16, 32, slice(4, 12), slice(4, 28)))
    assert float(filled[..., 4:12, 5].max()) < 0.2 < 0.8 < float(filled[..., 4:12, 26].min())


@pytest.mark.parametrize("rows", [slice(0, 1), slice(1, 3)])
def test_a_sample_is_filled_as_alone(rows):
    images = torch.rand(3, 3, 13, 11, generator=torch.Generator().manual_seed(1))
    masks = torch.rand(3, 1, 13, 11, generator=torch.Generator().manual_seed(2)) < 0.6
    assert torch.equal(fill_holes(images, masks)[rows], fill_holes(images[rows], masks[rows]))
