"""The end of early learning: the card's numbers, computed elsewhere with scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from unshaken.core.masks import IGNORED
from unshaken.labels.correct.adele import (
    Curve,
    classes_present,
    correct_masks,
    count_unlearned,
    fit_curve,
    has_started,
    is_confident,
    start_of_correction,
)


def sampled(a, b, c, x):
    return a * (1 - np.exp(-(np.asarray(x, float) ** b) / c))


def published_grid(n):
    return np.linspace(0, n, n)


@pytest.mark.parametrize(("c", "crossing", "start"), [(3, 7.908, 8), (6, 14.816, 15)])
def test_an_exponential_curve_has_its_start_in_closed_form(c, crossing, start):
    assert 1 + c * math.log(10) == pytest.approx(crossing, abs=1e-3)
    change = Curve(0.8, 1.0, c).relative_change(20)
    assert change == pytest.approx(1 - np.exp(-np.arange(20) / c), abs=1e-12)
    values = sampled(0.8, 1.0, c, published_grid(30))
    assert start_of_correction(values, skip=False) == start


def test_the_relative_change_of_c_3():
    change = Curve(0.7, 1.0, 3.0).relative_change(9)
    assert change[[4, 7, 8]] == pytest.approx([0.7364, 0.9030, 0.9305], abs=5e-5)


@pytest.mark.parametrize(("curve", "start"), [((0.7, 0.7, 2.0), 9), ((0.9, 0.5, 1.0), 6), ((0.8, 0.4, 0.5), 4)])
def test_a_curve_without_noise_is_found_again(curve, start):
    values = sampled(*curve, published_grid(20))
    found = fit_curve(values)
    assert (found.a, found.b, found.c) == pytest.approx(curve, abs=1e-4)
    assert start_of_correction(values, skip=False) == start


def test_the_grid_matters():
    values = sampled(0.8, 1.0, 3.0, np.arange(1, 21))
    published, epochs = fit_curve(values), fit_curve(values, "epochs")
    assert (published.a, published.b, published.c) == pytest.approx((0.803, 0.758, 1.736), abs=2e-3)
    assert (epochs.a, epochs.b, epochs.c) == pytest.approx((0.8, 1.0, 3.0), abs=1e-3)
    assert start_of_correction(values, skip=False) == 7
    assert start_of_correction(values, skip=False, grid="epochs") == 8


def test_epochs_before_a_class_is_learned_are_left_out():
    values = [0, 0.01, 0.02, *sampled(0.8, 1.0, 3.0, np.arange(1, 21))]
    assert count_unlearned(values) == 2
    found = fit_curve(values[2:])
    assert (found.a, found.b, found.c) == pytest.approx((0.8, 1.0, 3.149), abs=2e-3)
    assert start_of_correction(values, epochs=40) == 11


def test_a_slow_class_is_corrected_all_the_same():
    values = sampled(0.8, 0.5, 4.0, np.arange(1, 41))
    assert np.diff(values).max() == pytest.approx(0.061, abs=1e-3)
    assert count_unlearned(values, learned=None) == 39  # down to the last point, as published
    assert start_of_correction(values, epochs=40, learned=None) is None
    assert count_unlearned(values) == 0
    assert start_of_correction(values, epochs=40) < 39


def test_two_points_and_broken_curves_tell_nothing():
    assert fit_curve([0.1, 0.5]) is None
    assert start_of_correction([0.1, 0.5]) is None
    assert fit_curve([0.2, np.nan, 0.3, 0.4]) is None
    assert start_of_correction(np.zeros(8)) is None


def test_values_above_one_are_taken_for_no_change():
    steeper = Curve(0.8, 0.5, 1e-2)
    assert (steeper.relative_change(5) <= 1).all()


def test_a_class_starts_after_the_epoch_that_follows():
    assert [has_started(3, n) for n in (3, 4, 5)] == [False, True, True]
    assert not has_started(None, 40)


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


@pytest.mark.parametrize(
    ("before", "left", "changes"),
    [(20, 7, True), (20, 5, True), (20, 4, False), (8, 4, True), (8, 3, False)],
)
def test_what_counts_as_emptied_by_hand(before, left, changes):
    """Of 100 pixels: more than 95 of background, and more than half of the foreground lost."""
    labels = (torch.arange(100) < before).view(1, 10, 10).to(torch.uint8)
    predicted = (torch.arange(100) < left).view(1, 10, 10).long()
    found = correct_masks(labels, predicted, torch.ones(1, 10, 10, dtype=torch.bool), ON_1, constraint="single")
    assert int(found.sum()) == (left if changes else before)


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


def test_pixels_of_background_that_stay_background_are_not_ignored():
    given, predicted = torch.tensor([[[0, 1], [1, 2]]]), torch.tensor([[[0, 0], [1, 2]]])
    on, unsure = torch.ones(3, dtype=torch.bool), torch.zeros_like(given, dtype=torch.bool)
    found = correct_masks(given, predicted, unsure, on, ignore="removed")
    assert found.tolist() == [[[0, IGNORED], [1, 2]]]
