"""The attack on two smoothed halves of a linear classifier, where the radius is known; what fresh votes show."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import beta
from torch import nn

from unshaken.certify.smoothing.dual_smoothing import DualSmoothing
from unshaken.certify.smoothing.dual_smoothing_attack import DualSmoothingAttack, winner
from unshaken.certify.smoothing.smoothing import vote_logits
from unshaken.certify.smoothing.votes import Tally
from unshaken.core import Batch, Classifier, Oracle
from unshaken.core.context import Context
from unshaken.core.errors import ParameterError
from unshaken.run.adapters import Line, conditions_of, rows_of
from unshaken.store.tables import table_of

HALVES = {"sigma": 0.25, "split": "top-bottom", "expansion": "mask"}


class Mean(nn.Module):
    """Class 1 where the mean over the 32 pixels of a half is above 1/2; the other half is 0."""

    def forward(self, x):
        z = 10 * (x.flatten(1).sum(1) / 32 - 0.5)
        return torch.stack([-z, z], 1)


def oracle():
    return Oracle(Classifier(Mean(), name="mean").eval())


def batch(*means):
    """Images of 8 x 8 pixels of class 1: the value of the upper half, and of the lower one."""
    images = [torch.cat([torch.full((1, 4, 8), upper), torch.full((1, 4, 8), lower)], 1) for upper, lower in means]
    return Batch(
        torch.stack(images), torch.ones(len(means), dtype=torch.int64), tuple(f"s{i}" for i in range(len(means)))
    )


def tally(selected, counts):
    selected, counts = torch.as_tensor(selected), torch.as_tensor(counts)
    none = torch.zeros(len(counts), dtype=torch.int64)
    return Tally(selected, counts, none, none > 0, none, none.double())


def rows(method, samples, radii):
    counted = oracle()
    conditions = conditions_of(method, Line("a", eps=radii, norm="l2"))
    parts = rows_of(method, samples, conditions, Context(counted, 0, counted.exact(samples.images)))
    return [table_of(p).to_pylist() for p in parts], counted


def test_a_sample_falls_just_beyond_its_exact_radius():
    """A half's vote is `Phi((m - 1/2) sqrt(32) / s)`: the sum turns where the two distances add up to 0."""
    means = [(0.52, 0.52), (0.55, 0.55), (0.6, 0.52), (0.45, 0.52)]
    exact = [(a + b - 1) * math.sqrt(32) / math.sqrt(2) for a, b in means]
    assert exact[:3] == pytest.approx([0.16, 0.4, 0.48])
    attack = DualSmoothingAttack(**HALVES, n=3000)
    found, _ = rows(attack, batch(*means), [0.1, 0.3, 0.46, 0.6])
    right = [[row["correct"] for row in part] for part in found]
    assert right == [[True, True, True, False], [False, True, True, False], [False, False, True, False],
                     [False, False, False, False]]  # fmt: skip
    for part, eps in zip(found, (0.1, 0.3, 0.46, 0.6), strict=True):
        assert max(row["distance"] for row in part) <= eps * (1 + 1e-6)


def test_no_example_lies_within_a_certified_radius():
    samples = batch((0.52, 0.53), (0.55, 0.55), (0.6, 0.5), (0.49, 0.62))
    certified = DualSmoothing(**HALVES, n=5000).certify(oracle(), samples)
    assert bool((certified.radius > 0.1).any())
    found, _ = rows(DualSmoothingAttack(**HALVES), samples, [r / 10 for r in range(1, 8)])
    for part in found:
        for row, radius in zip(part, certified.radius.tolist(), strict=True):
            assert row["correct"] or row["distance"] > radius


def test_the_noise_of_the_judge_is_not_the_certificates():
    attack, samples = DualSmoothingAttack(**HALVES, n=300), batch((0.51, 0.5))
    certified = DualSmoothing(**HALVES, n=300).certify(oracle(), samples)
    same, own = (
        attack.count_votes(samples, Context(oracle(), 0, None), stream)
        for stream in ("dual-smoothing", "dual-smoothing-attack: clean")
    )
    assert torch.equal(same.logits, vote_logits(certified.tally))
    assert not torch.equal(own.logits, same.logits)
    assert own.forwards.tolist() == [800]


def test_passes_on_both_sides_are_counted():
    attack = DualSmoothingAttack(**HALVES, steps=3, copies=4, n=50)
    found, counted = rows(attack, batch((0.6, 0.6), (0.4, 0.4)), [0.1])
    first, second = found[0]
    assert (first["forwards"], first["backwards"]) == (300 + 3 * 8 + 300, 24)
    assert (second["forwards"], second["backwards"]) == (300, 0)
    assert counted.meter.backwards == 24


def test_a_network_of_its_own_for_the_right_half(monkeypatch):
    class Always(nn.Module):
        """Class 1 whatever it sees, by far."""

        def forward(self, x):
            return x.flatten(1).sum(1, keepdim=True) * 0 + torch.tensor([0.0, 30.0])

    other = Classifier(Always(), name="always").eval()
    monkeypatch.setattr("unshaken.certify.smoothing.halves.second_model", lambda spec: other)
    attack = DualSmoothingAttack(**HALVES, right="py:other.py:build")
    found, _ = rows(attack, batch((0.5, 0.5)), [5.0])
    assert found[0][0]["correct"]  # the sum cannot fall below 1 for class 1


def test_what_votes_show_by_hand():
    """9,000 and 8,000 votes of 10,000 for class 0 on the halves; then the halves disagree; then all is even."""
    left = tally([[90, 10]] * 3, [[9_000, 1_000], [9_000, 1_000], [5_000, 5_000]])
    right = tally([[80, 20], [10, 90], [50, 50]], [[8_000, 2_000], [1_000, 9_000], [5_000, 5_000]])
    assert winner(left, right, 0.001).tolist() == [0, -1, -1]


@pytest.mark.parametrize("alpha", [0.01, 0.1])
def test_a_class_is_wrongly_shown_no_more_often_than_alpha(alpha):
    """Two classes whose sums of probabilities are equal, at the border of what may be said."""
    rng = np.random.default_rng(0)
    left, right = (
        tally(rng.multinomial(100, p, 10_000), rng.multinomial(1_000, p, 10_000))
        for p in ([0.6, 0.3, 0.1], [0.3, 0.6, 0.1])
    )
    shown = winner(left, right, alpha) >= 0
    assert float(shown.double().mean()) <= alpha


def test_bad_parameters_are_named():
    with pytest.raises(ParameterError, match=r"^dual-smoothing-attack: .*split='rows'"):
        DualSmoothingAttack(split="rows")
    samples = batch((0.6, 0.6))
    tiny = samples.with_images(samples.images[:, :, :1, :1])
    with pytest.raises(ParameterError, match="leaves one side of an image of 1 x 1 pixels empty"):
        DualSmoothingAttack().count_votes(tiny, Context(oracle(), 0, None), "a")


def test_a_class_is_shown_where_its_lower_bounds_exceed_every_rivals_upper_ones():
    """Two lower bounds at alpha / 4, and two upper ones at alpha / 4 shared by the rivals; near the border."""
    rng, alpha, n = np.random.default_rng(3), 0.05, 400
    p, q = [0.5, 0.35, 0.15], [0.42, 0.3, 0.28]
    left, right = (tally(rng.multinomial(50, v, 300), rng.multinomial(n, v, 300)) for v in (p, q))
    expected = []
    for i in range(300):
        first = (left.selected + right.selected)[i].tolist()
        best = first.index(max(first))
        sides = [t.counts[i].numpy() for t in (left, right)]
        least = sum(beta.ppf(alpha / 4, k[best], n - k[best] + 1) for k in sides)
        most = sum(beta.ppf(1 - alpha / 8, k + 1, n - k) for k in sides)
        expected.append(best if least > max(m for c, m in enumerate(most) if c != best) else -1)
    assert winner(left, right, alpha).tolist() == expected
    assert 30 < expected.count(-1) < 270
