"""Mixtures as rows of a run, and read again for the objects that are asked for."""

from __future__ import annotations

import pytest
import torch

from unshaken.attack.viewpoint.mixture import ViewMixture
from unshaken.attack.viewpoint.saved_mixtures import mixture_rows, read_mixtures
from unshaken.core.errors import ParameterError
from unshaken.core.part import Condition
from unshaken.data.viewpoint.object_set import ViewBox
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import table_of

BOX = ViewBox((5, 180, 30, 0.5, 0.1, 0.1), (0, 0, 50, 4, 0, 0))
FIGURES = {"entropy": torch.tensor([1.0, 2.0]), "fitness": torch.tensor([0.5, 0.25]), "renders": torch.tensor([7, 8])}


def saved(place, condition="gmvfool", per_dim=False):
    mixture = ViewMixture(torch.arange(24.0).view(2, 2, 6), torch.full((2, 2, 6), 0.125), per_dim)
    part = mixture_rows(Condition(condition, "gmvfool"), ("a", "b"), mixture, BOX, **FIGURES)
    RunDir(place).write_rows(table_of(part), "view_mixtures", condition, 0)
    return mixture, table_of(part).to_pylist()


def test_a_row_a_component(tmp_path):
    _, rows = saved(tmp_path)
    assert [(r["id"], r["component"], r["weight"]) for r in rows] == [
        ("a", 0, 0.5), ("a", 1, 0.5), ("b", 0, 0.5), ("b", 1, 0.5),
    ]  # fmt: skip
    assert [r["mu"][0] for r in rows] == [0, 6, 12, 18]
    assert [(r["entropy"], r["fitness"], r["renders"]) for r in rows] == [(1, 0.5, 7)] * 2 + [(2, 0.25, 8)] * 2
    assert (rows[0]["half"], rows[0]["centre"]) == (list(BOX.a), list(BOX.b))


@pytest.mark.parametrize("per_dim", [False, True])
def test_they_are_read_in_the_order_that_is_asked_for(tmp_path, per_dim):
    mixture, _ = saved(tmp_path, per_dim=per_dim)
    found = read_mixtures(str(tmp_path), ["b", "a"], BOX)
    assert torch.equal(found.mu, mixture.mu.flip(0))
    assert torch.equal(found.sigma, mixture.sigma)
    assert found.per_dim is per_dim
    assert read_mixtures(str(tmp_path), ["b"], BOX).mu.shape == (1, 2, 6)


def test_what_does_not_fit_is_refused(tmp_path):
    saved(tmp_path)
    with pytest.raises(ParameterError, match="2 objects have no mixture there, such as 'c'"):
        read_mixtures(str(tmp_path), ["a", "c", "d"], BOX)
    for other in (ViewBox(BOX.a, (0, 0, 51, 4, 0, 0)), ViewBox((4, *BOX.a[1:]), BOX.b)):
        with pytest.raises(ParameterError, match="give that box"):
            read_mixtures(str(tmp_path), ["a"], other)
    saved(tmp_path, "viewfool")
    with pytest.raises(ParameterError, match="it has gmvfool, viewfool"):
        read_mixtures(str(tmp_path), ["a"], BOX)
