"""FMR of each training, and what the oracle's constraint is worth, from rows alone."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshaken.core.errors import ParameterError
from unshaken.core.values import split_items
from unshaken.measure import fmr, influence, share
from unshaken.measure.robustness.fmr import fmr_ratio
from unshaken.papers.effects import across_seeds, complement, mean_over
from unshaken.papers.rows import Flags, Numbers, Rows
from unshaken_papers.foundation_oracle_robustness import (
    ADVERSARIAL,
    BOUNDED,
    FREE,
    PLAIN,
    RECIPES,
    FoundationOraclePaper,
)

Table = dict[str, NDArray[Any]]


def figures(paper: FoundationOraclePaper, rows: Rows) -> dict[str, Any]:
    """By seed, and over seeds and images."""
    seeds = rows.repetitions(paper.seeds)
    found: dict[str, Any] = {name: {net: of_net(part, net) for net in RECIPES} for name, part in seeds.items()}
    parts = list(seeds.values())
    known = np.logical_and.reduce([oracle(part, net, BOUNDED)["validated"] for part in parts for net in RECIPES])
    ratios = {net: np.stack([ratio_of(part, net, known) for part in parts]) for net in RECIPES}
    found["lost"] = {net: across_seeds(1 - own, low=-math.inf, influence=True) for net, own in ratios.items()}
    found["fmr"] = {net: complement(lost) for net, lost in found["lost"].items()}
    found["separates"] = across_seeds(ratios[ADVERSARIAL] - ratios[PLAIN], low=-math.inf, high=math.inf, influence=True)
    found |= agreement(parts)
    found["diagonal"] = mean_over(parts, lambda part: transferred(part)[known])
    found["validated"] = share(int(known.sum()), len(known)).to_json()
    found["oracle_accuracy"] = oracle_accuracy(paper, rows)
    return found


def ratio_of(rows: Rows, net: str, known: Flags) -> Numbers:
    """The FMR of a network of one seed over the images that the oracle knows, as a column whose mean it is."""
    columns = np.stack([rows.shares(f"{net}.{kind}")[known] for kind in ("clean", BOUNDED)], 1)
    return influence(columns, lambda means: fmr_ratio(*means))


def of_net(rows: Rows, net: str) -> dict[str, Any]:
    """The figures of one network."""
    search = oracle(rows, net, BOUNDED)
    searched = search["searched"]
    found: dict[str, Any] = {
        "clean": rows.accuracy(f"{net}.clean"),
        "free": rows.accuracy(f"{net}.{FREE}"),
        "stopped": float((search["stop"] == "oracle")[searched].mean()) if searched.any() else 0.0,
        "steps": float(search["accepted"][searched].mean()) if searched.any() else 0.0,
    }
    try:
        one = fmr(
            rows.correct(f"{net}.clean"), rows.correct(f"{net}.{BOUNDED}"), search["validated"], search["accepted"]
        )
    except ParameterError as error:
        return found | {"refused": str(error)}
    names = ("standard", "perturbed", "fmr", "validated", "stepped")
    return found | {name: getattr(one, name).to_json() for name in names}


def oracle(rows: Rows, net: str, search: str) -> Table:
    """The answers of the oracles in a search, in the order of ids."""
    names = ("validated", "accepted", "stop", "held_out")
    found = rows.columns("oracle_bounded", f"{net}.{search}", *names, by="id")
    columns = dict(zip(names, found, strict=True))
    return columns | {"searched": columns["validated"] & (columns["stop"] != "misclassified")}


def agreement(parts: list[Rows]) -> dict[str, Any]:
    """How often the held-out network sees the class in images that were searched for, by image.

    Raises:
        ParameterError: no network was right on any image, so that nothing was searched for.
    """
    found: dict[str, list[Numbers]] = {BOUNDED: [], FREE: []}
    for part in parts:
        searched = np.mean([oracle(part, net, BOUNDED)["searched"] for net in RECIPES], 0)
        if not searched.any():
            raise ParameterError("no network is right on any image that the oracle knows: give more epochs or images")
        for search, shares in found.items():
            known = [oracle(part, net, BOUNDED)["searched"] & oracle(part, net, search)["held_out"] for net in RECIPES]
            shares.append(influence(np.stack([np.mean(known, 0), searched], 1), lambda means: means[0] / means[1]))
    over = partial(across_seeds, influence=True)
    differences = [bounded - free for bounded, free in zip(found[BOUNDED], found[FREE], strict=True)]
    return {
        "agreement": {search: over(shares, low=0.0) for search, shares in found.items()},
        "constraint": over(differences),
    }


def transferred(rows: Rows) -> Numbers:
    """Correctness on images that were made against other trainings less that on a network's own, by image."""
    pairs = [(net, other) for net in RECIPES for other in RECIPES if other != net]
    own = [rows.shares(f"{net}.{BOUNDED}") for net in RECIPES]
    return np.asarray(rows.shares(*(f"{net}.on-{other}" for net, other in pairs)) - np.mean(own, 0), np.float64)


def oracle_accuracy(paper: FoundationOraclePaper, rows: Rows) -> dict[str, Any]:
    """Accuracy of the worst probe of the oracle, and of the held-out one, on all test images."""
    each = [rows.accuracy(f"oracle{i}") for i in range(len(split_items(paper.oracles)))]
    return {"least": min(each, key=lambda f: float(f["value"])), "held_out": rows.accuracy("held-out")}
