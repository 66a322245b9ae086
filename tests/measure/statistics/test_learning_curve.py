import pytest

from unshaken.measure.statistics.learning_curve import epochs_to


@pytest.mark.parametrize(
    ("curve", "goal", "expected"),
    [
        ([0.2, 0.4, 0.6], 0.5, 2.5),
        ([0.2, 0.4, 0.6], 0.4, 2.0),
        ([0.4], 0.1, 0.25),
        ([0.5, 0.3, 0.5], 0.4, 0.8),
        ([0.2], 0.3, None),
    ],
)
def test_epochs_are_linear_between_points(curve, goal, expected):
    got = epochs_to(curve, goal)
    assert got == (expected if expected is None else pytest.approx(expected))
