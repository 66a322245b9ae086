"""Means whose values are all, or nearly all, alike: bounds by hand, equality with Clopper-Pearson, coverage."""

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure import over_seeds, paired_difference, share
from unshaken.measure.statistics.intervals import missed_share
from unshaken.measure.statistics.means import alike_figure, gaffke, mean_figure


def test_values_that_are_alike_are_no_certainty():
    # of 10 samples 1 - 0.025^(1/10) = 0.3085 of all may be missed; each may be 0 or 1 instead of 0.25
    figure = mean_figure([0.25] * 10, low=0.0, high=1.0)
    assert (figure.low, figure.high) == pytest.approx((0.25 * (1 - 0.3085), 0.25 + 0.3085 * 0.75), abs=1e-4)
    assert figure.interval == "clopper-pearson 95% (all values alike)"


def test_the_bound_of_values_alike_narrows_with_their_number_as_three_over_n_does():
    widths = [mean_figure([0.5] * n, low=0.0, high=1.0).high - 0.5 for n in (1, 100, 1000)]
    assert widths == pytest.approx([0.975 / 2, 0.0362 / 2, 0.003682 / 2], rel=1e-2)
    assert missed_share(1000, level=0.9) == pytest.approx(3 / 1000, rel=0.01)  # the rule of three, one-sided 95%


def test_without_a_range_values_alike_have_no_bound():
    figure = mean_figure([2.5] * 10)
    assert (figure.low, figure.value, figure.high) == (-np.inf, 2.5, np.inf)
    one_sided = mean_figure([2.5] * 10, low=0.0)
    assert one_sided.low == pytest.approx(2.5 * 0.025**0.1)
    assert one_sided.high == np.inf


def test_values_that_differ_by_rounding_are_alike():
    values = 0.25 + np.array([0, 1, -1, 2] * 5) * 1e-8
    assert "alike" in mean_figure(values, low=0.0, high=1.0).interval
    assert "alike" in mean_figure(values).interval
    assert "alike" not in mean_figure([*values[:-1], 0.251]).interval


def test_a_range_that_rounding_leaves_is_kept_and_more_is_refused():
    assert mean_figure([1 + 1e-12, 0.5], low=0.0, high=1.0).high <= 1
    with pytest.raises(ParameterError, match="values must lie in"):
        mean_figure([1.1, 0.5], low=0.0, high=1.0)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-2.0, 2.0)])
def test_values_at_the_ends_of_the_range_have_clopper_pearson_s_interval(low, high):
    values = [high] * 3 + [low] * 9
    figure, plain = mean_figure(values, low=low, high=high), share(3, 12)
    ends = [low + (high - low) * end for end in (plain.value, plain.low, plain.high)]
    assert [figure.value, figure.low, figure.high] == pytest.approx(ends)
    assert figure.interval == plain.interval


@pytest.mark.parametrize("k", [1, 4, 19])
def test_gaffke_s_interval_of_two_values_is_clopper_pearson_s(k):
    plain = share(k, 20)
    assert gaffke([1.0] * k + [0.0] * (20 - k), low=0, high=1) == pytest.approx((plain.low, plain.high), abs=0.02)


def test_few_other_values_widen_the_bootstrap_and_many_do_not():
    few, many = np.zeros(60), np.linspace(0, 1, 60)
    few[:2] = 0.5
    wide = mean_figure(few, low=0.0, high=1.0)
    assert wide.interval == "bootstrap 95% (2000), at least gaffke"
    plain = mean_figure(few)  # without a range nothing is known of what was not seen
    assert wide.low <= plain.low
    assert wide.high > plain.high + 0.01
    assert mean_figure(many, low=0.0, high=1.0) == mean_figure(many)


def test_the_mean_does_not_depend_on_the_order():
    values = np.random.default_rng(0).random(50)
    assert mean_figure(values) == mean_figure(values[::-1])


def test_no_resample_is_refused():
    with pytest.raises(ParameterError, match="resamples must be at least 1, not 0"):
        mean_figure([0.1, 0.2], resamples=0)


def test_pairs_that_do_not_differ_are_no_certainty():
    same = np.linspace(0.1, 0.9, 10)
    figure = paired_difference(same, same, low=-1.0, high=1.0)
    assert (figure.low, figure.high) == pytest.approx((-0.3085, 0.3085), abs=1e-4)
    assert paired_difference(same, same).high == np.inf  # a loss may differ by anything elsewhere


def test_pairs_of_right_and_wrong_have_the_interval_of_shares():
    before, after = np.array([1, 1, 0, 0, 1, 0], bool), np.array([1, 1, 1, 0, 1, 0], bool)
    figure = paired_difference(before, after)
    assert figure.interval == "tango 95%"
    assert figure == paired_difference(before.astype(float), after.astype(float), low=-1, high=1)
    assert paired_difference(before.astype(float), after.astype(float)).interval.startswith("bootstrap")


def test_pairs_whose_difference_is_rounding_are_alike_whatever_their_size():
    loss = np.random.default_rng(0).random(30) * 100
    assert "alike" in paired_difference(loss, loss * (1 + 1e-9)).interval
    assert "alike" not in paired_difference(loss, loss + np.linspace(0, 0.1, 30)).interval


def test_an_alike_figure_of_a_value_at_an_end_has_one_side():
    figure = alike_figure(1.0, 10, low=0.0, high=1.0)
    assert (figure.low, figure.high) == (pytest.approx(0.025**0.1), 1)


def test_students_interval_by_hand():
    figure = over_seeds([0.3, 0.1, 0.2])
    assert figure.value == pytest.approx(0.2)
    assert figure.high - figure.value == pytest.approx(4.302653 * 0.1 / np.sqrt(3), rel=1e-6)
    assert figure.n == 3


def test_an_auroc_of_three_seeds_stays_an_auroc():
    values = [0.55, 0.99, 0.76]
    assert over_seeds(values).high > 1
    figure = over_seeds(values, low=0, high=1)
    assert 0 < figure.low < figure.value < figure.high <= 1


def test_arcsine_interval_by_hand():
    # m = 1/2: g = asin(sqrt(m)) = pi/4 and g' = 1, so that the ends are sin^2(pi/4 -+ t s) = (1 -+ sin 2 t s) / 2
    figure, reach = over_seeds([0.4, 0.5, 0.6], low=0, high=1), 4.302653 * 0.1 / np.sqrt(3)
    bend = np.sin(2 * reach)
    assert (figure.low, figure.high) == pytest.approx(((1 - bend) / 2, (1 + bend) / 2), rel=1e-6)


def test_a_difference_turned_round_has_the_interval_turned_round():
    values = np.array([0.1, 0.3, 0.05])
    one, other = over_seeds(values, low=-1, high=1), over_seeds(-values, low=-1, high=1)
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low), rel=1e-12)


def test_a_ratio_stays_positive_and_its_interval_is_that_of_logarithms():
    figure = over_seeds([1.0, 4.0, 9.0], low=0)
    assert 0 < figure.low < figure.value < figure.high
    assert figure.high / figure.value == pytest.approx(figure.value / figure.low, rel=1e-12)
    mirrored = over_seeds([-1.0, -4.0, -9.0], high=0)
    assert (mirrored.low, mirrored.high) == pytest.approx((-figure.high, -figure.low), rel=1e-12)


@pytest.mark.parametrize("ends", [{}, {"low": 0}, {"high": 1}, {"low": 0, "high": 1}])
def test_equal_values_have_no_width_and_close_ones_students(ends):
    same = over_seeds([0.5, 0.5, 0.5], **ends)
    assert (same.low, same.high) == (0.5, 0.5)
    close = [0.5, 0.5001, 0.4999]
    bent, plain = over_seeds(close, **ends), over_seeds(close)
    assert (bent.low, bent.high) == pytest.approx((plain.low, plain.high), abs=1e-6)


@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_values_at_an_end(edge):
    figure = over_seeds([edge] * 3, low=0, high=1)
    assert (figure.low, figure.value, figure.high) == (edge, edge, edge)


@pytest.mark.parametrize("ends", [{}, {"low": 0}, {"high": 1}, {"low": 0, "high": 1}])
def test_equal_shares_of_images_are_as_wide_as_a_step_hides(ends):
    figure, half = over_seeds([0.5] * 3, **ends, step=0.01), 4.302653 * 0.01 / np.sqrt(12 * 3)
    assert (figure.low, figure.high) == pytest.approx((0.5 - half, 0.5 + half), abs=2e-4)
    assert over_seeds([0.3, 0.5, 0.7], **ends, step=0.01) == over_seeds([0.3, 0.5, 0.7], **ends)
    at_end = over_seeds([0.0] * 3, low=0, high=1, step=0.01)
    assert (at_end.low, at_end.high) == pytest.approx((0, half))
    assert over_seeds([1.0] * 3, low=0, high=1, step=0.01).low == pytest.approx(1 - half)


@pytest.mark.parametrize("mean", [0.5, 0.8, 0.95])
def test_it_covers_the_mean_in_19_of_20_repetitions(mean):
    draws = np.random.default_rng(0).beta(mean * 40, (1 - mean) * 40, (2000, 3))
    figures = [over_seeds(values, low=0, high=1) for values in draws]
    covered = sum(f.low <= mean <= f.high for f in figures)
    assert covered >= 2000 * 0.95 - 3 * np.sqrt(2000 * 0.95 * 0.05)


def test_bad_input():
    with pytest.raises(ParameterError, match="two of them at least"):
        over_seeds([0.1])
    with pytest.raises(ParameterError, match=r"1\.2"):
        over_seeds([0.5, 1.2], low=0, high=1)
    for step in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ParameterError, match="step must be"):
            over_seeds([0.5, 0.6], step=step)
