"""The attack through the noise against a linear classifier, where clean, attacked and certified are known."""

from __future__ import annotations

import torch

from unshaken.certify.smoothing.smoothing import Smoothing
from unshaken.certify.smoothing.smoothing_attack import SmoothingAttack, winner


def test_a_sample_falls_just_beyond_its_exact_radius(plane):
    distances, method = [0.1, 0.3, 0.5, -0.4], SmoothingAttack(sigma=0.25, n=2000)
    _, found, _ = plane.rows(method, plane.batch(*distances), [0.2, 0.4, 0.45])
    right = [[r["correct"] for r in part] for part in found]
    assert right == [[False, True, True, False], [False, False, True, False], [False, False, True, False]]
    for part, eps in zip(found, (0.2, 0.4, 0.45), strict=True):
        assert max(r["distance"] for r in part) <= eps * (1 + 1e-6)
    moved = [[r["distance"] > 0 for r in part] for part in found]
    assert moved == [[True, False, False, False], [True, True, False, False], [True, True, False, False]]
    assert found[0][0]["distance"] == found[2][0]["distance"]  # the nearer example stands


def test_no_example_lies_within_a_certified_radius(plane):
    samples = plane.batch(0.05, 0.1, 0.2, 0.3, 0.4)
    certified = Smoothing(sigma=0.25, n=5000).certify(plane.counted(), samples)
    _, found, _ = plane.rows(SmoothingAttack(sigma=0.25), samples, [r / 20 for r in range(1, 11)])
    for part in found:
        for row, radius in zip(part, certified.radius.tolist(), strict=True):
            assert row["correct"] or row["distance"] > radius


def test_an_example_must_beat_chance():
    """A point on the border gets either class by luck: it does not count."""
    counts = torch.tensor([[500, 500], [530, 470], [560, 440], [440, 560]])
    assert winner(counts, 0.001).tolist() == [-1, -1, 0, 1]
