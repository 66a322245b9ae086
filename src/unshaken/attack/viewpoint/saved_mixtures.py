"""Mixtures over viewpoints as rows of a run directory, and read again from there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unshaken.attack.viewpoint.mixture import ViewMixture
from unshaken.core.device import widen
from unshaken.core.errors import ParameterError
from unshaken.core.part import Condition, Part
from unshaken.core.tables import declare_table
from unshaken.data.viewpoint.object_set import ViewBox
from unshaken.store.run_dir import RunDir

_LISTS = ("mu", "sigma", "half", "centre")
VIEW_MIXTURES = declare_table(
    "view_mixtures",
    "id string, condition string, method string, component int32, weight double, mu double[], sigma double[], "
    "half double[], centre double[], per_dim bool, entropy double, fitness double, renders int64, error string",
)


def mixture_rows(
    condition: Condition, ids: Sequence[str], mixture: ViewMixture, box: ViewBox, *, entropy: Tensor, fitness: Tensor,
    renders: Tensor,
) -> Part:  # fmt: skip
    """Rows of `view_mixtures`, one a component.

    Args:
        condition: the search.
        ids: of the objects.
        mixture: of each.
        box: of the viewpoints.
        entropy: of each mixture, in nats, `[N]`.
        fitness: mean cross-entropy of the last population, `[N]`.
        renders: pictures that the search rendered, `[N]`.
    """
    n, count = mixture.mu.shape[:2]

    def repeated(values: Tensor) -> list[Any]:
        return values.repeat_interleave(count).tolist()

    columns = {
        "id": [i for i in ids for _ in range(count)],
        "component": list(range(count)) * n,
        "weight": [1 / count] * (count * n),
        "mu": widen(mixture.mu).flatten(0, 1).tolist(),
        "sigma": widen(mixture.sigma).flatten(0, 1).tolist(),
        "half": [list(box.a)] * (count * n),
        "centre": [list(box.b)] * (count * n),
        "per_dim": [mixture.per_dim] * (count * n),
        "entropy": repeated(entropy),
        "fitness": repeated(fitness),
        "renders": repeated(renders),
    }
    return Part("view_mixtures", condition, columns)


def read_mixtures(place: str, ids: Sequence[str], box: ViewBox) -> ViewMixture:
    """The mixtures that a run kept.

    Args:
        place: the run directory.
        ids: of the objects, all among those of that run.
        box: of the viewpoints; that of the run must be the same.

    Raises:
        ParameterError: there are none, or of several searches; an object has none; or the box is another.
        RunError: the directory cannot be read.
    """
    rows = RunDir(place).rows("view_mixtures").to_pylist()
    searches = sorted({row["condition"] for row in rows})
    if len(searches) != 1:
        found = ", ".join(searches) or "none"
        raise ParameterError(f"start={place!r}: one search with saved mixtures is needed there; it has {found}")
    other = next((r for r in rows if [r["half"], r["centre"]] != [list(box.a), list(box.b)]), None)
    if other is not None:
        raise ParameterError(
            f"start={place!r}: its mixtures are of the box half={other['half']}, centre={other['centre']}, not "
            f"half={list(box.a)}, centre={list(box.b)}: give that box"
        )
    by_id: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda r: r["component"]):
        by_id.setdefault(row["id"], []).append(row)
    absent = [i for i in ids if i not in by_id]
    if absent:
        raise ParameterError(f"start={place!r}: {len(absent)} objects have no mixture there, such as {absent[0]!r}")
    mu, sigma = (torch.tensor([[row[name] for row in by_id[i]] for i in ids]).float() for name in ("mu", "sigma"))
    return ViewMixture(mu, sigma, bool(rows[0]["per_dim"]))
