"""Targets and losses of a detector by cells, by hand, and a training that learns squares."""

import math

import pytest
import torch

from tests.tasks.detection.scenes import SIDE, scenes
from unshaken.core.errors import DataError
from unshaken_papers.coco_o.cell_detector import CellDetector
from unshaken_papers.coco_o.cell_training import (
    LEAST_SPREAD,
    box_loss,
    focal_loss,
    inside_targets,
    peak_targets,
    train_cells,
)

NONE = [0.0, 0, 0, 0, -1]


def test_a_peak_stands_at_the_centre_with_its_box():
    boxes = torch.tensor([[[2.0, 2, 10, 6, 1], NONE]])
    heat, found = peak_targets(boxes, (4, 4), 4, 2)
    assert (heat == 1).nonzero().tolist() == [[0, 1, 1, 1]]  # (6, 4) lies in the cell of column 1, row 1
    assert heat[0, 1, 1, 2].item() == pytest.approx(math.exp(-1 / (2 * LEAST_SPREAD**2)))
    assert heat[0, 0].sum() == 0
    assert found[0, 1, 1].tolist() == [2, 2, 10, 6]
    assert found.isfinite().all(-1).sum() == 1


def test_large_objects_have_wide_peaks():
    heat, _ = peak_targets(torch.tensor([[[0.0, 0, 128, 128, 0]]]), (32, 32), 4, 1)
    spread = 32 * (0.3 / 1.7) / 3
    assert heat[0, 0, 16, 18].item() == pytest.approx(math.exp(-4 / (2 * spread**2)))


def test_of_two_objects_the_smaller_one_has_the_cell():
    boxes = torch.tensor([[[0.0, 0, 16, 16, 0], [1.0, 1, 7, 7, 1]]])
    heat, found = inside_targets(boxes, (4, 4), 4, 2)
    assert heat[0, 1].nonzero().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert heat[0, 0].sum() == 12
    assert found[0, 1, 1].tolist() == [1, 1, 7, 7]
    empty, nowhere = inside_targets(torch.zeros(1, 0, 5), (2, 2), 4, 2)
    assert empty.sum() == 0
    assert nowhere.isnan().all()


def test_losses_by_hand():
    logits, heat = torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, 0.5]]]])
    one = -math.log(0.5) * 0.25
    assert focal_loss(logits, heat).item() == pytest.approx(one + one * 0.5**4)
    assert focal_loss(logits, torch.zeros(1, 1, 1, 2)).item() == pytest.approx(2 * one)  # divided by 1 at least
    sides = torch.full((1, 4, 1, 1), 2.0)  # a square of 4 around (2, 2)
    assert box_loss(sides, torch.tensor([[[[0.0, 0, 4, 4]]]]), 4).item() == pytest.approx(0, abs=1e-5)
    assert box_loss(sides, torch.tensor([[[[0.0, 0, 4, 2]]]]), 4).item() == pytest.approx(0.5, abs=1e-5)
    assert box_loss(sides, torch.full((1, 1, 1, 4), torch.nan), 4) == 0


def learned(**options):
    data = scenes(24)
    boxes = torch.full((24, 2, 5), -1.0)
    for image, (x, y, w, h), label in zip(data.boxes.ids, data.boxes.boxes * SIDE, data.boxes.classes, strict=True):
        row = boxes[int(image)]
        row[int((row[:, 4] >= 0).sum())] = torch.tensor([x - w / 2, y - h / 2, x + w / 2, y + h / 2, label])
    torch.manual_seed(0)
    net = CellDetector(2, width=16, depth=2)
    return net, data.images, boxes, train_cells(net, data.images, boxes, batch_size=8, lr=0.01, **options)


def test_squares_are_learned_and_the_seed_decides():
    net, images, boxes, losses = learned(steps=40, seed=1)
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    assert not net.training
    with torch.no_grad():
        found = net(images[1:2].float() / 255)[0]
    assert found["labels"][0] == boxes[1, 0, 4]
    assert losses[:3] == learned(steps=3, seed=1)[3] or math.isclose(losses[0], learned(steps=3, seed=1)[3][0])


def test_augmentation_is_shown_in_the_place_of_images():
    seen = []
    learned(steps=2, augment=lambda images, rng: seen.append((images.max().item(), len(rng.keys))) or images)
    assert seen == [(pytest.approx(230 / 255), 8)] * 2


def test_images_and_boxes_must_go_together():
    net = CellDetector(2, width=16, depth=1)
    with pytest.raises(DataError, match="2 images and boxes of 3: as many are needed"):
        train_cells(net, torch.zeros(2, 3, 8, 8), torch.zeros(3, 1, 5), steps=1)
    with pytest.raises(DataError, match="with an object at least"):
        train_cells(net, torch.zeros(2, 3, 8, 8), torch.full((2, 1, 5), -1.0), steps=1)


def test_a_centre_outside_of_the_image_is_at_the_nearest_cell():
    heat, found = peak_targets(torch.tensor([[[-20.0, 4.0, -4.0, 8.0, 0.0]]]), (8, 8), 4, 1)
    assert found.isfinite().all(-1).nonzero().tolist() == [[0, 1, 0]]
    assert int(heat.argmax()) == 8
