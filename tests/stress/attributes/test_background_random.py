"""Backgrounds of other pictures."""

import numpy as np
import pytest
import torch
from PIL import Image

from unshaken.core.errors import DataError
from unshaken.data import stream
from unshaken.stress.attributes import background_random
from unshaken.stress.attributes.background_random import BackgroundRandom


def test_the_background_is_one_of_the_pictures(keeps_the_object, stacked):
    tints = torch.linspace(0, 1, 5).view(5, 1, 1, 1).expand(5, 3, 20, 24)
    drawn = set()
    for seed in range(5):
        found = keeps_the_object(BackgroundRandom().with_backgrounds(tints), 1, seed)
        for image, mask in zip(found, stacked, strict=True):
            (tint,) = image[~mask.expand_as(image)].unique().tolist()
            drawn.add(round(tint, 4))
    assert drawn <= {0, 0.25, 0.5, 0.75, 1}
    assert len(drawn) > 2


def test_pictures_are_read_from_data(keeps_the_object, stacked, tmp_path):
    Image.fromarray(np.full((60, 90, 3), 51, np.uint8)).save(tmp_path / "one.png")
    found = keeps_the_object(BackgroundRandom(pictures=f"folder:{tmp_path}"))
    assert found[~stacked.expand_as(found)].unique().tolist() == pytest.approx([0.2])


def test_pictures_are_read_once_for_each_size(pictures, masks, tmp_path, monkeypatch):
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    Image.fromarray(levels).save(tmp_path / "one.png")
    reads = []
    monkeypatch.setattr(background_random, "stream", lambda *a, **o: reads.append(a) or stream(*a, **o))
    small = pictures.with_images(pictures.images[:, :, :16, :16])
    edit = BackgroundRandom(pictures=f"folder:{tmp_path}")
    edit = edit.with_masks({name: torch.eye(16, dtype=torch.bool) for name in masks})
    made = [edit.apply(small[slice(i, i + 1)], 1).images for i in range(3)]
    assert len(reads) == 1
    around = ~torch.eye(16, dtype=torch.bool)
    wanted = torch.from_numpy(levels).permute(2, 0, 1).float() / 255
    assert all(torch.equal(image[0][:, around], wanted[:, around]) for image in made)
    half = small.with_images(small.images[:, :, :8, :8])
    edit.with_masks({name: torch.eye(8, dtype=torch.bool) for name in masks}).apply(half, 1)
    assert len(reads) == 2


def test_textures_are_made_where_no_pictures_are_given(keeps_the_object, stacked):
    found = keeps_the_object(BackgroundRandom())
    around = [image[~mask.expand_as(image)].view(3, -1) for image, mask in zip(found, stacked, strict=True)]
    assert all(float(x.std(1).max()) > 0.01 for x in around)
    assert not torch.equal(around[0].mean(1), around[1].mean(1))


def test_no_pictures_are_refused(pictures, masks):
    with pytest.raises(DataError, match="there are no backgrounds"):
        BackgroundRandom().with_masks(masks).with_backgrounds(torch.zeros(0, 3, 8, 8)).apply(pictures, 1)
