"""FMR of each training, and what the oracle's constraint is worth, from rows alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshaken.core.errors import ParameterError
from unshaken.core.values import split_items
from unshaken.measure import fmr, fmr_difference, paired_difference, share
from unshaken.papers.effects import complement
from unshaken.papers.rows import Numbers, Rows, mean_of
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
    """By seed, and over seeds by image."""
    seeds = rows.repetitions(paper.seeds)
    found: dict[str, Any] = {name: {net: of_net(part, net) for net in RECIPES} for name, part in seeds.items()}
    parts = list(seeds.values())
    known = np.logical_and.reduce([oracle(part, net, BOUNDED)["validated"] for part in parts for net in RECIPES])
    standard, perturbed = (
        {net: np.mean([part.shares(f"{net}.{kind}") for part in parts], 0)[known] for net in RECIPES}
        for kind in ("clean", BOUNDED)
    )
    perfect = np.ones(int(known.sum()))
    lost = {
        net: fmr_difference((standard[net], perfect), (perturbed[net], perfect)).to_json() for net in RECIPES
    }  # the FMR of a model that loses nothing is 1
    found["lost"] = lost
    found["fmr"] = {net: complement(one) for net, one in lost.items()}
    found["separates"] = fmr_difference(
        (standard[PLAIN], standard[ADVERSARIAL]), (perturbed[PLAIN], perturbed[ADVERSARIAL])
    ).to_json()
    found |= agreement(parts)
    others, own = transferred(parts)
    found["diagonal"] = paired_difference(own[known], others[known], low=-1.0, high=1.0).to_json()
    found["validated"] = share(int(known.sum()), len(known)).to_json()
    found["oracle_accuracy"] = oracle_accuracy(paper, rows)
    return found


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
    held_out: dict[str, list[Numbers]] = {BOUNDED: [], FREE: []}
    for part in parts:
        for net in RECIPES:
            searched = oracle(part, net, BOUNDED)["searched"]
            for search, values in held_out.items():
                values.append(np.where(searched, oracle(part, net, search)["held_out"], np.nan))
    stacked = {search: np.stack(values) for search, values in held_out.items()}
    any_searched = ~np.isnan(stacked[FREE]).all(0)
    if not any_searched.any():
        raise ParameterError("no network is right on any image that the oracle knows: give more epochs or images")
    means = {search: np.nanmean(values[:, any_searched], 0) for search, values in stacked.items()}
    return {
        "agreement": {search: mean_of(values, low=0.0, high=1.0) for search, values in means.items()},
        "constraint": paired_difference(means[FREE], means[BOUNDED], low=-1.0, high=1.0).to_json(),
    }


def transferred(parts: list[Rows]) -> tuple[Numbers, Numbers]:
    """Correctness on images that were made against other trainings, and on a network's own, by image."""
    pairs = [(net, other) for net in RECIPES for other in RECIPES if other != net]
    others = [part.shares(f"{net}.on-{other}") for part in parts for net, other in pairs]
    own = [part.shares(f"{net}.{BOUNDED}") for part in parts for net in RECIPES]
    return np.mean(others, 0), np.mean(own, 0)


def oracle_accuracy(paper: FoundationOraclePaper, rows: Rows) -> dict[str, Any]:
    """Accuracy of the worst probe of the oracle, and of the held-out one, on all test images."""
    each = [rows.accuracy(f"oracle{i}") for i in range(len(split_items(paper.oracles)))]
    return {"least": min(each, key=lambda f: float(f["value"])), "held_out": rows.accuracy("held-out")}
