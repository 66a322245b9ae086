import pytest

from unshaken.measure.robustness.trade_off import chord_at, fixed_at


def test_chord_and_fixed_weights_by_hand():
    g, h = (0.873, 0.0), (0.806, 0.723)
    assert chord_at(0.83, g, h) == pytest.approx(0.43 / 0.67 * 0.723, abs=1e-9)
    assert chord_at(0.9, g, h) == 0.0
    assert chord_at(0.7, g, h) == 0.723
    assert chord_at(0.8, (0.7, 0.2), (0.75, 0.5)) == 0.5  # a robust network that is the more accurate, too
    points = [(0.9, 0.0), (0.8, 0.4), (0.7, 0.6)]
    assert fixed_at(0.2, points) == pytest.approx(0.85)
    assert fixed_at(0.6, points) == pytest.approx(0.7)
    assert fixed_at(0.9, points) == 0.7
