"""Masks by a share of a map's largest value and by GrabCut, as rows and as files that edits of attributes read."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from unshaken import audit, explain
from unshaken.core import Classifier, View
from unshaken.core.errors import DataError
from unshaken.explain.masks.object_masks import find_objects, masks_of_maps, refine_by_grabcut
from unshaken.store.run_dir import RunDir


class BrightPatch(nn.Module):
    """Logits from the mean of one map: the brightness; Grad-CAM's map is that brightness."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1, bias=False)
        nn.init.constant_(self.conv.weight, 1 / 3)

    def forward(self, x):
        mean = self.conv(x).mean((2, 3))
        return torch.cat([mean, -mean], 1)


def test_masks_are_written_and_read_by_an_edit(tmp_path):
    (tmp_path / "photos").mkdir()
    for i in range(3):
        photo = np.full((32, 48, 3), 10, np.uint8)
        photo[8:24, 16 + 4 * i : 28 + 4 * i] = 250
        Image.fromarray(photo).save(tmp_path / f"photos/{i}.png")
    model = Classifier(BrightPatch(), name="bright", view=View(32, 32))
    method = f"object-masks:map=cam,out={tmp_path / 'masks'}"
    explain(model, f"folder:{tmp_path / 'photos'}", method, out=tmp_path / "run", workers=1)
    rows = RunDir(tmp_path / "run").rows("object_masks").to_pylist()
    assert [row["object_size"] for row in rows] == [16 * 12 / 32**2] * 3
    with Image.open(tmp_path / "masks/1.png") as opened:
        mask = np.asarray(opened) > 0
    expected = np.zeros((32, 48), bool)
    expected[8:24, 20:32] = True
    assert np.array_equal(mask, expected)
    plan = [{"method": "background-grey", "params": {"masks": str(tmp_path / "masks")}}]
    audit(model, f"folder:{tmp_path / 'photos'}", plan=plan, out=tmp_path / "audit", workers=1)
    edits = RunDir(tmp_path / "audit").rows("attribute_edits").to_pylist()
    assert [(row["object_size"], row["error"]) for row in edits] == [(16 * 12 / 32**2, None)] * 3


def test_photos_whose_masks_would_be_one_file_are_refused_before_any_is_written(tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "b.png", "a.bmp"):
        Image.fromarray(np.full((16, 16, 3), 90, np.uint8)).save(tmp_path / "photos" / name)
    model = Classifier(BrightPatch(), name="bright", view=View(16, 16))
    method = f"object-masks:map=cam,out={tmp_path / 'masks'}"
    with pytest.raises(DataError, match=r"of samples 'a.bmp' and 'a.png' would be one file, a.png: rename one"):
        explain(model, f"folder:{tmp_path / 'photos'}", method, out=tmp_path / "run", workers=1)
    assert not (tmp_path / "masks").exists()


def test_what_exceeds_the_share_is_object():
    maps = torch.tensor([[[0.0, 0.34, 0.36, 1.0]], [[-5.0, -1.0, 0.0, 0.0]], [[-9.0, 2.0, 0.5, 0.8]]])
    assert masks_of_maps(maps, 0.35).int().tolist() == [[[0, 0, 1, 1]], [[0, 0, 0, 0]], [[0, 1, 0, 1]]]


def test_grabcut_finds_the_edges_of_the_picture():
    pytest.importorskip("cv2")
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    square = (rows >= 14) & (rows < 34) & (columns >= 14) & (columns < 34)
    noise = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(0)) * 0.1
    images = torch.where(
        square, torch.tensor([0.8, 0.2, 0.1]).view(3, 1, 1), torch.tensor([0.1, 0.4, 0.2]).view(3, 1, 1)
    )
    images = images + noise
    heat = torch.exp(-((rows - 22) ** 2 + (columns - 25) ** 2) / 200).expand(2, -1, -1)
    masks = masks_of_maps(heat, 0.35)
    found = refine_by_grabcut(images, heat, masks)
    assert (masks[0] == square).float().mean() < 0.95
    assert (found == square).float().mean() > 0.99
    assert torch.equal(refine_by_grabcut(images[1:], heat[1:], masks[1:]), found[1:])
    empty = torch.zeros_like(masks)
    assert torch.equal(refine_by_grabcut(images, heat, empty), empty)


def test_a_net_that_looks_at_a_corner_gives_a_mask_of_it(conv, images):
    masks, forwards, backwards = find_objects(conv, images, torch.zeros(7, dtype=torch.int64))
    assert masks.shape == (7, 20, 16)
    assert (forwards, backwards) == (7, 7)
    some = masks.any(2).any(1)
    assert bool(some.any())
    assert not bool(masks.all())
