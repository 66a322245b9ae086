"""Two models of the user's own: disparity over all classes, clean and robust, and what changes between them."""

from __future__ import annotations

from typing import Any

import torch

from unshaken.attack.gradient.pgd import PGD
from unshaken.core.batch import Batch
from unshaken.core.classifier import evaluating
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.oracle import Oracle, required
from unshaken.core.search_copy import search_copy
from unshaken.data import load_data, stream
from unshaken.data.subset import subset
from unshaken.measure.robustness.fairness import Disparity, disparity, gap_change
from unshaken.models import load_model
from unshaken.papers.base import Bench
from unshaken.run.rows import Condition, Part


def own_pair(bench: Bench, limit: int, eps: float) -> dict[str, Any]:
    """Rows and figures of `STANDARD|ROBUST`.

    Args:
        bench: names models and data.
        limit: images, the same share of each class.
        eps: linf radius of PGD with 20 steps.

    Raises:
        ParameterError: not two models are named.
        DataError: no labelled image can be read.
    """
    specs = [spec.strip() for spec in bench.model.split("|")]
    if len(specs) != 2:
        raise ParameterError(
            f"accuracy-disparity: model {bench.model!r}: name a standard and a robust model, as in 'run:A|run:B'"
        )
    models = {k: load_model(s, download=bench.download) for k, s in zip(("standard", "robust"), specs, strict=True)}
    data = load_data(bench.data, download=bench.download)
    bench.pin(models=specs, data=data.fingerprint, limit=limit, eps=eps)
    for name, model in models.items():
        rows = subset(data, limit, bench.seed).tolist()
        found = [b for b in stream(data, rows, view=model.view, batch_size=500) if isinstance(b, Batch)]
        if not found or found[0].labels is None:
            raise DataError(f"data {data.options.spec!r}: no labelled image can be read")
        batch = Batch.concat(found)
        if bench.run.has_rows("classwise", name, 0):
            continue
        with evaluating(model):
            oracle = Oracle(model, search_copy=search_copy(model, batch.images[:2]))
            right = oracle.exact(batch.images).argmax(1) == required(batch.labels)
            (attacked,), _ = PGD(steps=20, step_size=0.125).attack(
                oracle, batch, norm="linf", eps=[eps], seed=bench.seed
            )
        columns = {
            "id": list(batch.ids),
            "label": required(batch.labels).numpy(),
            "correct": right.numpy(),
            "robust": (right & ~torch.as_tensor(attacked.fooled)).numpy(),
        }
        bench.keep([Part("classwise", Condition(name, "pgd", eps=eps, norm="linf"), columns)], 0)
    return figures(bench)


def figures(bench: Bench) -> dict[str, Any]:
    """From rows alone; samples in the order of their ids."""
    rows = bench.run.rows("classwise").sort_by("id").to_pylist()
    parts = {k: [r for r in rows if r["condition"] == k] for k in ("standard", "robust")}
    labels = [r["label"] for r in parts["standard"]]
    found: dict[str, Any] = {}
    for column, word in (("correct", "clean"), ("robust", "attacked")):
        before, after = ([r[column] for r in parts[k]] for k in ("standard", "robust"))
        found[word] = {
            "standard": summary(disparity(before, labels)),
            "robust": summary(disparity(after, labels)),
            "change": gap_change(before, after, labels).to_json(),
        }
    return {"own": found}


def summary(found: Disparity) -> dict[str, Any]:
    """A disparity as JSON."""
    return {
        "gap": found.gap.to_json(),
        "gap_by_chance": round(found.by_chance, 4),
        "deviation": found.deviation.to_json(),
        "worst": found.worst.to_json(),
        "worst_class": found.worst_class,
        "best_class": found.best_class,
    }
