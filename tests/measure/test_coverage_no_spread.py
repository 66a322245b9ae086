"""Samples that are all alike: every figure's interval says that others may not be, and narrows with their number."""

import numpy as np
import pytest

from unshaken.measure import brier, corruption_error, nll
from unshaken.measure.calibration.calibration import calibration_error
from unshaken.measure.classification.class_means import macro_f1, paired_f1
from unshaken.measure.detection.moderation import f1_figure, f1_gap
from unshaken.measure.few_shot import episode_accuracy, episode_difference
from unshaken.measure.robustness.effective_robustness import effective_robustness
from unshaken.measure.robustness.fairness import disparity, gap_change, signed_gap
from unshaken.measure.robustness.fmr import fmr_difference
from unshaken.measure.robustness.minimal_norm import minimal_norm
from unshaken.measure.statistics.agreement import alpha_figure, kappa_figure
from unshaken.measure.statistics.correlation import correlation
from unshaken.measure.statistics.spread import corners, figure_of_means


def classes(n):
    return np.arange(n) % 2


def perfect(n):
    return np.eye(2)[classes(n)]


def episodes(n):
    return np.stack([np.roll(np.arange(n), i)[:5] for i in range(n)])


def corruption(n):
    ids = [str(i) for i in range(n)] * 2
    return corruption_error(ids, ["fog"] * n + ["snow"] * n, np.ones(2 * n, int), np.ones(2 * n, bool), imagenet=False)


ones = np.ones
FIGURES = {
    "ratio of means": lambda n: figure_of_means(
        np.outer(np.linspace(0.2, 1, n), [1, 0.5]), lambda m: m[..., 1] / m[..., 0], possible=lambda: corners(2)
    ),
    "brier": lambda n: brier(perfect(n), classes(n)),
    "macro f1": lambda n: macro_f1(classes(n), classes(n)),
    "f1 drop": lambda n: paired_f1(classes(n), classes(n), classes(n)).drop,
    "f1 of moderation": lambda n: f1_figure(classes(n), classes(n)),
    "f1 gap": lambda n: f1_gap(classes(n), classes(n), classes(n)),
    "kappa": lambda n: kappa_figure(classes(n), classes(n)),
    "alpha": lambda n: alpha_figure(np.stack([classes(n)] * 3)),
    "signed gap": lambda n: signed_gap(ones(n, bool), classes(n), majority=0, minority=1),
    "disparity": lambda n: disparity(ones(n, bool), classes(n)).gap,
    "deviation": lambda n: disparity(ones(n, bool), classes(n)).deviation,
    "gap change": lambda n: gap_change(ones(n, bool), ones(n, bool), classes(n)),
    "signed gap change": lambda n: gap_change(ones(n, bool), ones(n, bool), classes(n), majority=0, minority=1),
    "fmr difference": lambda n: fmr_difference((ones(n), ones(n)), (ones(n), ones(n))),
    "corruption": lambda n: corruption(n).mean_error,
    "one corruption": lambda n: corruption(n).by_corruption["fog"],
    "ece": lambda n: calibration_error(ones(n), ones(n, bool), simulations=1).ece,
    "episodes": lambda n: episode_accuracy(ones((n, 5)), episodes(n), resamples=50),
    "episode difference": lambda n: episode_difference(ones((n, 5)), ones((n, 5)), episodes(n)),
    "spearman": lambda n: correlation(range(n), range(n), kind="spearman").figure,
}


@pytest.mark.parametrize("name", FIGURES)
def test_no_spread_is_no_certainty(name):
    few, many = (FIGURES[name](n) for n in (20, 60))
    widths = [figure.high - figure.low for figure in (few, many)]
    assert widths[0] > 0.003  # of 20 rank orders; several hundredths of shares
    assert 0 < widths[1] < widths[0]
    assert few.low <= few.value <= few.high


@pytest.mark.parametrize("name", ["macro f1", "kappa", "alpha", "f1 of moderation"])
def test_perfect_agreement_may_be_as_bad_as_the_share_that_was_missed(name):
    figure = FIGURES[name](20)
    assert figure.high == 1
    assert 0.5 < figure.low < 1 - 0.1  # 1 - 0.025^(1/20) = 17 % of samples may be wrong


def test_what_has_no_bound_says_so():
    assert nll(np.tile([5.0, -5.0], (9, 1)), np.zeros(9, int)).high == np.inf
    norms = minimal_norm([0.5] * 9, [True] * 9).mean_of_broken
    assert 0 < norms.low < 0.5
    assert norms.high == np.inf


def test_two_baselines_leave_all_open_that_accuracy_leaves():
    rho = effective_robustness(0.75, 0.6, [0.7, 0.8], [0.5, 0.6]).rho
    assert (rho.low, rho.high) == pytest.approx((-0.4, 0.6))
