import dataclasses

import pytest
import torch

from unshaken.core.errors import DataError
from unshaken.explain.metrics.wsol import WSOL, choose_threshold


def blob(left, top, right, bottom, side=20, height=1.0):
    """A map with one filled box, ends excluded."""
    found = torch.zeros(1, side, side)
    found[0, top:bottom, left:right] = height
    return found


@pytest.mark.parametrize(("convention", "iou"), [("pixels", 0.142857), ("corners", 0.109589)])
def test_the_two_conventions_of_boxes(drawn, convention, iou):
    """(0, 0, 9, 9) against (5, 5, 14, 14), in numbers of the last pixel."""
    case = drawn(blob(0, 0, 10, 10), boxes=[torch.tensor([[5.0, 5, 15, 15]])])
    assert WSOL(value="iou", convention=convention).judge(case).value.item() == pytest.approx(iou, abs=1e-6)


def test_half_of_the_image_is_no_hit_and_more_is(drawn):
    whole = [torch.tensor([[0.0, 0, 100, 100]])]
    assert WSOL(value="iou").judge(drawn(blob(0, 0, 100, 50, 100), boxes=whole)).value.tolist() == [0.5]
    assert WSOL().judge(drawn(blob(0, 0, 100, 50, 100), boxes=whole)).value.tolist() == [0]
    assert WSOL().judge(drawn(blob(0, 0, 100, 51, 100), boxes=whole)).value.tolist() == [1]


def test_the_largest_blob_counts_and_any_box_will_do(drawn):
    maps = blob(0, 0, 3, 3) + blob(10, 10, 15, 15, height=0.6)
    boxes = [torch.tensor([[0.0, 0, 3, 3], [10, 10, 15, 15]])]
    assert WSOL(value="iou").judge(drawn(maps, boxes=boxes)).value.tolist() == [1]
    assert WSOL(value="iou").judge(drawn(maps, boxes=[boxes[0][:1]])).value.tolist() == [0]
    assert WSOL(value="iou", threshold=0.7).judge(drawn(maps, boxes=[boxes[0][:1]])).value.tolist() == [1]


def test_the_threshold_is_chosen_on_other_images(drawn):
    """A core of 1 in a halo of 0.42: the box is the core, found from 0.45 on; the lowest such threshold is taken."""
    maps = blob(5, 5, 10, 10, height=0.58) + blob(0, 0, 20, 20, height=0.42) * (torch.arange(20) < 19)
    case = drawn(maps, boxes=[torch.tensor([[5.0, 5, 10, 10]])])
    chosen = choose_threshold(case, WSOL(iou=0.6), judged=["other"])
    assert (chosen.threshold, chosen.iou) == (0.45, 0.6)
    with pytest.raises(DataError, match="choose on others"):
        choose_threshold(case, judged=["0", "other"])
    with pytest.raises(DataError, match="no image that should choose"):
        choose_threshold(dataclasses.replace(case, boxes=[torch.zeros(0, 4)]), judged=[])


def test_negative_values_may_be_left_out(drawn):
    """Between -1 and 1 the ground of 0 is at one half, above the threshold; from 0 on it is at 0."""
    maps = blob(5, 5, 10, 10) - blob(15, 15, 20, 20)
    case = drawn(maps, boxes=[torch.tensor([[5.0, 5, 10, 10]])])
    assert WSOL(value="iou").judge(case).value.item() == pytest.approx(25 / 400)
    assert WSOL(value="iou", clip=True).judge(case).value.tolist() == [1]
