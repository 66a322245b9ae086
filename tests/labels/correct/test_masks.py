"""The rule of correction: the card's table, what it leaves alone, and its options."""

from __future__ import annotations

import pytest
import torch

from unshaken.core.masks import IGNORED
from unshaken.labels.correct.masks import classes_present, correct_masks, is_confident

ON_1 = torch.tensor([False, True, False])
TABLE = [
    ((0.05, 0.92, 0.03), 0, 1),
    ((0.75, 0.20, 0.05), 1, 0),
    ((0.30, 0.65, 0.05), 0, 0),
    ((0.10, 0.05, 0.85), 1, 1),
    ((0.69, 0.31, 0.0), 1, 1),
]
"""Probabilities of a pixel, its label, and what it becomes; class 1 is on, the mask has the classes 0 and 1."""


def correct(probabilities, labels, on=ON_1, sure=0.7, **options):
    return correct_masks(labels, probabilities.argmax(1), is_confident(probabilities, sure, sure), on, **options)


@pytest.fixture
def table():
    probabilities = torch.tensor([p for p, _, _ in TABLE]).T[None, :, None, :]
    return probabilities, torch.tensor([[[label for _, label, _ in TABLE]]], dtype=torch.uint8)


@pytest.fixture
def many():
    g = torch.Generator().manual_seed(0)
    probabilities = torch.randn(6, 4, 9, 7, generator=g).mul(2).softmax(1)
    labels = torch.randint(0, 4, (6, 9, 7), generator=g).to(torch.uint8)
    labels[torch.rand(labels.shape, generator=g) < 0.1] = IGNORED
    labels[0][labels[0] == 2] = 0
    return probabilities, labels


def test_the_table_of_pixels(table):
    probabilities, labels = table
    found = correct(probabilities, labels)
    assert found.dtype == torch.uint8
    assert found.flatten().tolist() == [new for _, _, new in TABLE]


def test_nothing_changes_without_a_class_or_without_confidence(many):
    probabilities, labels = many
    none = torch.zeros(4, dtype=torch.bool)
    assert torch.equal(correct(probabilities, labels, none), labels)
    assert torch.equal(correct(probabilities, labels, ~none, sure=1.0), labels)
    assert not torch.equal(correct(probabilities, labels, ~none), labels)


@pytest.mark.parametrize("constraint", ["both", "single"])
def test_it_is_idempotent(many, constraint):
    probabilities, labels = many
    on = torch.tensor([False, True, True, False])
    once = correct(probabilities, labels, on, constraint=constraint)
    assert torch.equal(correct(probabilities, once, on, constraint=constraint), once)


def test_every_changed_pixel_obeys_the_rule_pixel_by_pixel(many):
    probabilities, labels = many
    on = torch.tensor([False, True, True, False])
    found = correct(probabilities, labels, on)
    for n, row, column in torch.cartesian_prod(*map(torch.arange, labels.shape)).tolist():
        label, q = int(labels[n, row, column]), probabilities[n, :, row, column]
        predicted = int(q.argmax())
        image = {int(v) for v in labels[n].unique()}
        sure = float(q[1:].max()) > 0.7 or float(q[0]) > 0.7
        free = label in (0, 1, 2) and predicted in (0, 1, 2)
        changes = sure and free and (predicted in image or predicted == 0) and bool(image & {1, 2})
        assert int(found[n, row, column]) == (predicted if changes else label)


def test_a_single_constraint_asks_nothing_of_the_label(table):
    probabilities, labels = table
    labels = labels.clone()
    labels[0, 0, 1] = 2
    assert correct(probabilities, labels)[0, 0, 1] == 2
    assert correct(probabilities, labels, constraint="single")[0, 0, 1] == 0


def test_a_mask_of_background_alone_is_corrected_under_the_single_constraint(table):
    probabilities, _ = table
    bare = torch.zeros(1, 1, 5, dtype=torch.uint8)
    assert torch.equal(correct(probabilities, bare), bare)
    assert correct(probabilities, bare, constraint="single").flatten().tolist() == [1, 0, 0, 0, 0]


def test_a_mask_that_would_be_emptied_is_left_under_the_single_constraint():
    background = torch.tensor([0.9, 0.05, 0.05]).view(1, 3, 1, 1).expand(1, 3, 10, 10)
    labels = torch.zeros(1, 10, 10, dtype=torch.uint8)
    labels[0, :2] = 1
    assert not correct(background, labels).any()
    assert torch.equal(correct(background, labels, constraint="single"), labels)


def test_pixels_may_be_ignored_instead(table):
    probabilities, labels = table
    assert correct(probabilities, labels, ignore="changed").flatten().tolist() == [IGNORED, IGNORED, 0, 1, 1]
    assert correct(probabilities, labels, ignore="removed").flatten().tolist() == [1, IGNORED, 0, 1, IGNORED]


def test_only_masks_with_a_class_that_is_due_are_touched(many):
    probabilities, labels = many
    on = torch.tensor([False, True, True, False])
    found = correct(probabilities, labels, on, due=torch.tensor([False, False, True, False]))
    assert torch.equal(found[0], labels[0])
    assert torch.equal(found[1:], correct(probabilities, labels, on)[1:])


def test_classes_that_are_present():
    labels = torch.tensor([[[0, 2], [IGNORED, 0]], [[IGNORED, 1], [1, 1]]])
    assert classes_present(labels, 3).tolist() == [[True, False, True], [False, True, False]]
