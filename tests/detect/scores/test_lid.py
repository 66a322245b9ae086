"""Local intrinsic dimension: a hand-made case, a known dimension, zeros, and the fixed references."""

from __future__ import annotations

import pytest
import torch

from unshaken.core.errors import DataError, ParameterError
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.lid import LID, local_intrinsic_dimension, nearest_distances


def test_distances_one_to_four():
    assert local_intrinsic_dimension(torch.tensor([1.0, 2, 3, 4])).item() == pytest.approx(1.689815, abs=1e-6)


@pytest.mark.parametrize("d", [2, 6, 30])
def test_dimension_of_a_ball(d):
    distances = (torch.arange(1, 2001, dtype=torch.float64) / 2000) ** (1 / d)  # quantiles of distances in d dimensions
    assert local_intrinsic_dimension(distances).item() == pytest.approx(d, rel=0.005)


def test_the_own_zero_is_left_out_once():
    references = torch.tensor([[0.0], [1], [2], [4]]).double()
    assert nearest_distances(torch.tensor([[0.0]]).double(), references, 3).tolist() == [[1, 2, 4]]
    assert nearest_distances(torch.tensor([[0.5]]).double(), references, 3).tolist() == [[0.5, 0.5, 1.5]]
    twice = torch.tensor([[0.0], [0], [2], [4]]).double()
    assert nearest_distances(torch.tensor([[0.0]]).double(), twice, 3).tolist() == [[0, 2, 4]]


def test_scores_are_finite_where_distances_are_zero_or_equal():
    some = torch.tensor([[0.0, 0, 0], [0, 1, 2], [1, 1, 1]]).double()
    found = local_intrinsic_dimension(some)
    assert bool(found.isfinite().all())
    assert found[0] == 0
    assert 0 < found[1] < 0.01
    assert found[2].item() == pytest.approx(1e6)


def fitted(anatomy, **options):
    rng = torch.Generator().manual_seed(0)
    rows = torch.randn(150, 2, generator=rng)
    method = LID(**options)
    return method, method.layer_bank(FitData(anatomy, {}, {"pooled/head:in": rows})), rows


def test_references_are_fixed_so_a_batch_changes_nothing(anatomy):
    method, bank, rows = fitted(anatomy)
    assert bank["0.references"].shape == (100, 2)
    forward = ForwardPass(anatomy, torch.zeros(150, 2), {"head:in": rows})
    whole = method.score(forward, bank)
    alone = torch.cat([method.score(ForwardPass(anatomy, torch.zeros(1, 2), {"head:in": r[None]}), bank) for r in rows])
    assert torch.equal(whole, alone)
    ordered = (rows[3].double() - rows[:100].double()).norm(dim=1).sort().values[1:21]  # 0 is its own distance
    assert whole[3].item() == pytest.approx(-20 / (ordered / ordered[-1]).log().sum().item())


def test_the_gradient_is_a_number_at_a_reference(anatomy):
    method, bank, rows = fitted(anatomy)
    point = rows[:2].clone().requires_grad_(True)
    method.score(ForwardPass(anatomy, torch.zeros(2, 2), {"head:in": point}), bank).sum().backward()
    assert bool(point.grad.isfinite().all())
    assert bool((point.grad != 0).any())


def test_bad_input(anatomy):
    with pytest.raises(ParameterError, match="below the 100 references"):
        LID(k=100)
    with pytest.raises(DataError, match="too few for k=20"):
        LID().layer_bank(FitData(anatomy, {}, {"pooled/head:in": torch.randn(20, 2)}))
    with pytest.raises(ParameterError, match="k=1 must be 2 or more"):
        LID(k=1)
    assert (LID(k=2).k, LID(k=99).k) == (2, 99)
    enough = LID().layer_bank(FitData(anatomy, {}, {"pooled/head:in": torch.randn(21, 2)}))
    assert len(enough["0.references"]) == 21


def test_rounding_of_another_batch_leaves_the_own_zero_a_zero():
    references = torch.randn(50, 8, generator=torch.Generator().manual_seed(0)).double()
    rounded = references * (1 + 1e-7)
    exact, near = (nearest_distances(q, references, 10) for q in (references, rounded))
    assert near.numpy() == pytest.approx(exact.numpy(), rel=1e-5)
