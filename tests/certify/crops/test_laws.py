import numpy as np
import pytest

from unshaken.certify.crops.crop_selection import (
    ball_rate,
    candidates_for,
    four_neighbours_rate,
    same_crop_rate,
    shift_rate,
)
from unshaken.core.errors import ParameterError

FOUR = [(0, 1), (0, -1), (1, 0), (-1, 0)]
EIGHT = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]


@pytest.mark.parametrize(
    ("k", "one", "diagonal", "four", "eight"),
    [(9, 0.800, 0.6531, 0.4188, 0.4050), (17, 0.8889, 0.7950, 0.6303, 0.6233), (33, 0.9412, 0.8873, 0.7871, 0.7845)],
)
def test_closed_forms_and_counting_give_the_published_figures(k, one, diagonal, four, eight):
    closed = [shift_rate(k, 0, 1), shift_rate(k, 1, -1), four_neighbours_rate(k), ball_rate(k, 1)]
    counted = [same_crop_rate(k, s) for s in ([(1, 0)], [(1, 1)], FOUR, EIGHT)]
    assert closed == pytest.approx([one, diagonal, four, eight], abs=5e-5)
    assert counted == pytest.approx(closed, abs=1e-12)


@pytest.mark.parametrize("shifts", [[(0, 1)], [(1, 1)], FOUR, EIGHT, [(2, 0), (-1, 3)]])
def test_law_holds_for_simulated_scores(shifts):
    k, margin, trials = 9, 3, 4000
    scores = np.random.default_rng(0).random((trials, k + 2 * margin, k + 2 * margin))

    def chosen(dy, dx):
        part = scores[:, margin + dy : margin + dy + k, margin + dx : margin + dx + k].reshape(trials, -1)
        y, x = np.divmod(part.argmax(1), k)
        return np.stack([y + dy, x + dx], 1)

    same = np.all([(chosen(*s) == chosen(0, 0)).all(1) for s in shifts], axis=0).mean()
    assert same == pytest.approx(same_crop_rate(k, shifts), abs=0.03)


def test_one_candidate_never_agrees_and_far_shifts_share_nothing():
    assert shift_rate(1, 0, 1) == same_crop_rate(1, [(0, 1)]) == four_neighbours_rate(1) == ball_rate(1, 1) == 0
    assert shift_rate(5, 9, 9) == same_crop_rate(5, [(9, 9)]) == 0
    assert same_crop_rate(5, []) == 1


@pytest.mark.parametrize(("failure", "k"), [(0.048, 41), (0.5, 3), (0.1, 19), (0.0999, 20)])
def test_candidates_for_a_wanted_failure_rate(failure, k):
    assert candidates_for(failure) == k
    assert 2 / (k + 1) <= failure < 2 / k


@pytest.mark.parametrize("failure", [0, 1, -0.1, float("nan")])
def test_a_failure_rate_outside_its_range_is_refused(failure):
    with pytest.raises(ParameterError, match="inside"):
        candidates_for(failure)


def test_no_candidates_are_refused():
    with pytest.raises(ParameterError, match="at least 1 candidate"):
        ball_rate(0, 1)


def test_rates_never_fall_below_none():
    assert ball_rate(3, 2) == 0
    assert ball_rate(5, 2) == pytest.approx((1 / 9) ** 2)
    assert ball_rate(7, 0) == same_crop_rate(7, [(0, 0)]) == shift_rate(7, 0, 0) == 1
    assert four_neighbours_rate(3) == pytest.approx(1 / 21)
