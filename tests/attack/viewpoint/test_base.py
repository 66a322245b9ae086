"""Attacks by viewpoint: boxes, the hardest view, and the question that is asked in pieces."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from tests.attack.viewpoint.conftest import AzimuthNet, azimuth
from unshaken.attack.viewpoint.base import BOXES, ChosenViews, RenderedViews, view_rows
from unshaken.attack.viewpoint.gmvfool import GMVFool
from unshaken.attack.viewpoint.mixture import ViewMixture
from unshaken.attack.viewpoint.random_views import RandomViews
from unshaken.attack.viewpoint.viewfool import ViewFool
from unshaken.core import Batch, Classifier, Oracle
from unshaken.core.errors import ParameterError
from unshaken.core.part import Condition
from unshaken.store.tables import table_of


def test_the_boxes_by_name():
    """Usual photos: the front quarter, 10 to 30 degrees above the horizon; upright: all around, 10 to 70 degrees."""
    assert (BOXES["natural"].a, BOXES["natural"].b) == ((3, 45, 10, 0.25, 0.1, 0.1), (0, 0, 70, 4, 0, 0))
    assert (BOXES["upright"].a, BOXES["upright"].b) == ((5, 180, 30, 0.5, 0.1, 0.1), (0, 0, 50, 4, 0, 0))
    assert RandomViews(region="whole").box == BOXES["whole"]
    own = RandomViews(half=(1, 2, 3, 0.5, 0.1, 0.2), centre=(0, 10, 60, 3, 0, 0)).box
    assert (own.a, own.b) == ((1, 2, 3, 0.5, 0.1, 0.2), (0, 10, 60, 3, 0, 0))


@pytest.mark.parametrize("half", [(0, 1, 1, 0.5, 1, 1), (1, 1, 1, 0.5, 1, -1)])
def test_a_box_without_width_is_refused(half):
    with pytest.raises(ParameterError, match="half must be positive"):
        RandomViews(half=half, centre=(0, 0, 0, 4, 0, 0))


def test_the_most_passes_and_the_objects_searched_together():
    attack = GMVFool(components=2, pairs=20, steps=12, samples=30)
    assert attack.most_passes(8) == 12 * (2 + 40) + 30
    assert (attack.width(420), attack.width(419), attack.width(1)) == (10, 9, 1)
    assert ViewFool(pairs=5, steps=3, samples=7).most_passes(8) == 3 * 11 + 7
    assert RandomViews(samples=9).most_passes(8) == 9


class Unsure(nn.Module):
    """From the left the first class is right, by little; from the right the second wins although the first is near."""

    def forward(self, x):
        left = x[:, :1, 0, 0] < 0.5
        return torch.where(left, torch.tensor([0.34, 0.33, 0.33]).log(), torch.tensor([0.45, 0.5, 0.05]).log())


def test_the_hardest_view_is_a_wrong_one_where_there_is_any(azimuth_batch, evaluated):
    """Its loss is smaller than that of the right ones."""
    parts, _ = evaluated(RandomViews(samples=20), azimuth_batch, net=Unsure())
    views = table_of(parts["views"]).to_pylist()
    assert {(v["theta"] < 0) == v["correct"] for v in views if v["label"] == 0} == {True}
    wrong, right = ([v["loss"] for v in views if v["label"] == 0 and v["correct"] is c] for c in (False, True))
    assert max(wrong) < min(right)
    outcomes = table_of(parts["outcomes"]).to_pylist()
    assert [o["correct"] for o in outcomes] == [False, False, False]
    assert outcomes[0]["loss"] == pytest.approx(max(wrong))


@pytest.mark.parametrize(("limit", "draws"), [(1, 1), (4, 1), (5, 3), (100, 2)])
def test_views_are_rendered_in_pieces_of_one_pass(limit, draws):
    """Three objects from four viewpoints; of a model without randomness the mean of several passes is one of them."""
    views = torch.zeros(3, 4, 6)
    views[..., 1] = torch.arange(12.0).view(3, 4) * 10 - 60
    pieces = []

    def render(number, some):
        pieces.append((number, len(some)))
        return azimuth(number, some)

    oracle = Oracle(Classifier(AzimuthNet()).eval(), limit=limit, draws=draws)
    query = RenderedViews(views, torch.tensor([5, 6, 7]), render)
    answer = oracle.ask(query)
    seen = (views[..., 1] / 360 + 0.5) * 8 - 4
    assert torch.allclose(answer.logits, torch.stack([-seen, seen], 2), atol=1e-5)
    assert torch.equal(answer.labels, (seen > 0).long())
    assert query.width == 4
    assert answer.forwards.tolist() == [4 * draws] * 3
    assert max(n for _, n in pieces) <= min(limit, 4)
    assert sum(n for _, n in pieces) == 12
    assert {number for number, _ in pieces} == {5, 6, 7}


def test_only_the_position_is_searched(azimuth_batch, evaluated):
    few = {"components": 1, "pairs": 3, "steps": 2, "samples": 10}
    views = table_of(evaluated(GMVFool(**few, search="position"), azimuth_batch)[0]["views"]).to_pylist()
    assert {(v["psi"], v["theta"], v["phi"]) for v in views} == {(0, 0, 50)}
    assert len({(v["r"], v["dx"], v["dy"]) for v in views}) == len(views)
    mixtures = table_of(evaluated(GMVFool(**few | {"components": 4}), azimuth_batch)[0]["view_mixtures"]).to_pylist()
    assert {m["weight"] for m in mixtures} == {0.25}
    assert [m["component"] for m in mixtures] == [0, 1, 2, 3] * 3
    turns = table_of(evaluated(GMVFool(**few), azimuth_batch)[0]["turns"]).to_pylist()
    assert [(t["turn"], t["standing"], t["forwards"], t["backwards"]) for t in turns] == [(0, 3, 3 * 2 * 7, 0)]


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
