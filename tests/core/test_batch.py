"""Samples that travel together, and the range of pixels."""

from __future__ import annotations

import pytest
import torch

from unshaken.core import Batch
from unshaken.core.batch import in_unit_range
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
