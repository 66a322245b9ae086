from __future__ import annotations

import pytest

from unshaken.harden.engine.monitors import catastrophic_overfitting, robust_overfitting


def curve(**columns):
    return [
        {"epoch": float(i), **dict(zip(columns, row, strict=True))}
        for i, row in enumerate(zip(*columns.values(), strict=True))
    ]


def test_fgsm_withstood_and_pgd_not_is_catastrophic():
    seen = curve(train_fgsm=[0.3, 0.4, 0.9], train_robust=[0.3, 0.38, 0.02])
    message = catastrophic_overfitting(seen)
    assert "epoch 3" in message
    assert "90.0% withstand FGSM but 2.0% PGD (best 38.0%)" in message
    assert catastrophic_overfitting(seen[:2]) is None


def test_a_fall_of_both_is_no_catastrophe():
    assert catastrophic_overfitting(curve(train_fgsm=[0.5, 0.1], train_robust=[0.45, 0.05])) is None
    assert catastrophic_overfitting([{"epoch": 0.0, "loss": 1.0}]) is None


def test_held_out_falls_while_training_rises():
    seen = curve(held_robust=[0.4, 0.5, 0.44, 0.42], train_robust=[0.4, 0.52, 0.7, 0.8], held_attacked=[2000.0] * 4)
    message = robust_overfitting(seen)
    assert "from 50.0% (epoch 2) to 42.0%" in message
    assert robust_overfitting(seen[:2]) is None


def test_a_fall_within_the_noise_of_few_images_is_none():
    seen = curve(held_robust=[0.4, 0.5, 0.44, 0.42], train_robust=[0.4, 0.52, 0.7, 0.8], held_attacked=[100.0] * 4)
    assert robust_overfitting(seen) is None


def test_a_fall_on_training_images_too_is_no_overfitting():
    seen = curve(held_robust=[0.5, 0.4, 0.4], train_robust=[0.6, 0.5, 0.5], held_attacked=[2000.0] * 3)
    assert robust_overfitting(seen) is None


@pytest.mark.parametrize(
    ("fgsm", "robust", "seen"),
    [
        (0.95, [0.8, 0.65], False),  # a fall of 15 points
        (0.95, [0.8, 0.55], True),
        (0.9, [0.3, 0.16], False),  # more than half of the best is left
        (0.9, [0.3, 0.14], True),
        (0.5, [0.8, 0.35], False),  # FGSM lies 15 points above alone
        (0.5, [0.8, 0.25], True),
        (0.9, [0.1], False),
    ],
)
def test_the_bounds_of_a_catastrophe(fgsm, robust, seen):
    curves = curve(train_fgsm=[fgsm] * len(robust), train_robust=robust)
    assert (catastrophic_overfitting(curves) is not None) == seen


@pytest.mark.parametrize(
    ("held", "n", "seen"),
    [
        ([0.5, 0.485, 0.485], 1e6, False),  # a fall of a point and a half
        ([0.5, 0.47, 0.47], 1e6, True),
        ([0.5, 0.45, 0.45], 700, False),  # twice the standard error is .053
        ([0.5, 0.45, 0.45], 1000, True),  # and here .0445
        ([0.5, 0.5, 0.4], 1000, True),  # the last two checks count: .45 of them
        ([0.5, 0.52, 0.4], 1000, True),
        ([0.5, 0.4], 1000, False),
    ],
)
def test_the_bounds_of_robust_overfitting(held, n, seen):
    rising = [0.5 + 0.1 * i for i in range(len(held))]
    curves = curve(held_robust=held, train_robust=rising, held_attacked=[float(n)] * len(held))
    assert (robust_overfitting(curves) is not None) == seen
