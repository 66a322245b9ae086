"""Fitted detectors as one step of a run: its conditions, its methods, and parameters that are refused."""

from __future__ import annotations

import pytest

from unshaken.core.errors import ParameterError
from unshaken.detect.engine.screening import Screening

GIVEN = {"folder": "detectors", "digest": "d", "detectors": "knn+knn-2+max-logit"}


def test_one_condition_for_each_detector():
    found = Screening(**GIVEN).conditions(label="screening", severities=(), eps=(), norm="linf")
    assert [(c.id, c.method) for c in found] == [(k, "screening") for k in ("knn", "knn-2", "max-logit")]


def test_a_label_with_a_number_is_of_the_method_before_it():
    assert Screening(**GIVEN).named_methods == ("knn", "max-logit")


@pytest.mark.parametrize("given", [{"severities": (1,), "eps": ()}, {"severities": (), "eps": (0.1,)}])
def test_severities_and_budgets_are_refused(given):
    with pytest.raises(ParameterError, match="detectors have no severities and no eps: omit them"):
        Screening(**GIVEN).conditions(label="screening", norm="linf", **given)


@pytest.mark.parametrize(
    ("shifts", "message"),
    [
        ("gaussian_noise", "'gaussian_noise' is not of the form NAME-SEVERITY"),
        ("gaussian_noise-6", "'gaussian_noise-6' is not of the form NAME-SEVERITY"),
        ("gaussian_noise-3+fogg-1", "did you mean 'fog'"),
    ],
)
def test_shifts_are_corruptions_with_a_severity(shifts, message):
    assert Screening(**GIVEN, shifts="gaussian_noise-3+fog-1").shifts == "gaussian_noise-3+fog-1"
    with pytest.raises(ParameterError, match=message):
        Screening(**GIVEN, shifts=shifts)
