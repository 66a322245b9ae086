"""AUROC of every score on every set, the choice of scores on one half of the images, and what the other half says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshaken.measure.statistics.influence import auroc_influence, by_sample
from unshaken.papers.effects import mean_over
from unshaken.papers.roles import Roles, choosing
from unshaken.papers.rows import Flags, Numbers, Rows
from unshaken_papers.detection_suite import CORRUPTED, FAR, NEAR, NOISE, NORMAL, SCORES, DetectionSuitePaper

ATTACKED = ("fgsm", "pgd")
Part = Callable[[Roles, Numbers, Flags | None], Numbers]
"""Which of a set's scores are read: a method of `Roles`."""


class Seed:
    """The scores of one network.

    Args:
        rows: with the seed as their prefix.
    """

    def __init__(self, rows: Rows) -> None:
        self.sets = rows.labels("scores")
        self.scores: dict[str, dict[str, Numbers]] = {}
        self.roles: dict[str, Roles] = {}
        self.ids: dict[str, NDArray[Any]] = {}
        for name in self.sets:
            table = rows.table("scores", name)
            columns = ("detector", "split", "score", "id")
            detectors, splits, scores, ids = (np.array(table[n].to_pylist()) for n in columns)
            self.scores[name] = {d: scores[detectors == d].astype(np.float64) for d in SCORES}
            own = detectors == SCORES[0]
            self.roles[name] = Roles(splits[own] == "choose")
            self.ids[name] = ids[own]
        self.every = sorted({i for ids in self.ids.values() for i in ids.tolist()})
        self.fooled = {name: ~_in_order(rows, f"{name}.outcome", name) for name in ATTACKED}

    @property
    def far(self) -> list[str]:
        """The sets of images of another kind that are there."""
        return [name for name in self.sets if name in FAR]

    def auroc(
        self, detector: str, *names: str, normal: Sequence[str] = (NORMAL,), part: Part = Roles.held_out
    ) -> Numbers:
        """The mean over abnormal sets of the AUROC against the normal ones, as a column by sample to judge by.

        Args:
            detector: name of the score.
            names: of the abnormal sets.
            normal: names of the normal sets.
            part: `Roles.rows` on those to choose by, within `choosing()`.
        """
        own = np.concatenate([part(self.roles[n], self.scores[n][detector], None) for n in normal])
        others = [part(self.roles[n], self.scores[n][detector], self.fooled.get(n)) for n in names]
        ids = [part(self.roles[n], self.ids[n], None) for n in normal]
        ids += [part(self.roles[n], self.ids[n], self.fooled.get(n)) for n in names]
        return by_sample(auroc_influence(own, *others), np.concatenate(ids).tolist(), self.every)


def _in_order(rows: Rows, outcome: str, name: str) -> Flags:
    """Whether each image of a set is classified correctly, in the order of its scores."""
    table = rows.table("outcomes", outcome)
    known = dict(zip(table["id"].to_pylist(), table["correct"].to_pylist(), strict=True))
    scored = rows.table("scores", name)
    ids = scored["id"].to_pylist()[: len(known)]
    return np.array([known[i] for i in ids], bool)


def figures(paper: DetectionSuitePaper, rows: Rows) -> dict[str, Any]:
    """All figures, over the seeds."""
    seeds = [Seed(part) for part in rows.repetitions(paper.seeds).values()]
    far = seeds[0].far or [NOISE]
    over = partial(mean_over, seeds)

    def mean_where_chosen(detector: str, names: Sequence[str]) -> float:
        return float(np.mean([seed.auroc(detector, *names, part=Roles.rows).mean() for seed in seeds]))

    with choosing():
        best = {
            kind: max(SCORES, key=lambda d: mean_where_chosen(d, sets))
            for kind, sets in (("far", far), ("near", [NEAR]))
        }
    one, other = best["far"], best["near"]
    kinds = {"far": far, NEAR: [NEAR], NOISE: [NOISE], **{name: [name] for name in (*far, *CORRUPTED, *ATTACKED)}}
    return {
        "chosen": best,
        "far_gain": over(difference, one, other, far, influence=True),
        "near_gain": over(difference, other, one, [NEAR], influence=True),
        "over_softmax": over(difference, one, "msp", far, influence=True),
        "with_corrupted": over(cost_of_corrupted, one, far, influence=True),
        "on_noise": {d: over(difference, "knn", d, [NOISE], influence=True) for d in ("msp", "energy")},
        "harder": {d: over(far_over_near, d, far, influence=True) for d in SCORES},
        "auroc": {
            d: {kind: over(Seed.auroc, d, *sets, low=0.0, influence=True) for kind, sets in kinds.items()}
            for d in SCORES
        },
        "fooled": {name: over(fooled, name, low=0.0) for name in ATTACKED},
    }


def difference(seed: Seed, one: str, other: str, names: Sequence[str]) -> Numbers:
    """AUROC of one score less that of another, over some abnormal sets."""
    return seed.auroc(one, *names) - seed.auroc(other, *names)


def far_over_near(seed: Seed, detector: str, far: Sequence[str]) -> Numbers:
    """AUROC of a score on far images less that on near ones."""
    return seed.auroc(detector, *far) - seed.auroc(detector, NEAR)


def cost_of_corrupted(seed: Seed, detector: str, far: Sequence[str]) -> Numbers:
    """By how much the AUROC of a score falls when corrupted images join the normal ones."""
    return seed.auroc(detector, *far) - seed.auroc(detector, *far, normal=(NORMAL, *CORRUPTED))


def fooled(seed: Seed, name: str) -> Numbers:
    """Whether an attack fools the network, by image."""
    return seed.fooled[name].astype(np.float64)
