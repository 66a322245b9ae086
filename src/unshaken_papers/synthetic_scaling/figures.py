"""Exponents by seed and their differences over seeds, from rows alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
from scipy import stats

from unshaken.core.errors import ParameterError
from unshaken.measure import crossing_figure, exponent_figure, fit_power_law, influence, recognisability
from unshaken.measure.generation.recognisability import ByClass
from unshaken.measure.scaling import tempered_losses
from unshaken.papers.effects import across_seeds, values_of
from unshaken.papers.roles import choosing
from unshaken.papers.rows import Numbers, Rows
from unshaken_papers.synthetic_scaling import COLD, OWN, REAL, SyntheticScalingPaper, source_of


def figures(paper: SyntheticScalingPaper, rows: Rows) -> dict[str, Any]:
    """By seed, and over seeds and test images."""
    parts = rows.repetitions(paper.seeds)
    names = [REAL, *(source_of(t) for t in paper.temperatures)]
    losses = {
        seed: {name: np.stack([loss(part, f"{name}-{size}") for size in paper.sizes]) for name in names}
        for seed, part in parts.items()
    }
    seeds = {
        seed: of_seed(paper, part, losses[seed], slice(i, None, paper.seeds))
        for i, (seed, part) in enumerate(parts.items())
    }
    k = {name: np.stack([exponent_by_image(paper, own[name]) for own in losses.values()]) for name in names}
    few, many = (gain_by_image(parts.values(), how, size) for how, size in ends(paper).items())
    unbounded = partial(across_seeds, low=-math.inf, high=math.inf, influence=True)
    return {
        **seeds,
        "exponent": {name: unbounded(values) for name, values in k.items()},
        "less": {name: unbounded(k[REAL] - values) for name, values in k.items() if name != REAL},
        "guidance": unbounded(k[source_of(OWN)] - k[source_of(COLD)]),
        "correlation": across_seeds(values_of(list(seeds.values()), "correlation")),
        "gain": {
            "few": across_seeds(few),
            "many": across_seeds(many),
            "less": across_seeds(few - many, low=-2.0, high=2.0),
        },
    }


def ends(paper: SyntheticScalingPaper) -> dict[str, int]:
    """The smallest and the largest real set, to which generated images are added."""
    return {"few": paper.sizes[0], "many": paper.sizes[-1]}


def exponent_by_image(paper: SyntheticScalingPaper, losses: Numbers) -> Numbers:
    """The exponent of a curve `[S, N]` as a column by test image whose mean it is."""
    return influence(losses.T, lambda means: fit_power_law(paper.sizes, means).exponent)


def gain_by_image(parts: Iterable[Rows], how: str, size: int) -> Numbers:
    """Accuracy that generated images add to a real set of a size, by seed and test image `[seeds, N]`."""
    return np.stack([part.shares(f"mix-{how}.test") - part.shares(f"{REAL}-{size}.test") for part in parts])


def of_seed(paper: SyntheticScalingPaper, rows: Rows, losses: Mapping[str, Numbers], share: slice) -> dict[str, Any]:
    """All figures of one seed.

    Args:
        paper: the sizes.
        rows: of the seed.
        losses: of each source, `[S, N]`.
        share: of the test images, for the correlation over classes: others in each seed, as it has no column by image.
    """
    own = losses[source_of(OWN)]
    by_class, scores = recognised(paper, rows, own, share)
    found: dict[str, Any] = {name: curve(paper, rows, name, values) for name, values in losses.items()}
    found["recognisability"] = scores.mean
    found["correlation"] = float(np.nan_to_num(stats.spearmanr(list(scores.classes.values()), by_class).statistic))
    found["exponent_by_class"] = {str(c): value for c, value in enumerate(by_class)}
    found["recognisability_by_class"] = {str(c): value for c, value in scores.classes.items()}
    found["diversity"] = float(np.mean(rows.column("diversity", "generated", "diversity")))
    at = crossing_figure(paper.sizes, losses[REAL], own)
    found["crossing"] = None if at is None else at.to_json()
    found["gain"] = {
        how: rows.difference(f"mix-{how}.test", f"{REAL}-{size}.test") for how, size in ends(paper).items()
    }
    return found


def curve(paper: SyntheticScalingPaper, rows: Rows, name: str, losses: Numbers) -> dict[str, Any]:
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


def loss(rows: Rows, name: str) -> Numbers:
    """Cross-entropy of each test image after one temperature, which is fitted on other images `[N]`.

    Where those are all classified correctly there is none, and the loss is that of the network.
    """
    with choosing():
        others = rows.logits(f"{name}.choosing")
    return tempered_losses(*rows.logits(f"{name}.test"), *others)


def recognised(paper: SyntheticScalingPaper, rows: Rows, losses: Numbers, share: slice) -> tuple[list[float], ByClass]:
    """The exponent of each class with generated images, on a share of the test images; F1 of each class in them."""
    scores = recognisability(*rows.columns("recognised", "generated", "label", "predicted"))
    labels, own = rows.logits(f"{REAL}-{paper.sizes[0]}.test")[1][share], losses[:, share]
    if missing := [k for k in scores.classes if not (labels == k).any()]:
        raise ParameterError(f"a seed has no test image of class {missing[0]}: give more test images")
    return [fit_power_law(paper.sizes, own[:, labels == k].mean(1)).exponent for k in scores.classes], scores
