"""Patch corruption: exact counts, untouched outside, nested, and equal to the corruption where all cells are hit."""

from __future__ import annotations

import itertools

import pytest
import torch

from unshaken.core import Batch, SampleRng
from unshaken.core.errors import ParameterError
from unshaken.stress.corruptions.contrast import Contrast
from unshaken.stress.corruptions.pixelate import Pixelate
from unshaken.stress.patch.patch_corruption import PatchCorruption, cell_masks, cell_side, paste


def streams(n):
    return SampleRng.of(3, "x", [f"s{i}" for i in range(n)])


def photos(n=5, c=3, h=32, w=32):
    images = torch.rand(n, c, h, w, generator=torch.Generator().manual_seed(1))
    return Batch(images, None, tuple(f"s{i}" for i in range(n)))


@pytest.mark.parametrize(("h", "w", "side"), [(32, 32, 4), (28, 28, 4), (13, 22, 3), (16, 11, 5)])
@pytest.mark.parametrize("cells", [1, 2, 4])
@pytest.mark.parametrize("offset", [0, 1])
def test_so_many_whole_cells_of_the_grid(h, w, side, cells, offset):
    mask = cell_masks(streams(20), h, w, side=side, cells=cells, offset=offset)
    assert (mask.shape, mask.dtype) == ((20, 1, h, w), torch.bool)
    assert mask.flatten(1).sum(1).tolist() == [cells * side**2] * 20
    for one in mask[:, 0]:
        blocks = {((y - offset) // side, (x - offset) // side) for y, x in one.nonzero().tolist()}
        assert len(blocks) == cells
        assert all(0 <= r < (h - offset) // side and 0 <= c < (w - offset) // side for r, c in blocks)


def test_more_cells_hold_those_of_fewer_and_every_cell_is_drawn_as_often():
    masks = [cell_masks(streams(2000), 16, 16, side=4, cells=n) for n in (1, 2, 3, 8, 16)]
    for few, many in itertools.pairwise(masks):
        assert bool((few <= many).all())
    assert bool(masks[-1].all())
    counts = masks[0][:, 0, ::4, ::4].sum(0).flatten().tolist()
    assert min(counts) > 125 - 45  # 4 standard deviations of a binomial of 2000 at 1/16
    assert max(counts) < 125 + 45


@pytest.mark.parametrize(("h", "w", "side"), [(32, 32, 4), (224, 224, 28), (28, 28, 4), (12, 16, 2), (8, 9, 1)])
def test_a_cell_is_an_eighth_of_the_short_side(h, w, side):
    assert cell_side(None, h, w) == side
    assert cell_side(7, h, w) == 7


def test_too_many_cells_are_refused_with_the_number_that_fits():
    with pytest.raises(ParameterError, match=r"cells=17 of 4 x 4 pixels do not fit into .* 16 x 18, .* hold 16;"):
        cell_masks(streams(2), 16, 18, side=4, cells=17)
    with pytest.raises(ParameterError, match="hold 0"):
        PatchCorruption(size=40).apply(photos(), 1)


def test_paste_rounds_nothing():
    x, other = photos().images, photos().images.flip(0) / 3
    mask = cell_masks(streams(5), 32, 32, side=4, cells=9)
    got = paste(x, other, mask)
    wide = mask.expand_as(x)
    assert torch.equal(got[wide], other[wide])
    assert torch.equal(got[~wide], x[~wide])


@pytest.mark.parametrize("name", ["gaussian_noise", "gaussian_blur:preset=imagenet", "contrast", "fog", "pixelate"])
def test_outside_the_cells_the_image_stays_to_the_bit(name):
    batch = photos(8)
    got = PatchCorruption(corruption=name, cells=6, size=4).apply(batch, 5).images
    changed = (got != batch.images).any(1)
    cells = changed.unflatten(1, (8, 4)).unflatten(3, (8, 4)).any(4).any(2)
    assert bool((cells.flatten(1).sum(1) <= 6).all())
    assert int(cells.sum()) >= 40
    assert 0 <= float(got.min()) <= float(got.max()) <= 1


@pytest.mark.parametrize(("name", "cls"), [("contrast", Contrast), ("pixelate", Pixelate)])
def test_all_cells_are_the_corruption_itself(name, cls):
    batch = photos()
    for severity in (1, 3, 5):
        got = PatchCorruption(corruption=name, cells=64, size=4).apply(batch, severity).images
        assert torch.equal(got, cls().apply(batch, severity).images)


def test_cells_are_corrupted_as_in_the_whole_image():
    batch = photos()
    whole = PatchCorruption(cells=64, size=4).apply(batch, 3, seed=5).images
    some = PatchCorruption(cells=10, size=4).apply(batch, 3, seed=5).images
    hit = some != batch.images
    assert torch.equal(some[hit], whole[hit])
    assert float((whole - batch.images).std()) == pytest.approx(0.08, rel=0.1)  # CIFAR-C's sd at severity 3, clipped


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"corruption": "gausian_noise"}, "did you mean 'gaussian_noise'"),
        ({"corruption": "translation"}, "'translation' is not a common corruption"),
        ({"corruption": "patch_corruption"}, "'patch_corruption' is not a common corruption"),
        ({"corruption": "contrast:preset=huge"}, "contrast: preset='huge'"),
        ({"cells": 0}, "cells=0"),
        ({"size": -1}, "size=-1"),
    ],
)
def test_bad_parameters_are_named(values, words):
    with pytest.raises(ParameterError) as caught:
        PatchCorruption(**values)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_the_corruption_reads_belongs_to_the_run():
    assert PatchCorruption(corruption="frost:textures=ice").further_files == ("ice",)
    assert PatchCorruption().further_files == ()
