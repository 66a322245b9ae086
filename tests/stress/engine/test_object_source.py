"""Where masks come from, and the one line for each that cannot be used."""

import numpy as np
import pytest
import torch
from PIL import Image

from unshaken.core import Batch
from unshaken.core.errors import DataError, ModelError, ParameterError
from unshaken.stress.attributes.background_grey import BackgroundGrey
from unshaken.stress.engine.object_source import central_ellipse, find_masks

IMAGES = torch.rand(2, 3, 16, 20, generator=torch.Generator().manual_seed(0))
BATCH = Batch(IMAGES, torch.zeros(2, dtype=torch.int64), ("x/a.jpg", "b"))
SOLUTION = torch.zeros(16, 20, dtype=torch.bool)
SOLUTION[3:9, 4:13] = True


def write(folder, name, mask):
    (folder / "x").mkdir(exist_ok=True)
    Image.fromarray(mask.numpy().astype(np.uint8) * 255).save(folder / name)


def test_the_assumed_ellipse_has_half_the_sides():
    mask = central_ellipse(40, 60)
    assert mask.float().mean().item() == pytest.approx(torch.pi / 16, abs=0.01)
    assert (int(mask.any(1).sum()), int(mask.any(0).sum())) == (20, 30)
    assert torch.equal(mask, mask.flip(0))
    masks, problems = find_masks("centre", IMAGES, BATCH.ids)
    assert problems == {}
    assert torch.equal(masks[1, 0], central_ellipse(16, 20))


def test_a_bright_object_is_found_by_its_grey():
    images = torch.full((1, 1, 16, 20), 0.1)
    images[0, 0][SOLUTION] = 0.9
    masks, _ = find_masks("grey", images, ("a",))
    assert torch.equal(masks[0, 0], SOLUTION)
    assert "empty" in find_masks("grey", torch.full((1, 1, 16, 20), 0.1), ("a",))[1][0]


def test_files_tables_and_functions_give_the_same(tmp_path):
    for name in ("x/a.png", "b.png"):
        write(tmp_path, name, SOLUTION)
    same = SOLUTION.expand(2, 1, 16, 20)
    for source in (str(tmp_path), dict.fromkeys(BATCH.ids, SOLUTION), lambda images: same):
        masks, problems = find_masks(source, IMAGES, BATCH.ids)
        assert problems == {}
        assert torch.equal(masks, same)


@pytest.mark.parametrize("classes", [1, 3])
def test_a_segmentation_model_gives_masks(tmp_path, classes):
    """Bright pixels are the object: the last class of several, or above 0."""
    file = tmp_path / "net.py"
    file.write_text(
        "import torch\nclass Net(torch.nn.Module):\n    def forward(self, x):\n"
        f"        grey = x.mean(1, keepdim=True) - 0.5\n        return torch.cat([-grey] * {classes - 1} + [grey], 1)\n"
        "def make(): return Net()\n"
    )
    masks, problems = find_masks(f"py:{file}:make", IMAGES, BATCH.ids)
    assert problems == {}
    assert torch.equal(masks, IMAGES.mean(1, keepdim=True) > 0.5)
    assert BackgroundGrey(masks=f"py:{file}:make").further_models == (f"py:{file}:make",)


def test_a_classifier_is_no_segmentation_model():
    with pytest.raises(ModelError, match=r"masks='demo:standard' gives logits of shape \(1, 10\), not a class"):
        find_masks("demo:standard", torch.rand(1, 1, 28, 28), ("a",))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.zeros(16, 20, dtype=torch.bool), "its mask is empty: no object is known there"),
        (torch.ones(16, 20, dtype=torch.bool), "its object fills the picture: no background is left"),
        (torch.ones(20, 16, dtype=torch.bool), "its mask is 20 x 16 pixels, the image 16 x 20"),
        (torch.ones(8, 10, dtype=torch.bool), "its mask is 8 x 10 pixels, the image 16 x 20"),
        (None, r"no mask .*b\.png': write the masks of samples as <id>\.png"),
        (b"no picture", r"the mask .*b\.png' cannot be read"),
    ],
    ids=["empty", "full", "turned", "smaller", "absent", "broken"],
)
def test_a_mask_that_cannot_be_used_is_one_line(tmp_path, mask, message):
    write(tmp_path, "x/a.png", SOLUTION)
    if isinstance(mask, bytes):
        (tmp_path / "b.png").write_bytes(mask)
    elif mask is not None:
        write(tmp_path, "b.png", mask)
    edit = BackgroundGrey(masks=str(tmp_path))
    with pytest.raises(DataError, match=f"background-grey: sample 'b' cannot be edited: {message}") as caught:
        edit.apply(BATCH, 1)
    assert "\n" not in str(caught.value)
    edit.apply(BATCH[:1], 1)


def test_what_is_no_source_is_refused():
    with pytest.raises(ParameterError, match="masks='nowhere' is no folder"):
        BackgroundGrey(masks="nowhere").apply(BATCH, 1)
    with pytest.raises(DataError, match="no mask of sample 'b' was given"):
        BackgroundGrey().with_masks({"x/a.jpg": SOLUTION}).apply(BATCH, 1)
