"""Gram matrices: row sums against full matrices, bounds by class, and dead channels."""

from __future__ import annotations

import pytest
import torch

from unshaken.core.errors import ParameterError
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.gram import Gram, deviation, gram_rows, places


@pytest.mark.parametrize("power", [1, 2, 3, 5, 6, 7, 8])
def test_rows_are_those_of_the_full_matrix(power):
    values = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    raised = values**power
    sums = (raised @ raised.transpose(1, 2)).sum(2)
    expected = sums.sign() * sums.abs() ** (1 / power)
    assert gram_rows(values, power, 64).numpy() == pytest.approx(expected.numpy(), rel=1e-9)
    assert gram_rows(values, power, 3).numpy() == pytest.approx(expected[:, [0, 2, 4]].numpy(), rel=1e-9)


def test_high_powers_do_not_overflow_and_zeros_have_a_gradient():
    values = torch.tensor([[[1e4, 2e4], [0, 0]]]).requires_grad_(True)
    rows = gram_rows(values, 16, 64)
    rows.sum().backward()
    assert bool(rows.isfinite().all() & values.grad.isfinite().all())
    assert rows[0, 0].item() == pytest.approx(4e8 * (1 + 2.0**-32) ** (1 / 16), rel=1e-6)
    assert rows[0, 1] == 0


def test_deviation_is_relative_to_the_bound_that_is_crossed():
    one = torch.ones(1, 3)
    rows = torch.tensor([[1.0, 5.0, 12.0]])
    found = deviation(rows, 2 * one, 10 * one, 2 * one, 10 * one)
    assert found[0].tolist() == pytest.approx([0.5, 0, 0.2])


def test_places_of_all_shapes():
    assert places(torch.zeros(2, 3, 4, 5), "x").shape == (2, 3, 20)
    assert places(torch.zeros(2, 7, 3), "x").shape == (2, 3, 7)
    assert places(torch.zeros(2, 3), "x").shape == (2, 3, 1)


def forward(anatomy: Anatomy, maps: torch.Tensor, classes: torch.Tensor) -> ForwardPass:
    return ForwardPass(anatomy, torch.eye(2)[classes], {"stem": maps})


def test_bounds_are_those_of_the_predicted_class():
    anatomy = Anatomy("toy", 2, None, ("stem",))
    method = Gram(layer="stem", powers="1")
    values = torch.tensor([1.0, 2, 3, 10, 20, 30]).view(6, 1, 1, 1)  # one channel, one place: the row sum is F^2
    classes = torch.tensor([0, 0, 0, 1, 1, 1])
    normal = forward(anatomy, values, classes)
    held_out = forward(anatomy, torch.tensor([4.0, 30.0]).view(2, 1, 1, 1), torch.tensor([0, 1]))
    bank = method.fit(FitData(anatomy, {}, dict(method.rows(normal)), held_out))
    assert bank["0.low"].tolist() == [[1], [100]]
    assert bank["0.high"].tolist() == [[9], [900]]
    expected = ((16 - 9) / 9 + 0) / 2  # mean deviation of the held-out samples
    assert bank["expected"].tolist() == pytest.approx([expected])
    found = method.score(forward(anatomy, torch.tensor([2.0, 5, 5]).view(3, 1, 1, 1), torch.tensor([0, 0, 1])), bank)
    assert found.tolist() == pytest.approx([0, (25 - 9) / 9 / expected, (100 - 25) / 100 / expected], rel=1e-6)


def test_a_dead_channel_and_a_class_never_predicted_give_finite_scores():
    anatomy = Anatomy("toy", 2, None, ("stem",))
    rng = torch.Generator().manual_seed(0)
    maps = torch.rand(40, 3, 4, 4, generator=rng)
    maps[:, 1] = 0
    method = Gram()
    zeros = torch.zeros(40, dtype=torch.int64)
    known = FitData(
        anatomy, {}, dict(method.rows(forward(anatomy, maps[:30], zeros[:30]))), forward(anatomy, maps[30:], zeros[30:])
    )
    bank = method.fit(known)
    lit = maps.clone()
    lit[:, 1] = 1
    for classes in (zeros, zeros + 1):
        scores = method.score(forward(anatomy, lit, classes), bank)
        assert bool(scores.isfinite().all())
        assert scores.min() > method.score(forward(anatomy, maps, classes), bank).max()


def test_powers_are_checked():
    assert Gram.from_text({"powers": "3"}).powers == (3,)
    with pytest.raises(ParameterError, match="powers=0: Input should be greater"):
        Gram(powers="1+0")
    with pytest.raises(ParameterError, match="powers=33: Input should be less"):
        Gram(powers="33")
    assert Gram(powers="32+1").powers == (32, 1)
