"""The verdict on masked gradients, each sign by itself, at its threshold."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure.robustness.gradient_masking import gradient_masking


def first(n, of=1000):
    """True for the first n of all samples."""
    return np.arange(of) < n


def test_nothing_speaks_for_it():
    found = gradient_masking(
        first(10), first(500), {"margin": first(450)}, gradients={"pgd": first(300)}, blind={"square": first(298)}
    )
    assert (found.masked, found.reasons) == (False, ())
    assert (found.zero.value, found.plain.value, found.strongest.value) == (0.01, 0.5, 0.298)
    assert found.gap.value == pytest.approx(0.202)


def test_zero_gradients():
    found = gradient_masking(first(11), first(500), {"margin": first(500)})
    assert found.reasons == ("the gradient is exactly zero on 1% of the samples",)


def test_a_loss_that_does_not_saturate_is_ahead():
    found = gradient_masking(first(0), first(500), {"tau": first(449), "margin": first(450)})
    assert found.reasons == ("tau leaves 5.1 points less accuracy than the cross-entropy",)


def test_attacks_without_gradients_are_ahead():
    hit = first(500) & ~first(3)
    found = gradient_masking(first(0), first(500), {"margin": first(500)}, blind={"transfer": hit})
    assert found.reasons == ("transfer breaks 3 samples that no attack with gradients breaks",)
    assert not gradient_masking(first(0), first(500), {"m": first(500)}, blind={"t": first(500) & ~first(2)}).masked
    known = gradient_masking(first(0), first(500), {"m": hit}, blind={"t": hit})
    assert known.reasons == ()


def test_without_a_bound():
    options = {"unbounded": first(130), "classes": 10}
    assert "without a bound accuracy is 0.130" in gradient_masking(first(0), first(500), {}, **options).reasons[0]
    assert not gradient_masking(first(0), first(500), {}, unbounded=first(110), classes=10).masked


def test_bad_columns():
    with pytest.raises(ParameterError, match="classes"):
        gradient_masking(first(0), first(5), {}, unbounded=first(5))
    with pytest.raises(ParameterError):
        gradient_masking(first(0), first(5), {"m": first(5, of=10)})
    with pytest.raises(ParameterError):
        gradient_masking([], [], {})
