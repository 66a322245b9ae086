"""Masks of objects: their names, written and read, and maps cut as photos are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from unshaken.core.classifier import View
from unshaken.core.errors import DataError
from unshaken.data import load_data
from unshaken.data.object_masks import find_shared, map_in_view, mask_name, object_masks, write_object_masks


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


def photos(folder, sizes):
    folder.mkdir()
    for name, (width, height) in sizes.items():
        path = folder / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(path)
    return load_data(f"folder:{folder}")


def read(path):
    with Image.open(path) as opened:
        return np.asarray(opened) > 0


@pytest.mark.parametrize(
    "view", [View(16, 16), View(16, 16, resize=20), View(12, 20, resize=24), View(24, 24, fit="letterbox")], ids=str
)
def test_masks_are_read_as_they_were_written(tmp_path, view):
    dataset = photos(tmp_path / "photos", {"x/a": (96, 64), "x/b": (64, 128), "y/c": (80, 80)})
    masks = torch.zeros(3, view.height, view.width, dtype=torch.bool)
    masks[:, 3:9, 2:11] = True
    write_object_masks(str(tmp_path / "masks"), masks, dataset, range(3), view)
    assert read(tmp_path / "masks/x/a.png").shape == (64, 96)
    found = object_masks(str(tmp_path / "masks"), dataset, range(3), view)
    assert (found == masks).float().mean().item() > 0.97  # an edge may move by a pixel where sizes do not divide
    write_object_masks(str(tmp_path / "whole"), masks[:1] | True, dataset, [0], view)
    whole = read(tmp_path / "whole/x/a.png")
    assert (0 < whole.mean() < 1) == (view.fit == "cut")  # what the view cuts off is no object
    assert whole[32, 48]


def test_masks_without_a_view_are_the_photo(tmp_path):
    dataset = photos(tmp_path / "photos", {"a": (7, 5)})
    mask = torch.rand(1, 5, 7, generator=torch.Generator().manual_seed(0)) > 0.5
    write_object_masks(str(tmp_path / "masks"), mask, dataset, [0], None)
    assert torch.equal(object_masks(str(tmp_path / "masks"), dataset, [0], None), mask)


def test_files_stay_in_the_folder(tmp_path):
    dataset = photos(tmp_path / "photos", {"a": (7, 5)})
    dataset.ids = ("../a.png",)
    with pytest.raises(DataError, match="outside of"):
        write_object_masks(str(tmp_path / "masks"), torch.ones(1, 5, 7, dtype=torch.bool), dataset, [0], None)
    (tmp_path / "file").write_text("")
    dataset.ids = ("a.png",)
    with pytest.raises(DataError, match="cannot be written"):
        write_object_masks(str(tmp_path / "file"), torch.ones(1, 5, 7, dtype=torch.bool), dataset, [0], None)


VALUES = np.arange(32 * 48, dtype=np.float64).reshape(32, 48) + 0.125


@pytest.fixture
def photo(tmp_path):
    Image.new("RGB", (48, 32)).save(tmp_path / "a.png")
    return tmp_path


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (None, VALUES),
        (View(32, 32), VALUES[:, 8:40]),
        (View(16, 16), VALUES[1::2, 9:41:2]),
        (View(32, 48, fit="whole"), VALUES),
        (View(48, 48, fit="letterbox"), np.pad(VALUES, ((8, 8), (0, 0)), constant_values=VALUES.max())),
        (View(40, 40, resize=32), np.pad(VALUES[:, 4:44], ((4, 4), (0, 0)), constant_values=VALUES.max())),
    ],
    ids=["as it is", "cut", "halved and cut", "whole", "letterbox", "larger"],
)
def test_pixels_are_where_the_model_sees_them(photo, view, expected):
    found = map_in_view(VALUES, load_data(f"folder:{photo}"), 0, view)
    assert np.array_equal(found, expected)


def test_a_map_of_what_the_model_sees_stays(photo):
    dataset, seen = load_data(f"folder:{photo}"), np.ones((16, 16))
    assert map_in_view(seen, dataset, 0, View(16, 16)) is seen
    sized = load_data(f"folder:{photo}?size=32")
    assert np.array_equal(map_in_view(VALUES, sized, 0, View(16, 16)), VALUES[:, 8:40])
