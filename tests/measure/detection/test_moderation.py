"""Moderation: F1 and its baselines by hand, pooled against macro, gaps of pairs, thresholds."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from unshaken.core.errors import ParameterError
from unshaken.measure.detection.moderation import (
    Counts,
    always_unsafe_f1,
    best_f1_threshold,
    coin_f1,
    coverage,
    f1_by,
    f1_figure,
    f1_gap,
    macro_f1,
    pooled_f1,
)


def test_precision_recall_f1():
    counts = Counts(tp=40, fp=10, fn=20)
    assert (counts.precision, counts.recall) == (0.8, pytest.approx(2 / 3))
    assert counts.f1 == pytest.approx(0.727273, abs=1e-6)


def test_pooled_and_macro_are_not_mixed():
    a, b = Counts(9, 1, 1), Counts(10, 40, 10)
    assert [a.f1, b.f1] == pytest.approx([0.9, 0.285714], abs=1e-6)
    assert macro_f1([a, b]) == pytest.approx(0.592857, abs=1e-6)
    assert pooled_f1([a, b]) == pytest.approx(0.422222, abs=1e-6)
    assert a + b == Counts(19, 41, 11)


@pytest.mark.parametrize(
    ("q", "always", "coin"),
    [
        (0.1, 0.1818, 0.1667),
        (0.3, 0.4615, 0.375),
        (0.5, 0.6667, 0.5),
        (0.399, 0.570, 0.444),
        (0.362, 0.532, 0.420),
        (0.436, 0.607, 0.466),
        (0.0, 0.0, 0.0),
        (1.0, 1.0, 2 / 3),
    ],
)
def test_baselines(q, always, coin):
    assert always_unsafe_f1(q) == pytest.approx(always, abs=6e-4)
    assert coin_f1(q) == pytest.approx(coin, abs=6e-4)
    n = 1000
    truth = np.arange(n) < round(q * n)
    assert (Counts.of(truth, np.ones(n)).f1 or 0.0) == pytest.approx(always_unsafe_f1(round(q * n) / n))
    half = Counts(round(q * n / 2), round((1 - q) * n / 2), round(q * n / 2))
    assert (half.f1 or 0.0) == pytest.approx(coin_f1(q), abs=1e-3)


def test_prevalence_outside_its_range():
    with pytest.raises(ParameterError, match=r"prevalence=1.2"):
        coin_f1(1.2)


def test_nothing_unsafe_and_nothing_flagged_is_undefined():
    counts = Counts.of([0, 0, 0], [0, 0, 0])
    assert (counts.f1, counts.precision, counts.recall, counts.prevalence) == (None, None, None, 0.0)
    assert f1_figure([0, 0, 0], [0, 0, 0]) is None
    assert pooled_f1([]) is None
    assert macro_f1([counts]) is None
    assert macro_f1([counts, Counts(9, 1, 1)]) == pytest.approx(0.9)
    assert Counts.of([0, 0, 0], [1, 0, 0]).f1 == 0.0


def test_figure_against_scikit_learn_and_repeated_samples():
    rng = np.random.default_rng(0)
    truth = rng.random(400) < 0.3
    flagged = np.where(rng.random(400) < 0.8, truth, ~truth)
    figure = f1_figure(truth, flagged)
    assert figure.value == pytest.approx(f1_score(truth, flagged, pos_label=1))
    spread = []
    for _ in range(400):  # fresh samples of the same source: the interval must be as wide as these vary
        t = rng.random(400) < 0.3
        s = np.where(rng.random(400) < 0.8, t, ~t)
        spread.append(2 * (t & s).sum() / (t.sum() + s.sum()))
    low, high = np.quantile(spread, [0.025, 0.975])
    assert figure.high - figure.low == pytest.approx(high - low, rel=0.25)


def test_each_group_has_its_own_figure():
    groups = ["hate/real"] * 4 + ["hate/ai"] * 4 + ["spam/ai"] * 2
    truth, flagged = [1, 1, 0, 0, 1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 1, 0, 0, 0, 0, 0]
    found = f1_by(groups, truth, flagged, resamples=50)
    assert list(found) == ["hate/ai", "hate/real", "spam/ai"]
    assert found["hate/real"].value == pytest.approx(0.8)
    assert found["hate/ai"].value == pytest.approx(0.5)
    assert found["hate/ai"].n == 4
    assert found["spam/ai"] is None


def test_a_gap_of_pairs():
    truth = np.array([1, 1, 1, 1, 0, 0, 0, 0] * 20)
    real = np.array([1, 1, 1, 1, 0, 0, 0, 1] * 20)
    ai = np.array([1, 1, 0, 0, 0, 0, 0, 1] * 20)
    gap = f1_gap(truth, real, ai)
    assert gap.value == pytest.approx(8 / 9 - 4 / 7)
    assert 0.2 < gap.low < gap.value < gap.high < 0.5
    same = f1_gap(truth, real, real)
    assert same.value == 0
    assert (same.low, same.high) == pytest.approx((-0.0225, 0.0225), abs=2e-3)  # 2.3 % of 160 pairs may be missed
    nothing = f1_gap(truth, real, np.zeros(160))
    assert nothing.value == pytest.approx(8 / 9)
    with pytest.raises(ParameterError, match="no pair is unsafe"):
        f1_gap([0, 0], [1, 0], [0, 0])


def test_the_best_threshold_is_the_best_of_all():
    rng = np.random.default_rng(1)
    for _ in range(30):
        scores = rng.integers(0, 8, 25) / 4
        truth = rng.random(25) < 0.4
        truth[0] = True
        found = f1_score(truth, scores > best_f1_threshold(scores, truth))
        every = [f1_score(truth, scores > t) for t in np.arange(-0.125, 2.2, 0.25)]
        assert found == pytest.approx(max(every))
    assert best_f1_threshold([1.0, 2.0], [False, False], otherwise=0.3) == 0.3
    assert best_f1_threshold([1.0, 2.0], [True, True]) < 1


def test_coverage():
    claims = {"heads": ["violence", "hate"], "nudity": ["sexual"]}
    assert coverage(claims, ["hate", "sexual", "violence"]) == {
        "heads": {"hate": True, "sexual": False, "violence": True},
        "nudity": {"hate": False, "sexual": True, "violence": False},
    }
    with pytest.raises(ParameterError, match="nudity claims 'spam'"):
        coverage({"nudity": ["spam"]}, ["sexual"])


def test_columns_of_other_lengths():
    with pytest.raises(ParameterError, match="unsafe 2, flagged 1"):
        Counts.of([1, 0], [1])
    with pytest.raises(ParameterError, match="no image"):
        Counts(0, 0, 0).prevalence  # noqa: B018
