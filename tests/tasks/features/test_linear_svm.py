"""Support vector machines: margins by hand, scikit-learn's answer, and views that are pooled."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.errors import DataError, ParameterError
from unshaken.tasks.features.linear_svm import choose_c, fit_svm

pytest.importorskip("sklearn")
RNG = np.random.default_rng(0)
CENTRES = RNG.normal(size=(4, 6))
LABELS = np.arange(80) % 4
POINTS = CENTRES[LABELS] + 0.3 * RNG.normal(size=(80, 6))


@pytest.mark.parametrize(("c", "w"), [(100.0, 1.0), (0.5, 1.0), (0.1, 0.2)])
def test_two_points_on_a_line(c, w):
    """x = +-1: w = 1 where C allows it, else w = 2 C."""
    machine = fit_svm(np.array([[1.0], [-1.0]]), np.array([1, 0]), c=c)
    assert machine.fitted.coef_.item() == pytest.approx(w, abs=1e-3)
    assert 0.5 * w**2 + c * 2 * max(0, 1 - w) == pytest.approx(0.5 if w == 1 else 0.18, abs=1e-6)


def test_the_squared_hinge_by_hand():
    """x = +-1: w^2 / 2 + 2 C (1 - w)^2 is least at w = 4 C / (1 + 4 C)."""
    machine = fit_svm(np.array([[1.0], [-1.0]]), np.array([1, 0]), c=0.5, loss="squared-hinge")
    assert machine.fitted.coef_.item() == pytest.approx(2 / 3, abs=1e-3)


@pytest.mark.parametrize("mode", ["one-vs-all", "one-vs-one"])
def test_it_is_scikit_learns(mode):
    svm, multiclass = pytest.importorskip("sklearn.svm"), pytest.importorskip("sklearn.multiclass")
    plain = svm.LinearSVC(C=2.0, loss="hinge", fit_intercept=False, max_iter=20_000, random_state=0)
    other = (plain if mode == "one-vs-all" else multiclass.OneVsOneClassifier(plain)).fit(POINTS, LABELS)
    machine = fit_svm(POINTS, LABELS, c=2.0, mode=mode)
    assert (machine.predict(POINTS) == other.predict(POINTS)).all()
    np.testing.assert_array_equal(machine.decision(POINTS), other.decision_function(POINTS))


def test_equal_views_predict_as_one():
    machine = fit_svm(POINTS, LABELS)
    views = POINTS[:, None].repeat(3, 1)
    np.testing.assert_allclose(machine.decision(views) / 3, machine.decision(POINTS))
    np.testing.assert_allclose(machine.decision(views, pool="max"), machine.decision(POINTS))
    assert (machine.predict(views) == machine.predict(POINTS)).all()


def test_views_are_samples_of_their_image():
    views = np.stack([POINTS, POINTS + 0.01], 1)
    flat = fit_svm(views.reshape(-1, 6), LABELS.repeat(2))
    np.testing.assert_array_equal(fit_svm(views, LABELS).fitted.coef_, flat.fitted.coef_)


def test_a_class_without_samples_is_never_predicted():
    machine = fit_svm(POINTS, LABELS, classes=6)
    assert np.isneginf(machine.decision(POINTS)[:, 4:]).all()
    assert machine.predict(POINTS).max() == 3


def test_c_is_chosen_on_a_part_apart():
    assert choose_c(POINTS, LABELS, grid=(1.0, 1e-9)) in (1.0, 1e-9)
    noisy = np.where(RNG.random(80) < 0.4, RNG.integers(0, 4, 80), LABELS)
    assert choose_c(POINTS, noisy, grid=(0.1,)) == 0.1
    assert choose_c(POINTS, LABELS, grid=(10.0, 1.0)) == 1.0  # both are without error: the smaller one


@pytest.mark.parametrize(
    ("labels", "options", "error", "message"),
    [
        (LABELS[1:], {}, DataError, "80 features and 79 labels"),
        (np.zeros(80, int), {}, DataError, "1 classes"),
        (LABELS, {"c": 0}, ParameterError, "c must be above 0"),
        (LABELS - 1, {}, DataError, "labels must be whole numbers from 0, not int64 from -1"),
        (LABELS / 1.0, {}, DataError, "labels must be whole numbers"),
    ],
)
def test_wrong_use_is_refused(labels, options, error, message):
    with pytest.raises(error, match=message):
        fit_svm(POINTS, labels, **options)


def test_features_that_are_not_finite_are_refused():
    points = POINTS.copy()
    points[2, 0] = np.nan
    with pytest.raises(DataError, match="1 of 80 samples have features that are not finite"):
        fit_svm(points, LABELS)


def test_a_class_of_one_sample_cannot_be_split():
    with pytest.raises(DataError, match="cannot be split"):
        choose_c(POINTS, np.array([9, *LABELS[1:]]))
