"""Boxes of several images as one tensor, by hand."""

from __future__ import annotations

import torch

from unshaken.core.boxes import DETECTION, NONE, OBJECT, join_boxes, shift_boxes, stack_boxes

ONE = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 0.9]])


def test_rows_are_filled_up():
    boxes = stack_boxes([torch.cat([ONE, ONE]), ONE[:0], ONE], DETECTION)
    assert boxes.shape == (3, 2, 6)
    assert torch.equal(boxes[0], torch.cat([ONE, ONE]))
    assert boxes[..., 4].tolist() == [[5, 5], [NONE, NONE], [5, NONE]]
    assert boxes[1].tolist() == [[0, 0, 0, 0, -1, 0]] * 2
    assert stack_boxes([], OBJECT).shape == (0, 0, 7)
    assert stack_boxes([ONE[:0]], 6).shape == (1, 0, 6)


def test_batches_are_joined():
    few, many = ONE[None], torch.cat([ONE, 2 * ONE])[None]
    joined = join_boxes([few, many])
    assert joined.shape == (2, 2, 6)
    assert torch.equal(joined[0], torch.tensor([ONE[0].tolist(), [0, 0, 0, 0, NONE, 0]]))
    assert torch.equal(joined[1], many[0])


def test_boxes_move_against_the_camera_and_are_cut_at_the_border():
    box = torch.tensor([[2.0, 3.0, 6.0, 5.0, 1.0, 0.5, 9.0]])
    moves = torch.tensor([[0, 0], [1, 0], [0, 3], [-4, 0], [0, -3], [5, 0], [0, 6], [-5, 0], [0, -6]])
    found = shift_boxes(box[None].expand(len(moves), 1, 7), moves[:, 0], moves[:, 1], 8, 8)[:, 0]
    assert found[:, :4].tolist() == [
        [2, 3, 6, 5],
        [2, 2, 6, 4],
        [0, 3, 3, 5],
        [2, 7, 6, 8],
        [5, 3, 8, 5],
        [2, 0, 6, 0],
        [0, 3, 0, 5],
        [2, 8, 6, 8],
        [8, 3, 8, 5],
    ]
    assert found[:, 4].tolist() == [1, 1, 1, 1, 1, NONE, NONE, NONE, NONE]
    assert found[:, 5:].tolist() == [[0.5, 9.0]] * 9


def test_images_need_not_be_square():
    found = shift_boxes(torch.tensor([[[0.0, 0.0, 9.0, 9.0, 1.0, 0.5]]]), torch.zeros(1), torch.zeros(1), 4, 6)
    assert found[0, 0, :4].tolist() == [0, 0, 6, 4]
