"""Crop and flip against torchvision's own functions."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torchvision.transforms.functional as tv

from unshaken.core.errors import ParameterError
from unshaken.core.rng import SampleRng
from unshaken.harden.recipes.augmentation.crop_flip import CropFlip, crop_flip


def pictures(n=7, channels=3, height=12, width=16):
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(n + channels))


def augmented(recipe, images, ids, seed=0):
    step = SimpleNamespace(images=images, rng=SampleRng.of(seed, "harden", ids))
    recipe.augment(step)
    return step.images


@pytest.mark.parametrize("channels", [1, 3])
def test_the_cut_is_torchvisions(channels):
    images = pictures(5, channels)
    top, left = torch.tensor([0, 8, 4, 3, 7]), torch.tensor([8, 0, 4, 1, 6])
    mirrored = torch.tensor([False, True, False, True, True])
    found = crop_flip(images, top, left, mirrored, 4)
    for image, y, x, turn, result in zip(images, top, left, mirrored, found, strict=True):
        cut = tv.crop(tv.pad(image, [4]), int(y), int(x), 12, 16)
        assert torch.equal(result, tv.hflip(cut) if turn else cut)


def test_every_place_and_both_sides_are_drawn_evenly():
    images = torch.zeros(4000, 1, 5, 5)
    images[:, :, 2, 2], images[:, :, 2, 3] = 1.0, 0.5  # which way the second lies tells the mirror
    found = augmented(CropFlip(pad=1), images, [str(i) for i in range(4000)])
    peaks = (found == 1).flatten(1).int().argmax(1)
    places, counts = peaks.unique(return_counts=True)
    assert places.tolist() == [6, 7, 8, 11, 12, 13, 16, 17, 18]
    assert counts.min() > 4000 / 9 * 0.8
    turned = (found.flatten(1).gather(1, (peaks - 1)[:, None]) == 0.5).float().mean()
    assert abs(turned - 0.5) < 0.03


def test_no_mirror_and_no_pad_change_nothing():
    images = pictures()
    assert torch.equal(augmented(CropFlip(pad=0, mirror=0), images, list("abcdefg")), images)
    assert torch.equal(augmented(CropFlip(pad=0, mirror=1), images, list("abcdefg")), images.flip(3))


def test_a_sample_gets_the_same_in_any_batch():
    images, ids = pictures(), list("abcdefg")
    whole = augmented(CropFlip(), images, ids)
    order = [4, 0, 6]
    assert torch.equal(augmented(CropFlip(), images[order], [ids[i] for i in order]), whole[order])
    assert not torch.equal(augmented(CropFlip(), images, ids, seed=1), whole)


def test_bad_parameters_are_told():
    with pytest.raises(ParameterError, match="pad=12 would cut images of 12 pixels"):
        augmented(CropFlip(pad=12), pictures(1), ["a"])
    with pytest.raises(ParameterError, match="mirror"):
        CropFlip(mirror=1.5)
    with pytest.raises(ParameterError, match="pad"):
        CropFlip(pad=-1)
