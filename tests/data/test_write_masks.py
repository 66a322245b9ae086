"""Masks of a view become files of the photos' sizes, and read again they are the same masks."""

import numpy as np
import pytest
import torch
from PIL import Image

from unshaken.core.classifier import View
from unshaken.core.errors import DataError
from unshaken.data import load_data
from unshaken.data.boxes import object_masks
from unshaken.data.write_masks import write_object_masks


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
