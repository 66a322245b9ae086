"""Boxes from cells whose scores and distances are set by hand."""

import pytest
import torch

from unshaken.models.networks.box_output import BoxOutput
from unshaken_papers.coco_o.cell_detector import CellDetector, centres, corners


def set_cells(detector, logits, sides):
    """A detector whose cells say these logits `[1, K, h, w]` and distances `[1, 4, h, w]`, whatever it sees."""
    detector.cells = lambda images: (logits.expand(len(images), -1, -1, -1), sides.expand(len(images), -1, -1, -1))
    return detector


def test_corners_by_hand():
    assert centres(2, 3, 4, torch.zeros(1)).tolist() == [[[2, 2], [6, 2], [10, 2]], [[2, 6], [6, 6], [10, 6]]]
    sides = torch.tensor([1.0, 2, 3, 4])[None, :, None, None].expand(1, 4, 2, 3)
    assert corners(sides, 4)[0, 1, 2].tolist() == [9, 4, 13, 10]


@pytest.mark.parametrize("decoding", ["peaks", "suppression"])
def test_neighbours_of_a_peak_are_no_boxes(decoding):
    logits, sides = torch.full((1, 2, 4, 4), -9.0), torch.full((1, 4, 4, 4), 8.0)
    logits[0, 1, 1, 1], logits[0, 1, 1, 2] = 2.0, 1.0
    net = set_cells(CellDetector(2, decoding=decoding, width=16, depth=1).eval(), logits, sides)
    (found,) = net(torch.zeros(1, 3, 16, 16))
    assert found["labels"].tolist() == [1]
    assert found["boxes"].tolist() == [[0, 0, 14, 14]]  # 8 pixels around (6, 6), cut at the image's edge
    assert found["scores"].item() == pytest.approx(torch.tensor(2.0).sigmoid().item())


def test_it_is_a_detector_with_gradients():
    torch.manual_seed(0)
    net = BoxOutput(CellDetector(3, width=16, depth=1).eval(), most=4)
    images = torch.rand(2, 3, 16, 24, requires_grad=True)
    found = net(images)
    assert found.shape == (2, 4, 6)
    (gradient,) = torch.autograd.grad(found[..., 5].sum(), images)
    assert gradient.abs().sum() > 0


def test_maps_of_another_network_have_cells_of_its_stride():
    net = CellDetector(2, 5, stride=1, width=16, depth=1, pixels=8).eval()
    logits, sides = net.cells(torch.zeros(1, 5, 3, 4))
    assert logits.shape == (1, 2, 3, 4)
    assert sides.shape == (1, 4, 3, 4)
    assert net.pixels == 8
