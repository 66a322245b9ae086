"""Groups of images that are alike, and what a group that reaches into another set does to a test figure."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from unshaken.inspect.engine.base import Issues, Measured
from unshaken.measure.statistics.columns import Flags, Indices, Numbers
from unshaken.measure.statistics.intervals import Figure, share
from unshaken.measure.statistics.paired import newcombe


def join_pairs(first: Indices, second: Indices, count: int) -> Indices:
    """The connected component of each of `count` samples, `[count]`, numbered by their first members.

    Args:
        first: one sample of each pair.
        second: the other.
        count: of all samples.
    """
    edges = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(count, count))
    _, component = connected_components(edges, directed=False)
    _, start, place = np.unique(component, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(start))[place], np.int64)


def group_issues(measured: Measured, component: Indices, distance: Numbers, what: str) -> Issues:
    """The groups of two or more samples of which one is of the data: those across sets first, then the largest.

    Args:
        measured: all samples.
        component: number of each sample's group, `[N]`; groups of one are left out.
        distance: of each sample to the nearest of its group, `[N]`; 0 where they are the same.
        what: the figures' name, such as `duplicates`.
    """
    sizes = np.bincount(component)
    own = np.bincount(component, measured.set_of == 0).astype(np.int64)
    across = (own > 0) & (own < sizes)
    kept = np.flatnonzero((sizes > 1) & (own > 0))
    kept = kept[np.lexsort((kept, -sizes[kept], ~across[kept]))]
    number = np.full(len(sizes), -1, np.int64)
    number[kept] = np.arange(len(kept))
    rows = np.flatnonzero(number[component] >= 0)
    rows = rows[np.lexsort((rows, measured.set_of[rows], number[component[rows]]))]
    groups = number[component[rows]]
    checked = int(((measured.set_of == 0) & measured.readable).sum())
    figures, remarks = _leak(measured, across[component], checked, what) if len(measured.sets) > 1 else ({}, ())
    labels = np.array(["" if x is None else x for x in measured.labels])
    mixed = _mixed_labels(labels[rows], groups, len(kept))
    notes = [
        f"group of {sizes[component[i]]}"
        + ", across sets" * bool(across[component[i]])
        + ", other label" * bool(mixed[g])
        for i, g in zip(rows.tolist(), groups.tolist(), strict=True)
    ]
    if mixed.any():
        remarks = (*remarks, f"{int(mixed.sum())} of {len(kept)} groups have images with different labels.")
    return Issues(rows, distance[rows], checked, groups, notes, figures, remarks)


def _mixed_labels(labels: np.ndarray[tuple[int], np.dtype[np.str_]], groups: Indices, count: int) -> Flags:
    """Which groups have images with different labels; images without one are passed over."""
    pairs = {(g, label) for g, label in zip(groups.tolist(), labels.tolist(), strict=True) if label}
    return np.bincount([g for g, _ in pairs], minlength=count)[:count] > 1


def _leak(measured: Measured, across: Flags, checked: int, what: str) -> tuple[dict[str, Figure], tuple[str, ...]]:
    """The share of the data that is in another set as well, and the accuracy with and without those samples."""
    own = (measured.set_of == 0) & measured.readable
    leaked = own & across
    if not checked:
        return {}, ()
    figures = {f"leak_{what}": share(int(leaked.sum()), checked)}
    known = own & (measured.correct >= 0)
    inside, outside = known & leaked, known & ~leaked
    if not known.any() or not inside.any() or not outside.any():
        return figures, ()
    right = measured.correct == 1
    figures[f"accuracy_{what}"] = share(int(right[known].sum()), int(known.sum()))
    figures[f"accuracy_without_{what}"] = share(int(right[outside].sum()), int(outside.sum()))
    hits, sizes = (int(right[inside].sum()), int(right[outside].sum())), (int(inside.sum()), int(outside.sum()))
    between = newcombe(hits, sizes)  # on leaked samples less on others
    weight = int(inside.sum()) / int(known.sum())
    figures[f"inflation_{what}"] = Figure(
        between.value * weight, between.low * weight, between.high * weight, int(known.sum()), between.interval
    )
    return figures, ()
