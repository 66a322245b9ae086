"""Figures of the edit and of the descriptions, from rows alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from unshaken.papers.roles import choosing
from unshaken.papers.rows import Numbers, Rows, mean_of
from unshaken_papers.milan import DRAWS, LABEL, LABELS, STRENGTHS, MilanPaper
from unshaken_papers.milan.describing import name_of


def figures(paper: MilanPaper, rows: Rows) -> dict[str, Any]:
    """Each network, and the words of all held-out units."""
    parts = rows.repetitions(paper.seeds)
    return {**{name: edit(part) for name, part in parts.items()}, "words": words(list(parts.values()))}


def edit(rows: Rows) -> dict[str, Any]:
    """Figures of one network; how many units are taken out is chosen on images that nothing is judged by."""
    with choosing():
        curve = rows.column("curve", "curve", "accuracy", by="count")
        count = int(np.argmax(curve))
    units = rows.table("units", "units")
    marked = [layer for layer, mark in zip(*(units[n].to_pylist() for n in ("layer", "marked")), strict=True) if mark]
    sets = [f"set{i}.random" for i in range(DRAWS)]
    after = rows.correct(f"without{count}.random").astype(float)
    return {
        **{name: rows.accuracy(name) for name in ("clean", "right", "random")},
        "clean_after": rows.accuracy(f"without{count}.clean"),
        "right_after": rows.accuracy(f"without{count}.right"),
        "random_after": rows.accuracy(f"without{count}.random"),
        "cost_of_mark": rows.difference("clean", "random"),
        "gain": rows.difference(f"without{count}.random", "random"),
        "over_random": mean_of(after - rows.shares(*sets), low=-1.0, high=1.0),
        "spread_of_random": float(np.std([rows.correct(name).mean() for name in sets], ddof=1)),
        "clean_lost": rows.difference("clean", f"without{count}.clean"),
        "count": count,
        "units": len(units),
        "marked": {layer: marked.count(layer) for layer in sorted(set(units["layer"].to_pylist()))},
    }


def words(parts: list[Rows]) -> dict[str, Any]:
    """Over the held-out units of all seeds, each of which is there once."""
    names = [*(name_of(s) for s in STRENGTHS), LABEL, LABELS]
    f1 = {name: values(parts, name, "f1") for name in names}
    main = f1[name_of(STRENGTHS[1])]
    return {
        **{name: mean_of(f1[name], low=0.0, high=1.0) for name in names},
        "precision": {name: mean_of(values(parts, name, "precision"), low=0.0, high=1.0) for name in names},
        "recall": {name: mean_of(values(parts, name, "recall"), low=0.0, high=1.0) for name in names},
        "over_likeliest": mean_of(main - f1[name_of(STRENGTHS[0])], low=-1.0, high=1.0),
        "over_label": mean_of(main - f1[LABEL], low=-1.0, high=1.0),
        "over_labels": mean_of(main - f1[LABELS], low=-1.0, high=1.0),
    }


def values(parts: list[Rows], name: str, column: str) -> Numbers:
    """A column of the words table, in order of ids."""
    return np.concatenate([part.column("words", name, column, by="id") for part in parts])
