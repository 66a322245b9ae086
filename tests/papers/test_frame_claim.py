"""Parts of a claim: outcomes from intervals, the power of an experiment, what must not be left out."""

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.papers.claim import Check, ClaimPart, Outcome, decide, is_reproduced, judge_parts

GAIN = ClaimPart(statement="Training on noise gains accuracy.", rule="Shown if the gain's interval lies above 0.")
SIDE = ClaimPart(statement="It costs nothing.", rule="Shown if the cost is below 1 point.", central=False)
LEFT_OUT = ClaimPart(statement="It helps on ImageNet.", untried="ImageNet is too large here.", central=False)


def figure(value, low, high):
    return {"value": value, "low": low, "high": high}


def outcome_of(*checks):
    return judge_parts({"gain": GAIN}, checks)[0].outcome


@pytest.mark.parametrize(
    ("effect", "above", "expected"),
    [
        (figure(0.1, 0.01, 0.2), 0.0, Outcome.SHOWN),
        (figure(0.1, 0.0, 0.2), 0.0, Outcome.NOT_VISIBLE),
        (figure(-0.1, -0.2, -0.01), 0.0, Outcome.CONTRADICTED),
        (figure(0.02, 0.01, 0.03), 0.05, Outcome.SHORT),  # there, but smaller than wanted
        (figure(0.0, -0.01, 0.01), 0.05, Outcome.SHORT),
        (figure(0.02, 0.01, 0.05), 0.05, Outcome.NOT_VISIBLE),
        (figure(-0.005, -0.02, 0.01), -0.05, Outcome.SHOWN),  # costs less than five points
        (figure(-0.1, -0.2, -0.06), -0.05, Outcome.CONTRADICTED),
        (figure(0.3, None, None), 0.0, Outcome.NOT_VISIBLE),
    ],
)
def test_an_interval_decides(effect, above, expected):
    assert outcome_of(decide("gain", "gain", effect, above=above)) == expected


def test_the_outcome_of_a_part_by_those_of_its_checks():
    held, failed, opposed = Check("a", True, "gain"), Check("b", False, "gain"), Check("c", False, "gain", opposed=True)
    assert outcome_of(held, failed) == Outcome.NOT_VISIBLE
    assert outcome_of(held, failed, opposed) == Outcome.CONTRADICTED
    short = Check("d", False, "gain", short=True)
    assert outcome_of(held, failed, short) == Outcome.SHORT
    assert outcome_of(short, opposed) == Outcome.CONTRADICTED
    assert outcome_of(held) == Outcome.SHOWN


def test_reproduced_asks_for_the_central_parts_alone():
    parts = {"gain": GAIN, "side": SIDE, "large": LEFT_OUT}
    shown = judge_parts(parts, [Check("a", True, "gain"), Check("b", False, "side")])
    assert [j.outcome for j in shown] == [Outcome.SHOWN, Outcome.NOT_VISIBLE, Outcome.NOT_TRIED]
    assert is_reproduced(shown)
    assert not is_reproduced(judge_parts(parts, [Check("a", False, "gain"), Check("b", True, "side")]))
    assert not is_reproduced(judge_parts({"side": SIDE}, [Check("b", True, "side")]))


def test_an_interval_without_width_says_nothing_of_the_smallest_effect():
    assert decide("gain", "gain", figure(0.5, 0.5, 0.5)).smallest is None
    assert decide("gain", "gain", figure(0.5, 0.25, 0.75)).smallest is not None


def test_the_smallest_effect_is_shown_in_four_of_five_repetitions():
    # an effect with standard error 1: its interval has half-width 1.96
    smallest = decide("gain", "gain", figure(0.0, -1.96, 1.96)).smallest
    draws = np.random.default_rng(0).normal(smallest, 1, 20_000)
    shown = np.mean([decide("gain", "g", figure(v, v - 1.96, v + 1.96)).holds for v in draws])
    assert shown == pytest.approx(0.8, abs=0.01)


def test_the_part_is_as_weak_as_its_weakest_check():
    checks = [Check("a", True, "gain", smallest=0.1), Check("b", True, "gain", smallest=0.3), Check("c", True, "gain")]
    assert judge_parts({"gain": GAIN}, checks)[0].smallest == 0.3


def test_nothing_is_left_out():
    assert judge_parts({"gain": GAIN}, [])[0].outcome == Outcome.NOT_TRIED
    with pytest.raises(ParameterError, match="belongs to no part"):
        judge_parts({"gain": GAIN}, [Check("a", True, "gian")])
    with pytest.raises(ParameterError, match="that is tried"):
        judge_parts({"large": LEFT_OUT}, [Check("a", True, "large")])
    with pytest.raises(ParameterError, match="needs a rule, or a reason"):
        ClaimPart(statement="Nothing is said.")
    for both in ({"holds": True, "opposed": True}, {"holds": True, "short": True}, {"opposed": True, "short": True}):
        with pytest.raises(ParameterError, match="has one outcome"):
            Check("a", part="gain", **{"holds": False, **both})
