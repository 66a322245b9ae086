"""Certifiers by bounds: conditions, rows, the search for the largest radius, and bad input."""

import math

import pytest
import torch
from torch import nn

from unshaken.certify.bounds.ibp import IBP, margins
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.context import Context
from unshaken.core.errors import DataError, ModelError, ParameterError
from unshaken.core.oracle import Oracle
from unshaken.run.adapters import Line, conditions_of, rows_of
from unshaken.run.adapters.certify import attacks_on
from unshaken.store.tables import table_of


def test_rows(by_hand):
    x = torch.tensor([[0.8, 0.5], [0.6, 0.5]]).view(2, 1, 1, 2)
    batch, clean = Batch(x, torch.tensor([2, 0]), ("a", "b")), Oracle(by_hand).exact(x)
    (condition,) = conditions_of(IBP(), Line("ibp", eps=(0.1,)))
    parts = rows_of(IBP(), batch, [condition], Context(Oracle(by_hand), 0, clean))
    rows = table_of(parts[0]).to_pylist()
    assert [(r["radius"], r["prediction"], r["label"], r["alpha"], r["norm"]) for r in rows] == [
        (0.1, 2, 2, 0.0, "linf"),
        (0.0, 2, 0, 0.0, "linf"),
    ]
    assert rows[0]["reason"] is None
    assert "too loose" in rows[1]["reason"]
    assert [r["correct"] for r in table_of(parts[1]).to_pylist()] == [True, False]


def test_search_finds_the_largest_radius(by_hand):
    """At (.8, .5) the margins are h_1 = .3 - 2 eps and h_2 = .3 - 2 eps: .15."""
    x = torch.tensor([0.8, 0.5]).view(1, 1, 1, 2)
    batch, clean = Batch(x, torch.tensor([2]), ("a",)), Oracle(by_hand).exact(x)
    method = IBP(search=12)
    (condition,) = conditions_of(method, Line("ibp", eps=(0.4,)))
    (row,) = table_of(rows_of(method, batch, [condition], Context(Oracle(by_hand), 0, clean))[0]).to_pylist()
    assert row["radius"] == pytest.approx(0.15, abs=0.4 / 2**11)
    assert row["radius"] < 0.15


def certified(model, x, method, eps):
    clean = Oracle(model).exact(x)
    batch = Batch(x, clean.argmax(1), tuple(str(i) for i in range(len(x))))
    (condition,) = conditions_of(method, Line("ibp", eps=(eps,)))
    (rows, _) = rows_of(method, batch, [condition], Context(Oracle(model), 0, clean))
    return rows.columns


def test_a_search_leaves_the_radius_where_it_holds_and_halves_it_elsewhere(by_hand):
    """Of radius .1: .15 is held in full; at (.6, .5) the margins are .1 - 2 eps, so that .025 holds after two halvings.

    The first halving tries .05, on the border, which the rounding denies.
    """
    x = torch.tensor([[0.8, 0.5], [0.6, 0.5]]).view(2, 1, 1, 2)
    assert certified(by_hand, x, IBP(), 0.1)["radius"] == [0.1, 0.0]
    assert certified(by_hand, x, IBP(search=1), 0.1)["radius"] == [0.1, 0.0]
    assert certified(by_hand, x, IBP(search=2), 0.1)["radius"] == pytest.approx([0.1, 0.025])
    assert certified(by_hand, x, IBP(search=3), 0.1)["radius"] == pytest.approx([0.1, 0.0375])


def test_conditions():
    (whole,) = conditions_of(IBP(), Line("ibp", eps=(1.0,)))
    assert whole.eps == 1
    found = conditions_of(IBP(), Line("ibp"))
    assert [(c.id, c.eps, c.norm) for c in found] == [("ibp-linf-0.00784314", 2 / 255, "linf")]
    near = conditions_of(IBP(), Line("ibp", eps=(0.12345, 0.12346)))
    assert [c.id for c in near] == ["ibp-linf-0.12345", "ibp-linf-0.12346"]
    with pytest.raises(ParameterError, match="ibp: norm 'l2' is not one of linf"):
        conditions_of(IBP(), Line("ibp", eps=(0.1,), norm="l2"))
    with pytest.raises(ParameterError, match=r"ibp: has no severities: give eps"):
        conditions_of(IBP(), Line("ibp", severities=(1,)))
    for eps in (0.0, -0.1, 1.5, math.nan):
        with pytest.raises(ParameterError, match=r"ibp: eps .* must lie in \(0, 1\]"):
            conditions_of(IBP(), Line("ibp", eps=(eps,)))


def test_pgd_stands_beside_the_certificates():
    assert attacks_on(IBP(), [0.1, 0.2]) == [{"method": "pgd", "norm": "linf", "eps": [0.1, 0.2]}]
    assert attacks_on(IBP(), [])[0]["eps"] == [c.eps for c in conditions_of(IBP(), Line("i"))]


def test_bad_input(make, by_hand):
    x = make.samples(2, 1, 1, 2)
    with pytest.raises(DataError, match="a label each"):
        margins(by_hand, x, torch.tensor([0]), 0.1)
    with pytest.raises(DataError, match="labels run from 0 to 3, but the model has 3 classes"):
        margins(by_hand, x, torch.tensor([0, 3]), 0.1)
    with pytest.raises(DataError, match="labels run from -1 to 0"):
        margins(by_hand, x, torch.tensor([-1, 0]), 0.1)
    for images in (x[0], x[:0]):
        with pytest.raises(DataError, match=r"bounds need images \[N, C, H, W\]"):
            margins(by_hand, images, torch.zeros(len(images), dtype=torch.int64), 0.1)
    assert margins(by_hand, x, torch.tensor([0, 1]), 0.0).shape == (2, 3)
    with pytest.raises(ParameterError, match=r"eps -0\.1 must be at least 0"):
        margins(by_hand, x, torch.tensor([0, 1]), -0.1)
    with pytest.raises(ModelError, match="is a GELU"):
        margins(Classifier(nn.Sequential(nn.Flatten(), nn.GELU())), x, torch.tensor([0, 1]), 0.1)
