"""The figures of the experiment with RIGID, from its rows alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from unshaken.measure.detection.conformal import conformal_threshold
from unshaken.measure.detection.detection import detection
from unshaken.measure.detection.ranking import auroc
from unshaken.measure.statistics.columns import Flags, Numbers
from unshaken.papers.roles import check_role, choosing
from unshaken.papers.rows import Rows, share_of
from unshaken_papers.rigid import ALARMS, AS_IS, CORRUPTIONS, NOISE, STAND_INS, RIGIDPaper

ANIMALS = 398
"""Classes of ImageNet below this are animals."""


def figures(paper: RIGIDPaper, rows: Rows) -> dict[str, Any]:
    """Every figure."""
    return Figures(rows, rows.seeds(paper.seeds)).all()


class Figures:
    """Scores by seed, set, treatment and way of changing.

    Args:
        rows: of the run.
        seeds: of the run.
    """

    def __init__(self, rows: Rows, seeds: Sequence[int]) -> None:
        self.seeds = list(seeds)
        self.again: dict[str, float] = {}
        self.rows: dict[tuple[int, str, str, str], dict[str, float]] = {}
        for r in rows.table("moves").to_pylist():
            if r["condition"].endswith(".again"):
                self.again[f"{r['seed']}/{r['id']}"] = r["score"]
            else:
                self.rows.setdefault((r["seed"], r["set"], r["treatment"], r["how"]), {})[r["id"]] = r["score"]
        self.content = {r["id"]: r for r in rows.table("content").to_pylist()}
        self.hows = list(dict.fromkeys(how for _, s, t, how in self.rows if (s, t) == ("real", AS_IS)))
        self.sets = list(dict.fromkeys(s for _, s, _, _ in self.rows if s not in ("real", "calibration", "small-real")))

    def all(self) -> dict[str, Any]:
        """Every figure."""
        photos = ("real", *(s for s in self.sets if not _kind(s)))
        return {
            "auroc": {how: self.ranking(partial(self.of, how=how)) for how in self.hows}
            | {"noise+blur": self.ranking(self.farthest)},
            "seeds": {s: [round(self.one(s, seed), 4) for seed in self.seeds] for s in self.sets},
            "stand_ins": {f"s{seed}": self.mean(seed) for seed in self.seeds},
            "corrupted": {t: self.corrupted(t) for t in CORRUPTIONS},
            "wins": {s: self.wins(s) for s in photos[1:]},
            "real_first": {s: self.published(s) for s in STAND_INS},
            "flagged": {s: self.flags(s) for s in photos},
            "false_alarms": self.groups(),
            "not_tied_at_0": self.not_tied(),
            "order": self.order(),
        }

    def of(self, name: str, how: str = NOISE, treatment: str = AS_IS, seeds: Sequence[int] | None = None) -> Numbers:
        """Scores of a set over seeds, in the order of ids; the calibration photos set thresholds and nothing else."""
        check_role(name, chooses=name == "calibration")
        keys = [(seed, name, treatment, how) for seed in (self.seeds if seeds is None else seeds)]
        return np.array([score for key in keys for _, score in sorted(self.rows[key].items())])

    def farthest(self, name: str) -> Numbers:
        """The larger score of noise and blur."""
        return np.maximum(self.of(name, NOISE), self.of(name, "blur"))

    def ranking(self, scores: Callable[[str], Numbers]) -> dict[str, Any]:
        """AUROC of each set against the real pictures of its kind, over all seeds; below 0.5 it is shown as such."""
        real = {kind: scores(f"{kind}real") for kind in {_kind(s) for s in self.sets}}
        return {s: auroc(real[_kind(s)], scores(s)).to_json() for s in self.sets}

    def corrupted(self, treatment: str) -> dict[str, Any]:
        """AUROC of the sets that went through a treatment against the real pictures that did, too."""
        real = self.of("real", treatment=treatment)
        sets = [s for s in self.sets if (self.seeds[0], s, treatment, NOISE) in self.rows]
        return {s: auroc(real, self.of(s, treatment=treatment)).to_json() for s in sets}

    def one(self, name: str, seed: int) -> float:
        """AUROC of a set in one seed."""
        return auroc(self.of(f"{_kind(name)}real", seeds=[seed]), self.of(name, seeds=[seed])).value

    def mean(self, seed: int) -> float:
        """AUROC of a seed, mean over the stand-ins."""
        return round(float(np.mean([self.one(s, seed) for s in STAND_INS])), 4)

    def published(self, name: str) -> dict[str, float]:
        """Average precision with the real as positives, and the share of a set that passes when 95% of the real do."""
        found = detection(self.of("real"), self.of(name), resamples=20)
        return {
            "ap": round(found.aupr_normal.figure.value, 4),
            "fpr95": round(found.fpr95_id_accept.value, 4),
        }

    def wins(self, name: str) -> float:
        """Share of photos that move less than what was made of them; equal scores count half."""
        difference = self.of(name) - self.of("real")
        return round(float((difference > 0).mean() + (difference == 0).mean() / 2), 4)

    def flags(self, name: str) -> dict[str, Any]:
        """Share of a set above the threshold of its seed, which accepts 95 % of photos."""
        return share_of(np.concatenate([self.hits(name, seed) for seed in self.seeds]))

    def hits(self, name: str, seed: int) -> Flags:
        """Which pictures of a set and seed are flagged, at the conformal threshold of the seed's calibration photos."""
        with choosing():
            threshold = conformal_threshold(self.of("calibration", seeds=[seed]), 1 - ALARMS)
        return np.asarray(~threshold.accepts(self.of(name, seeds=[seed])))

    def groups(self) -> dict[str, Any]:
        """Share of real photos flagged, by what is in them, drawings beside them; thirds are of the photos scored."""
        hit: dict[str, bool] = {}
        for seed in self.seeds:
            ids = sorted(self.rows[seed, "real", AS_IS, NOISE])
            hit |= dict(zip(ids, self.hits("real", seed).tolist(), strict=True))
        found: dict[str, list[str]] = {}
        if all(self.content[i]["label"] is not None for i in hit):
            animal = {i: self.content[i]["label"] < ANIMALS for i in hit}
            found |= {"animals": [i for i in hit if animal[i]], "things": [i for i in hit if not animal[i]]}
        for trait, low, high in (
            ("detail", "smooth", "detailed"),
            ("contrast", "flat", "contrasty"),
            ("brightness", "dark", "bright"),
        ):
            ordered = sorted(hit, key=partial(self._trait, trait))
            third = max(1, len(ordered) // 3)
            found |= {low: ordered[:third], high: ordered[-third:]}
        figures: Mapping[str, Any] = {
            name: share_of(np.array([hit[i] for i in ids])) for name, ids in found.items() if ids
        }
        return {**figures, "drawings": self.flags("drawings")}

    def _trait(self, trait: str, one: str) -> tuple[float, str]:
        return self.content[one][trait], one

    def not_tied(self) -> int | None:
        """Pictures whose score without noise is not exactly 0; None where that was not run."""
        if "noise-0" not in self.hows:
            return None
        return int(sum((self.of(s, "noise-0") != 0).sum() for s in ("real", *self.sets)))

    def order(self) -> float:
        """Largest relative difference of a score that was computed again in another order and in other batches."""
        straight = {
            f"{k[0]}/{i}": v for k, row in self.rows.items() if k[1:] == ("real", AS_IS, NOISE) for i, v in row.items()
        }
        return float(max(abs(v - straight[i]) / max(straight[i], 1e-12) for i, v in self.again.items()))


def _kind(name: str) -> str:
    return "small-" if name.startswith("small-") else ""
