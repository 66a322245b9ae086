"""Samples that travel together, and the range of pixels."""

from __future__ import annotations

import pytest
import torch

from unshaken.core import Batch
from unshaken.core.batch import BATCH_NUMBERS, batch_for, in_unit_range, usual_batch
from unshaken.core.errors import DataError


def three(labels=True):
    images = torch.arange(12).float().view(3, 1, 2, 2) / 12
    return Batch(images, torch.tensor([5, 6, 7]) if labels else None, ("a", "b", "c"))


@pytest.mark.parametrize(
    ("rows", "left"),
    [(torch.tensor([True, False, True]), "ac"), (torch.tensor([2, 2, 0]), "cca"), (slice(1, 3), "bc")],
)
@pytest.mark.parametrize("labels", [True, False])
def test_rows_keep_image_label_and_id_together(rows, left, labels):
    got = three(labels)[rows]
    assert "".join(got.ids) == left
    places = ["abc".index(i) for i in left]
    assert torch.equal(got.images, three().images[places])
    if labels:
        assert got.labels.tolist() == [5 + p for p in places]
    assert (got.labels is None) is not labels


def test_concat():
    both = Batch.concat([three()[slice(2, 3)], three()[slice(0, 1)]])
    assert both.ids == ("c", "a")
    assert both.labels.tolist() == [7, 5]
    assert Batch.concat([three(False), three(False)]).labels is None


@pytest.mark.parametrize(
    ("images", "labels", "ids", "words"),
    [
        (torch.zeros(2, 3, 3), None, "ab", r"float \[N, C, H, W\], not torch.float32 of shape \(2, 3, 3\)"),
        (torch.zeros(2, 1, 3, 3, dtype=torch.uint8), None, "ab", "not torch.uint8"),
        (torch.zeros(2, 1, 3, 3), None, "abc", "2 images came with 3 ids"),
        (torch.zeros(2, 1, 3, 3), torch.zeros(2), "ab", "labels must be int64 of shape"),
        (torch.zeros(2, 1, 3, 3), torch.zeros(3, dtype=torch.int64), "ab", r"labels must be int64 of shape \(2,\)"),
        (torch.zeros(2, 1, 3, 3), torch.zeros(2, 1, dtype=torch.int64), "ab", "labels must be"),
    ],
)
def test_parts_that_do_not_fit_are_refused(images, labels, ids, words):
    with pytest.raises(DataError, match=words):
        Batch(images, labels, tuple(ids))


def test_unit_range_clips_what_rounding_left():
    x = torch.tensor([-5e-5, 0.5, 1 + 5e-5])
    assert in_unit_range(x, "x").tolist() == [0.0, 0.5, 1.0]
    inside = torch.tensor([0.0, 1.0])
    assert in_unit_range(inside, "x") is inside
    assert in_unit_range(torch.zeros(0), "x").shape == (0,)


@pytest.mark.parametrize("value", [255.0, -0.01, 1.001, float("nan"), float("inf")])
def test_other_ranges_are_refused_with_the_range(value):
    with pytest.raises(DataError, match=r"photos: pixel values run from .* not within \[0, 1\]; divide"):
        in_unit_range(torch.tensor([0.5, value]), "photos")


def test_boxes_and_masks_travel_too():
    boxes = torch.arange(42.0).view(3, 2, 7)
    masks = torch.arange(12).view(3, 2, 2)
    whole = Batch(three().images, masks, ("a", "b", "c"), boxes)
    part = whole[torch.tensor([False, True, False])]
    assert torch.equal(part.boxes, boxes[1:2])
    assert torch.equal(part.labels, masks[1:2])
    other = whole.with_images(torch.zeros(3, 1, 2, 2))
    assert float(other.images.sum()) == 0
    assert other.boxes is boxes
    moved = whole.to("meta")
    assert {t.device.type for t in (moved.images, moved.labels, moved.boxes)} == {"meta"}
    assert three(False).to("meta").labels is None
    few = Batch(three().images[:1], None, ("d",), boxes[:1, :1])
    both = Batch.concat([whole, few])
    assert both.boxes.shape == (4, 2, 7)
    assert both.labels is None
    assert Batch.concat([few, three(False)]).boxes is None
    assert Batch.concat([few]) is few


@pytest.mark.parametrize("shape", [(3, 7), (2, 1, 7), (3, 1, 6), (3, 1, 2, 7)])
def test_boxes_that_do_not_fit_are_refused(shape):
    with pytest.raises(DataError, match=r"^boxes must be \[3, M, 7\], not of shape"):
        Batch(three().images, None, ("a", "b", "c"), torch.zeros(shape))


def test_large_images_come_in_small_batches():
    numbers = (1, 4096, 5000, 3 * 224 * 224, 3 * 512 * 512)
    assert [usual_batch(n, "cpu") for n in numbers] == [256, 256, 209, 6, 4]
    assert [usual_batch(n, "cuda:1") for n in numbers] == [512, 512, 512, 55, 10]
    assert usual_batch(3 * 1024 * 1024, torch.device("cuda")) == 8
    images = torch.zeros(1, 3, 224, 224)
    assert (batch_for(images), batch_for(images, torch.device("cuda"))) == (6, 55)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("side", [32, 224, 1000, 2000, 3344, 3345, 4000, 8000, 20000])
def test_the_images_of_a_pass_are_bounded_in_bytes(side, device):
    numbers = 3 * side**2
    assert 4 * numbers * usual_batch(numbers, device) <= max(512 * 2**20, 4 * numbers)
    assert 4 * BATCH_NUMBERS == 512 * 2**20


def test_all_rows_in_order_are_the_batch_itself():
    batch = three()
    assert batch[torch.tensor([0, 1, 2])] is batch
    assert batch[torch.tensor([True, True, True])] is batch
    assert batch[torch.tensor([0, 1])].images.data_ptr() != batch.images.data_ptr()
