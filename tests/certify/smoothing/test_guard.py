import pytest

from unshaken.certify.smoothing.guard import _rounded, check_reach, reach, votes_for
from unshaken.certify.smoothing.smoothing import Smoothing
from unshaken.certify.smoothing.smoothing_sequential import SequentialSmoothing
from unshaken.core import UnshakenError
from unshaken.core.errors import ParameterError


def test_reach_by_hand():
    """The card's numbers: all of 100,000 draws at alpha 0.001."""
    assert reach(0.25, 100_000, 0.001) == pytest.approx(0.9529, abs=5e-5)
    assert reach(0.5, 100_000, 0.001) == pytest.approx(1.9057, abs=5e-5)


@pytest.mark.parametrize("radius", [0.1, 0.5, 1.0, 1.5, 1.9])
def test_the_votes_asked_for_are_enough_and_one_less_is_not(radius):
    n = votes_for(radius, 0.5, 0.001)
    assert reach(0.5, n, 0.001) > radius
    assert reach(0.5, n - 1, 0.001) <= radius


@pytest.mark.parametrize("method", [Smoothing, SequentialSmoothing])
def test_too_few_votes_are_refused_before_the_run_with_the_number_needed(method):
    with pytest.raises(ParameterError) as caught:
        method(sigma=0.25, n=1000, radii=(0.5, 1.0))
    message = str(caught.value)
    assert "certify a radius of 0.6158 at most, not 1: give n=218105 or more" in message
    assert "\n" not in message
    method(sigma=0.25, n=218105, radii=(0.5, 1.0))


def test_so_few_votes_that_nothing_can_be_said_are_refused():
    with pytest.raises(ParameterError, match="certify nothing, even when all agree: give n=10 or more"):
        Smoothing(n=9)
    Smoothing(n=10)


def test_a_radius_that_no_number_of_votes_reaches_asks_for_more_noise():
    with pytest.raises(UnshakenError, match=r"a larger sigma, such as 1\.4"):
        check_reach("smoothing", (4.0,), sigma=0.25, n=100_000, alpha=0.001)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sigma": 0}, "sigma=0"),
        ({"sigma": -1}, "sigma=-1"),
        ({"alpha": 0.5}, "alpha=0.5"),
        ({"alpha": 0}, "alpha=0"),
        ({"n": 0}, "n=0"),
        ({"n0": 0}, "n0=0"),
        ({"radii": "0.5+x"}, "radii"),
        ({"radii": (-0.5,)}, "radii"),
    ],
)
@pytest.mark.parametrize("method", [Smoothing, SequentialSmoothing])
def test_bad_parameters_are_named(method, values, words):
    with pytest.raises(ParameterError, match=words) as caught:
        method(**values)
    assert "\n" not in str(caught.value)


def test_a_proposed_deviation_is_rounded_upwards_to_two_digits():
    assert [_rounded(s) for s in (1.3333, 0.01231, 12.1, 0.2)] == ["1.4", "0.013", "13", "0.2"]


def test_a_radius_that_is_reached_exactly_is_refused():
    best = reach(0.25, 1000, 0.001)
    check_reach("smoothing", (best * (1 - 1e-9),), sigma=0.25, n=1000, alpha=0.001)
    with pytest.raises(ParameterError, match=r"give n=100[01] or more"):
        check_reach("smoothing", (best,), sigma=0.25, n=1000, alpha=0.001)
