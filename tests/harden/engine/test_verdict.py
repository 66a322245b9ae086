"""What attacks on a guard left behind, from ways made by hand."""

from __future__ import annotations

import pytest
import torch

from unshaken.core import Batch
from unshaken.harden.engine._verdict import GuardUnderAttack, Way, _breakers, joined
from unshaken.measure import share
from unshaken.store.tables import table_of


def way(name, right, value=0.0, **cost):
    right = torch.tensor(right)
    n = len(right)
    images = torch.full((n, 1, 1, 1), value)
    return Way(name, images, right, images.view(n, 1).repeat(1, 2), images.flatten().double(), (name,) * n, **cost)


COST = {"forwards": torch.tensor([3, 4]), "backwards": torch.tensor([1, 2]), "seconds": torch.tensor([0.5, 0.25])}


def test_the_first_of_the_worst_ways_counts_for_each_sample_and_costs_add_up():
    one, two, three = way("one", [2, 1], 0.1), way("two", [0, 1], 0.2, **COST), way("three", [0, 3], 0.3, **COST)
    found = joined("all", [one, two, three])
    assert (found.name, found.right.tolist(), found.broken_by) == ("all", [0, 1], ("two", "one"))
    assert found.images.flatten().tolist() == pytest.approx([0.2, 0.1])
    assert found.logits[:, 0].tolist() == pytest.approx([0.2, 0.1])
    assert found.distance.tolist() == pytest.approx([0.2, 0.1])
    assert (found.forwards.tolist(), found.backwards.tolist()) == ([6, 8], [2, 4])
    assert found.seconds.tolist() == [1, 0.5]
    assert not len(joined("free", [one, one]).forwards)


def under(looks, clean, bare, direct, naive, adaptive):
    batch = Batch(torch.zeros(2, 1, 1, 1), torch.zeros(2, dtype=torch.int64), ("a", "b"))
    ways = {"bare": way("bare", bare), "direct": way("direct", direct, 0.5, **COST)}
    final = way("naive", naive), way("adaptive", adaptive, 0.5)
    return GuardUnderAttack(batch, "pgd", "linf", 0.1, looks, way("clean", clean), ways, *final)


def test_figures_of_a_guard_without_randomness_are_shares_of_samples():
    found = under(1, [1, 1], [1, 0], [0, 1], [1, 0], [0, 0])
    assert found.figures["clean"] == share(2, 2)
    values = {k: f.value for k, f in found.figures.items()}
    assert values == {"clean": 1, "bare": 0.5, "direct": 0.5, "naive": 0.5, "adaptive": 0, "overestimate": 0.5}


def test_figures_of_a_random_guard_are_means_of_shares_of_passes():
    found = under(4, [4, 4], [3, 4], [2, 1], [3, 4], [2, 1])
    assert found.shares(found.adaptive).tolist() == [0.5, 0.25]
    values = {k: f.value for k, f in found.figures.items()}
    assert values == {
        "clean": 1, "bare": 0.875, "direct": 0.375, "naive": 0.875, "adaptive": 0.375, "overestimate": 0.5
    }  # fmt: skip


def test_a_sample_is_broken_where_most_passes_are_wrong():
    assert _breakers(way("w", [1, 2, 3, 0]), 4) == ["w", None, None, "w"]
    assert _breakers(way("w", [0, 1]), 1) == ["w", None]


def test_rows_have_the_passes_of_a_judgement_where_no_search_was_paid():
    found = under(4, [4, 4], [3, 4], [2, 1], [3, 4], [2, 1])
    rows = {(p.table, p.condition.id): table_of(p).to_pydict() for p in found.parts("g")}
    assert len(rows) == 10
    clean, direct = rows["outcomes", "g.clean"], rows["outcomes", "g.direct-linf-0.1"]
    assert (clean["forwards"], clean["backwards"], clean["seconds"]) == ([4, 4], [0, 0], [0, 0])
    assert clean["distance"] == clean["broken_by"] == [None, None]
    assert (direct["forwards"], direct["backwards"], direct["seconds"]) == ([3, 4], [1, 2], [0.5, 0.25])
    assert direct["distance"] == [0.5, 0.5]
    assert direct["broken_by"] == [None, "direct"]
    assert rows["looks", "g.direct-linf-0.1"]["right"] == [2, 1]
    assert {k[0] for k in ((p.table,) for p in under(1, *[[1, 1]] * 5).parts("g"))} == {"outcomes"}
