import numpy as np
import pytest
from scipy import special

from unshaken.core.errors import ParameterError
from unshaken.measure.detection.operating_points import at_least_binomial, interval, levels, resampled
from unshaken.measure.statistics.intervals import Figure


def test_points_count_the_accepted_at_each_distinct_score():
    # scores 1: normal; 2: both; 3: two abnormal
    points = levels([2, 1], [3, 2, 3]).points()
    assert points.normal.tolist() == [0, 1, 2, 2]
    assert points.abnormal.tolist() == [0, 0, 1, 3]
    mirrored = points.mirrored()
    assert mirrored.normal.tolist() == [0, 2, 3, 3]  # abnormal flagged, from the highest score down
    assert mirrored.abnormal.tolist() == [0, 0, 1, 2]


def test_extremes_move_the_unseen_share_to_the_far_ends():
    # at level 0.6 each group of 2 holds sqrt(0.1) of its population; the rest of the normal, 2 - 2 sqrt(0.1), moves
    held, worst_and_best = 2 * np.sqrt(0.1), levels([1, 2], [3, 4]).extremes(0.6)
    worst, best = worst_and_best
    assert worst.normal == pytest.approx([0, 0, held / 2, held, held, held, 2])  # above all
    assert worst.abnormal == pytest.approx([0, 2 - held, 2 - held, 2 - held, 2 - held / 2, 2, 2])  # below all
    assert best.normal == pytest.approx([0, 2 - held, 2 - held / 2, 2, 2, 2, 2])
    assert best.abnormal == pytest.approx([0, 0, 0, 0, held / 2, held, 2])


def test_resamples_keep_group_sizes_and_have_the_share_of_each_sample_right_on_average():
    scores = levels([1, 1, 2, 5], [3, 5, 5])
    blocks = [points for (points,) in resampled(scores, resamples=4000, seed=0)]
    normal, abnormal = (np.concatenate([getattr(p, g) for p in blocks]) for g in ("normal", "abnormal"))
    assert normal.shape == abnormal.shape == (4000, 5)
    assert (normal[:, -1] == 4).all()
    assert (abnormal[:, -1] == 3).all()
    own = scores.points()
    assert normal.mean(0) == pytest.approx(own.normal, abs=0.06)
    assert abnormal.mean(0) == pytest.approx(own.abnormal, abs=0.06)
    assert normal[:, 1].var() == pytest.approx(4 * 0.5 * 0.5, abs=0.06)  # binomial of 4 at 2/4
    assert abs(np.corrcoef(normal[:, 2], abnormal[:, 3])[0, 1]) < 0.05  # the groups are drawn apart


def test_draws_are_the_same_in_one_block_or_many(monkeypatch):
    scores = levels([3, 1, 2, 2], [2, 5, 4])
    whole = [p for (p,) in resampled(scores, resamples=17, seed=5)]
    assert len(whole) == 1
    monkeypatch.setattr("unshaken.measure.detection.operating_points._BLOCK", 4 * len(scores.values))
    parts = [p for (p,) in resampled(scores, resamples=17, seed=5)]
    assert [len(p.normal) for p in parts] == [4, 4, 4, 4, 1]
    assert (np.concatenate([p.normal for p in parts]) == whole[0].normal).all()
    assert (np.concatenate([p.abnormal for p in parts]) == whole[0].abnormal).all()


def test_detectors_see_the_same_draws_in_whatever_order_the_samples_come():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=20), rng.normal(size=12)
    coarse = np.floor(x), np.floor(y)  # a coarser score of the same samples: its counts follow from the fine one's
    ((fine, rough),) = resampled(levels(x, y), levels(*coarse), resamples=30, seed=1)
    places = np.searchsorted(np.floor(levels(x, y).values), levels(*coarse).values, side="right")
    assert (fine.normal[:, places] == rough.normal[:, 1:]).all()
    assert (fine.abnormal[:, places] == rough.abnormal[:, 1:]).all()
    i, j = rng.permutation(20), rng.permutation(12)
    ((again, _),) = resampled(levels(x[i], y[j]), levels(coarse[0][i], coarse[1][j]), resamples=30, seed=1)
    assert (again.normal == fine.normal).all()


def test_no_resample_is_refused():
    with pytest.raises(ParameterError, match="resamples must be at least 1, not 0"):
        next(resampled(levels([1], [2]), resamples=0, seed=0))


def test_percentiles_where_draws_differ_and_the_given_ends_where_they_do_not():
    draws = np.linspace(0, 1, 1001)
    assert (interval(0.5, draws, [0, 1], 9999, 0.9).low, interval(0.5, draws, [0, 1], 9999, 0.9).high) == pytest.approx(
        (0.05, 0.95), abs=1e-3
    )
    still = interval(0.8, np.full(100, 0.8), [0.6, 0.7], 9, 0.95)
    assert (still.value, still.low, still.high, still.interval) == (0.8, 0.6, 0.8, "extreme populations 95%")


def test_the_logit_interval_takes_off_the_bias_and_has_the_bootstrap_s_error():
    # value 0.8, draws 0.82 +- 0.04: bias 0.02, so 0.78; error 0.04 / (0.8 x 0.2) = 0.25 on the logit scale
    figure = interval(0.8, np.array([0.78, 0.86] * 50), [0, 1], 9, 0.95, logit=True)
    ends = special.expit(special.logit(0.78) + 1.959964 * 0.25 * np.array([-1, 1]))
    assert (figure.low, figure.high) == pytest.approx(ends, abs=1e-6)
    assert figure.interval == "bootstrap logit 95% (100)"
    near_one = interval(0.999, np.array([0.9, 0.9, 0.999]), [0, 1], 9, 0.95, logit=True)  # 2 x 0.999 - 0.93 is above 1
    assert 0 <= near_one.low < 0.999 <= near_one.high <= 1


def test_a_share_keeps_at_least_its_binomial_width():
    narrow = at_least_binomial(Figure(0.0, 0.0, 0.0, 30, "x"), 10, 0.95)
    assert (narrow.low, narrow.high) == pytest.approx((0, 0.3085), abs=1e-4)  # 1 - 0.025^(1/10)
    wide = Figure(0.5, 0.01, 0.99, 30, "x")
    assert (at_least_binomial(wide, 10, 0.95).low, at_least_binomial(wide, 10, 0.95).high) == (0.01, 0.99)
