"""Exponents by seed and their differences over seeds, from rows alone."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from scipy import stats

from unshaken.core.errors import ParameterError
from unshaken.measure import crossing_figure, exponent_figure, fit_power_law, recognisability
from unshaken.measure.scaling import tempered_losses
from unshaken.papers.effects import across_seeds, values_of
from unshaken.papers.roles import choosing
from unshaken.papers.rows import Rows
from unshaken_papers.synthetic_scaling import COLD, OWN, REAL, SyntheticScalingPaper, source_of


def figures(paper: SyntheticScalingPaper, rows: Rows) -> dict[str, Any]:
    """By seed, and over seeds."""
    seeds = {name: of_seed(paper, part) for name, part in rows.repetitions(paper.seeds).items()}
    of = partial(values_of, list(seeds.values()))
    k = {name: of(name, "exponent") for name in (REAL, *map(source_of, paper.temperatures))}
    few, many = of("gain", "few"), of("gain", "many")
    unbounded = partial(across_seeds, low=-math.inf, high=math.inf)
    return {
        **seeds,
        "exponent": {name: unbounded(values) for name, values in k.items()},
        "less": {name: unbounded(k[REAL] - values) for name, values in k.items() if name != REAL},
        "guidance": unbounded(k[source_of(OWN)] - k[source_of(COLD)]),
        "correlation": across_seeds(of("correlation")),
        "gain": {
            "few": across_seeds(few),
            "many": across_seeds(many),
            "less": across_seeds(few - many, low=-2.0, high=2.0),
        },
    }


def of_seed(paper: SyntheticScalingPaper, rows: Rows) -> dict[str, Any]:
    """All figures of one seed."""
    names = [REAL, *(source_of(t) for t in paper.temperatures)]
    losses = {name: np.stack([loss(rows, f"{name}-{size}") for size in paper.sizes]) for name in names}
    own = losses[source_of(OWN)]
    by_class, scores = recognised(paper, rows, own)
    found: dict[str, Any] = {name: curve(paper, rows, name, values) for name, values in losses.items()}
    found["recognisability"] = scores.mean
    found["correlation"] = float(np.nan_to_num(stats.spearmanr(list(scores.classes.values()), by_class).statistic))
    found["exponent_by_class"] = {str(c): value for c, value in enumerate(by_class)}
    found["recognisability_by_class"] = {str(c): value for c, value in scores.classes.items()}
    found["diversity"] = float(np.mean(rows.column("diversity", "generated", "diversity")))
    at = crossing_figure(paper.sizes, losses[REAL], own)
    found["crossing"] = None if at is None else at.to_json()
    few, many = paper.sizes[0], paper.sizes[-1]
    found["gain"] = {
        "few": rows.difference("mix-few.test", f"{REAL}-{few}.test"),
        "many": rows.difference("mix-many.test", f"{REAL}-{many}.test"),
    }
    return found


def curve(paper: SyntheticScalingPaper, rows: Rows, name: str, losses: np.ndarray) -> dict[str, Any]:
    """Exponents of one source: of the loss, of the error, and with a floor where sizes are enough."""
    accuracies = [rows.accuracy(f"{name}-{size}.test")["value"] for size in paper.sizes]
    law = fit_power_law(paper.sizes, losses.mean(1))
    found = {
        "exponent": exponent_figure(paper.sizes, losses).to_json(),
        "loss": {str(s): float(v) for s, v in zip(paper.sizes, losses.mean(1), strict=True)},
        "accuracy": {str(s): v for s, v in zip(paper.sizes, accuracies, strict=True)},
        "standard_error": law.exponent_error if math.isfinite(law.exponent_error) else None,
    }
    if max(accuracies) < 1:
        found["exponent_of_error"] = fit_power_law(paper.sizes, [1 - a for a in accuracies]).exponent
    if len(paper.sizes) >= 4:
        found["floor"] = fit_power_law(paper.sizes, losses.mean(1), floor=True).floor
    return found


def loss(rows: Rows, name: str) -> np.ndarray:
    """Cross-entropy of each test image after one temperature, which is fitted on other images `[N]`.

    Where those are all classified correctly there is none, and the loss is that of the network.
    """
    with choosing():
        others = rows.logits(f"{name}.choosing")
    return tempered_losses(*rows.logits(f"{name}.test"), *others)


def recognised(paper: SyntheticScalingPaper, rows: Rows, losses: np.ndarray) -> tuple[list[float], Any]:
    """The exponent of each class with generated images, and the F1 of each class in them."""
    scores = recognisability(*rows.columns("recognised", "generated", "label", "predicted"))
    _, labels = rows.logits(f"{REAL}-{paper.sizes[0]}.test")
    if missing := [k for k in scores.classes if not (labels == k).any()]:
        raise ParameterError(f"no test image is of class {missing[0]}: give more test images")
    return [fit_power_law(paper.sizes, losses[:, labels == k].mean(1)).exponent for k in scores.classes], scores
