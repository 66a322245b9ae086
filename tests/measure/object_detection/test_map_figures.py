import numpy as np
import pytest

from tests.measure.object_detection.test_average_precision import image, scene
from unshaken.core.errors import ParameterError
from unshaken.measure.object_detection.average_precision import average_precision, mean_average_precision
from unshaken.measure.object_detection.map_figures import (
    Maps,
    beyond_line,
    map_difference,
    map_figure,
    resampled_map,
    shifted_map,
)
from unshaken.measure.object_detection.matching import match_images


def maps(value, draws=(0.0, 0.0), images=10):
    return Maps(value, value + np.array(draws), images)


@pytest.fixture(scope="module")
def matched():
    rng = np.random.default_rng(0)
    return match_images(*zip(*[scene(rng, 3, 5) for _ in range(30)], strict=True), 3)


def test_draws_come_in_halves_that_make_up_the_whole(matched, monkeypatch):
    seen = []

    def keep(_, weights, **__):
        seen.append(weights)
        return np.full((len(weights), 1, 1), 0.5)

    found = resampled_map(matched, resamples=6)
    monkeypatch.setattr("unshaken.measure.object_detection.map_figures.average_precision", lambda m, w=None, **k: (
        np.full((1, 1), 0.5) if w is None else keep(m, w)
    ))  # fmt: skip
    resampled_map(matched, resamples=6)
    (weights,) = seen
    assert (weights.sum(1) == 15).all()
    np.testing.assert_array_equal(weights[::2] + weights[1::2], 1)
    assert len(found.draws) == 6
    assert found.images == 30


def test_the_same_seed_gives_the_same_draws(matched):
    np.testing.assert_array_equal(resampled_map(matched, resamples=8).draws, resampled_map(matched, resamples=8).draws)
    assert not np.array_equal(
        resampled_map(matched, resamples=8, seed=1).draws, resampled_map(matched, resamples=8).draws
    )


def test_the_interval_lies_below_a_value_that_small_samples_flatter(matched):
    found = resampled_map(matched, resamples=100)
    figure = map_figure(found)
    assert found.draws.mean() > found.value  # halves look easier than the whole
    assert figure.low < figure.value
    assert figure.high - figure.value < figure.value - figure.low
    assert figure.n == 30
    assert figure.interval == "half-samples 95% (100)"


def test_a_perfect_detector_is_not_certain_to_be_one():
    found = match_images(*zip(*[image([0, 1])] * 4, strict=True), 1)
    figure = map_figure(resampled_map(found, resamples=4))
    missed = 1 - 0.025 ** (1 / 4)
    assert (figure.value, figure.high) == (1, 1)
    assert figure.low == pytest.approx((1 - missed) ** 2)


@pytest.mark.parametrize("share", [0.01, 0.03, 0.1])
def test_images_that_n_missed_lie_inside_the_interval(share):
    """`share` of the images have a missed object and a surer box that is none; n images may miss all of them."""
    right, wrong = image([0]), image([None], 1, scores=[0.99])
    population = [right] * round(100 * (1 - share)) + [wrong] * round(100 * share)
    truth = resampled_map(match_images(*zip(*population, strict=True), 1), resamples=2).value
    for n in (10, 30, 100):
        figure = map_figure(resampled_map(match_images(*zip(*[right] * n, strict=True), 1), resamples=4))
        likely = (1 - share) ** n > 0.025
        assert not likely or figure.low <= truth <= figure.high


def test_a_drop_to_nothing_is_not_certain_either():
    drop = shifted_map(maps(0.5, images=40), [maps(0.0, images=40), maps(0.0, images=40)]).relative_drop
    moved = 1 - 0.025 ** (2 / 40)
    assert (drop.value, drop.high) == (1, 1)
    assert drop.low == pytest.approx(1 - moved / (0.5 * (1 - moved)))


def test_a_difference_is_paired(matched):
    found = resampled_map(matched, resamples=20)
    same = map_difference(found, found)
    assert same.value == 0
    assert same.high == -same.low == pytest.approx(1 - 0.025 ** (2 / 30))  # 30 images miss what 1 in 9 shows
    moved = map_difference(maps(0.5, (-0.1, 0.1)), maps(0.4, (-0.2, 0.2)))
    assert moved.value == pytest.approx(-0.1)
    assert (moved.low, moved.high) == pytest.approx((-0.195, -0.005))
    with pytest.raises(ParameterError, match="the same images: 10 came with 11"):
        map_difference(maps(0.5), maps(0.5, images=11))


def test_effective_robustness_of_the_card():
    found = shifted_map(maps(0.453), [maps(0.249)])
    assert found.effective_robustness.value == pytest.approx(0.04515, abs=1e-9)
    assert shifted_map(maps(0.374), [maps(0.164)]).relative_drop.value == pytest.approx(0.561497, abs=1e-6)
    on_line = shifted_map(maps(0.4), [maps(0.18)])
    assert on_line.effective_robustness.value == pytest.approx(0)
    assert on_line.relative_drop.value == pytest.approx(0.55)


def test_each_shift_weighs_the_same_whatever_its_number_of_images():
    shifts = [maps(m / 100, images=n) for m, n in zip((10, 20, 30, 40, 50, 60), (1, 9, 9, 9, 9, 900), strict=True)]
    assert shifted_map(maps(0.7), shifts).mean.value == pytest.approx(0.35)


def test_what_cannot_be_compared_is_refused(matched):
    with pytest.raises(ParameterError, match="clean mAP above 0"):
        shifted_map(maps(0.0), [maps(0.1)])
    with pytest.raises(ParameterError, match="same number of draws"):
        shifted_map(maps(0.5), [maps(0.1, (0.0,))])
    with pytest.raises(ParameterError, match="halves of 30 images"):
        resampled_map(matched, resamples=1)
    empty = match_images(*zip(*[image([], 0)] * 2, strict=True), 1)
    with pytest.raises(ParameterError, match="no object of area 'all'"):
        resampled_map(empty)


def test_no_more_than_all_is_lost():
    drawn = np.random.default_rng(0).normal(0, 0.02, 200)
    drop = shifted_map(Maps(0.3, 0.3 + drawn, 12), [Maps(0.01, np.abs(drawn), 12)]).relative_drop
    assert drop.low < drop.value < drop.high == 1


def test_the_bias_of_halves_is_taken_off_twice_and_its_doubt_widens_them():
    """Halves at 0.52 and 0.56 about a value of 0.5: 0.04 too high, of which the whole has twice as much."""
    figure = map_figure(Maps(0.5, np.array([0.52, 0.56] * 10), 40))
    error = 0.02 * np.hypot(1, 0.08 / 3 / 0.02) / 0.25  # on the logit scale
    centre = np.log(0.42 / 0.58)
    ends = 1 / (1 + np.exp(-(centre + 1.959964 * error * np.array([-1, 1]))))
    assert (figure.low, figure.high) == pytest.approx((ends[0], max(ends[1], 0.5)), abs=1e-6)


def test_one_threshold_and_one_range_of_areas(matched):
    for options, index in (({"threshold": 0}, 0), ({"area": "small"}, None), ({"threshold": 9, "area": "large"}, 9)):
        found = resampled_map(matched, resamples=4, **options)
        values = average_precision(matched, area=options.get("area", "all"))
        assert found.value == pytest.approx(float(mean_average_precision(values, index)))


def test_what_lies_beyond_the_line_keeps_its_draws():
    found = beyond_line(maps(0.4, (-0.1, 0.1), 12), [maps(0.3, (-0.2, 0.2)), maps(0.2, (0.0, 0.4))])
    assert (found.value, found.images) == (pytest.approx(0.25 - 0.18), 12)
    assert found.draws == pytest.approx([0.15 - 0.45 * 0.3, 0.55 - 0.45 * 0.5])
    flat = beyond_line(maps(0.4), [maps(0.3)], line=lambda clean: 0 * clean + 0.1)
    assert flat.value == pytest.approx(0.2)
