"""Phases of an attack, one after the other: many budgets from one run for the smallest norm."""

from __future__ import annotations

import math

import pytest
import torch

from unshaken.attack import DeepFool
from unshaken.core import Batch, Oracle

DUAL = {"linf": 1.0, "l2": 2.0}


def spread_margins(make, norm):
    """As `make.spread`, with the first image wrong already."""
    model, batch, distance = make.spread(norm, 20)
    labels = batch.labels.index_fill(0, torch.tensor([0]), 1)
    return model, Batch(batch.images, labels, batch.ids), distance.index_fill(0, torch.tensor([0]), 0.0)


@pytest.mark.parametrize("norm", list(DUAL))
def test_one_run_answers_all_budgets_in_their_order(make, norm):
    model, batch, distance = spread_margins(make, norm)
    radii = [math.inf, float(distance.quantile(0.3)), 0.0, float(distance.quantile(0.8))]
    oracle = Oracle(model)
    found, _ = DeepFool().attack(oracle, batch, norm=norm, eps=radii)
    for radius, one in zip(radii, found, strict=True):
        clear = (distance * 1.02 - radius).abs() > 0.03 * radius if radius < math.inf else distance >= 0
        assert torch.equal(one.fooled[clear], (distance <= radius)[clear]), radius
        assert torch.equal(model(one.images).argmax(1) != batch.labels, one.fooled)
        assert torch.equal(one.images[~one.fooled], batch.images[~one.fooled])
        assert bool((one.distance <= radius * (1 + 1e-6)).all())
    every, some, none, most = found
    assert bool(every.fooled.all())
    # DeepFool overshoots by a fiftieth, and by 1e-4 against rounding.
    assert torch.allclose(every.distance.float(), 1.02 * distance + 1e-4 * (distance > 0), atol=3e-5, rtol=2e-3)
    assert (int(none.fooled.sum()), float(none.distance.max())) == (1, 0.0)
    assert bool((some.fooled <= most.fooled).all())
    assert int(some.fooled.sum()) < int(most.fooled.sum()) < 20
    # Paid once, with the smallest budget.
    assert [int(one.forwards.sum()) > 0 for one in found] == [False, False, True, False]
    assert oracle.meter.forwards == int(none.forwards.sum()) + 20
    assert none.breakers()[0] == "clean"
    assert every.breakers()[1:] == ["deepfool"] * 19


def test_where_nothing_is_found_at_any_distance_the_distance_is_infinite(make):
    model = make.affine(torch.zeros(1, 4, 4), 1.0)  # class 0 whatever the image
    batch = make.batch(model, make.images(3, 1, 4, 4))
    (far, near), flags = DeepFool(steps=3).attack(Oracle(model), batch, norm="l2", eps=[math.inf, 0.5])
    assert far.distance.tolist() == [math.inf] * 3
    assert near.distance.tolist() == [0.0] * 3
    assert not bool((far.fooled | near.fooled).any())
    assert torch.equal(far.images, batch.images)
    assert far.breakers() == [None] * 3
    assert [(f.name, f.ids) for f in flags] == [("zero-gradient", batch.ids)]
