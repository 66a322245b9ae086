"""The file of a sample's mask, and samples that would share one."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from unshaken.core.errors import DataError
from unshaken.data import load_data
from unshaken.data.boxes import object_masks
from unshaken.data.mask_names import find_shared, mask_name


@pytest.mark.parametrize(
    ("sample", "name"), [("a.jpg", "a.png"), ("x/a.tar.png", "x/a.tar.png"), ("7", "7.png"), ("x.y/7", "x.y/7.png")]
)
def test_a_mask_is_called_as_its_sample_but_for_the_ending(sample, name):
    assert mask_name(sample) == name


@pytest.mark.parametrize("sample", ["", ".", "/", "..", "a/.."])
def test_any_id_has_a_name(sample):
    assert mask_name(sample).endswith(".png")


def test_samples_that_differ_in_the_ending_alone_are_found():
    assert find_shared(["x/a.jpg", "b.jpg", "y/a.jpg", "x/a.png", "x/a.gif"]) == {"x/a.png": ("x/a.jpg", "x/a.png")}


def test_a_mask_of_two_samples_is_refused_and_one_of_another_sample_read(tmp_path):
    for folder in ("photos", "masks"):
        (tmp_path / folder).mkdir()
    for name in ("a.jpg", "a.png", "b.png"):
        Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(tmp_path / "photos" / name)
    for name in ("a.png", "b.png"):
        Image.fromarray(np.full((4, 5), 255, np.uint8)).save(tmp_path / "masks" / name)
    data, masks = load_data(f"folder:{tmp_path}/photos"), str(tmp_path / "masks")
    assert object_masks(masks, data, [2], None).all()
    for index in (0, 1):
        with pytest.raises(DataError, match=r"the mask 'a\.png' in .* would be that of both 'a\.jpg' and 'a\.png'"):
            object_masks(masks, data, [index], None)
    (tmp_path / "masks" / "a.png").unlink()
    assert not object_masks(masks, data, [0, 1, 2], None)[:2].any()  # without a file there is nothing to mistake
