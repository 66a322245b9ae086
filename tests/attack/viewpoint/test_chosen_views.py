"""The views that are judged: what a journal keeps of them, and their rows."""

from __future__ import annotations

import json

import pytest
import torch

from unshaken.attack.viewpoint.chosen_views import ChosenViews, view_rows
from unshaken.attack.viewpoint.mixture import ViewMixture
from unshaken.core import Batch
from unshaken.core.part import Condition
from unshaken.store.tables import table_of

VIEWS = torch.arange(24.0).view(2, 2, 6)


def chosen(mixture=None, fitness=None):
    component = torch.tensor([[0, -1], [1, 1]])
    return ChosenViews(VIEWS, component, torch.tensor([3, 4]), torch.tensor([0.5, 0.25]).double(), mixture, fitness)


@pytest.mark.parametrize("with_mixture", [False, True])
def test_a_record_gives_the_row_back(with_mixture):
    mixture = ViewMixture(torch.rand(2, 3, 6), torch.rand(2, 3, 6), True) if with_mixture else None
    whole = chosen(mixture, torch.tensor([1.5, 2.5]) if with_mixture else None)
    for i in range(2):
        row = whole[slice(i, i + 1)]
        back = ChosenViews.from_record(json.loads(json.dumps(row.to_record())))
        for name in ("views", "component", "forwards", "seconds"):
            assert torch.equal(getattr(back, name), getattr(row, name)), name
            assert getattr(back, name).dtype == getattr(row, name).dtype
        if with_mixture:
            assert torch.equal(back.mixture.mu, row.mixture.mu)
            assert torch.equal(back.mixture.sigma, row.mixture.sigma)
            assert back.mixture.per_dim
            assert torch.equal(back.fitness, row.fitness)
        else:
            assert (back.mixture, back.fitness) == (None, None)


def test_a_row_a_view():
    batch = Batch(torch.zeros(2, 1, 2, 2), torch.tensor([0, 1]), ("a", "b"))
    logits = torch.tensor([[[0.0, 0.0], [2.0, 0.0]], [[2.0, 0.0], [0.0, 2.0]]])
    part = view_rows(Condition("v", "v"), batch, chosen(), logits, torch.tensor([[0.7, 0.1], [2.1, 0.1]]))
    rows = table_of(part).to_pylist()
    assert [(r["id"], r["number"], r["component"]) for r in rows] == [
        ("a", 0, 0), ("a", 1, None), ("b", 0, 1), ("b", 1, 1),
    ]  # fmt: skip
    assert [(r["psi"], r["dy"]) for r in rows] == [(0, 5), (6, 11), (12, 17), (18, 23)]
    assert [(r["label"], r["prediction"], r["correct"]) for r in rows] == [
        (0, 0, True), (0, 0, True), (1, 0, False), (1, 1, True),
    ]  # fmt: skip
    assert [r["confidence"] for r in rows] == pytest.approx([0.5, *[0.880797] * 3], abs=1e-6)
    assert [r["loss"] for r in rows] == pytest.approx([0.7, 0.1, 2.1, 0.1])
