"""Figures of the experiment with frequency prompts, from rows alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unshaken.measure import compare
from unshaken.papers.rows import Rows, mean_of, share_of
from unshaken_papers.robust_mae import (
    ARMS,
    BUDGETS,
    CONTROLS,
    LOW,
    MAIN,
    MOST,
    RADII,
    STEPS,
    VARIANTS,
    RobustMaePaper,
)


def figures(paper: RobustMaePaper, rows: Rows) -> dict[str, Any]:
    """All figures, by seed."""
    return {name: Figures(part).all() for name, part in rows.repetitions(paper.seeds).items()}


@dataclass(frozen=True, slots=True)
class Figures:
    """All figures of a seed.

    Args:
        rows: of the seed.
    """

    rows: Rows

    def all(self) -> dict[str, Any]:
        """Accuracy under every threat model, differences from no defence, selection, and the spectrum."""
        found = {
            "undefended": {"clean": self.rows.accuracy("undefended.clean")}
            | {"white_box": {e: self.rows.accuracy(f"undefended.pgd-linf-{e}") for e in BUDGETS}},
        }
        found |= {name: self.guard(name) for name in VARIANTS}
        found |= {name: self.control(name) for name in CONTROLS}
        found[MAIN] |= self.main()
        found |= {"confirmed": self.confirmed(), "selection": self.selection(), "spectrum": self.spectrum()}
        return found | self.pretraining()

    def guard(self, name: str) -> dict[str, Any]:
        """Clean, unaware and adaptive (selection re-made at every step, soft backwards)."""
        return {
            "clean": self.rows.accuracy(f"{name}.clean"),
            "clean_minus_undefended": self.rows.difference(f"{name}.clean", "undefended.clean"),
            "unaware": {e: self.rows.accuracy(f"{name}.unaware-{e}") for e in BUDGETS},
            "adaptive": {e: self.rows.accuracy(f"{name}.adaptive-linf-{e}") for e in BUDGETS},
        }

    def control(self, name: str) -> dict[str, Any]:
        """The same for prompts that should not work, and how much better the main ones do."""
        return {
            "clean": self.rows.accuracy(f"{name}.clean"),
            "unaware": {e: self.rows.accuracy(f"{name}.unaware-{e}") for e in BUDGETS},
            "adaptive": {MOST: self.rows.accuracy(f"{name}.adaptive-linf-{MOST}")},
            "main_minus_this": {
                "unaware": self.rows.difference(f"{MAIN}.unaware-{MOST}", f"{name}.unaware-{MOST}"),
                "adaptive": self.rows.difference(f"{MAIN}.adaptive-linf-{MOST}", f"{name}.adaptive-linf-{MOST}"),
            },
        }

    def main(self) -> dict[str, Any]:
        """Figures of the main variant alone: the other threat models, and the least of all of them."""
        found: dict[str, Any] = {"fixed": {}, "through_clip": {}, "worst": {}, "gain": {"unaware": {}, "worst": {}}}
        for e in BUDGETS:
            labels = [f"{MAIN}.{kind}-{e}" for kind in ("unaware", "fixed", "adaptive-linf", "through-clip-linf")]
            bare, worst = self.rows.correct(f"undefended.pgd-linf-{e}"), self.rows.correct(*labels)
            found["fixed"][e] = self.rows.accuracy(labels[1])
            found["through_clip"][e] = self.rows.accuracy(labels[3])
            found["worst"][e] = share_of(worst)
            found["gain"]["unaware"][e] = self.rows.difference(labels[0], f"undefended.pgd-linf-{e}")
            found["gain"]["worst"][e] = compare(bare, worst).difference.to_json()
        return found

    def confirmed(self) -> dict[str, Any]:
        """AutoAttack on fewer images, beside PGD of 20 and 50 steps on the same."""
        labels = {
            "undefended_autoattack": f"undefended.autoattack-linf-{MOST}",
            "autoattack": f"{MAIN}.autoattack-linf-{MOST}",
            "pgd50": f"{MAIN}.pgd50-linf-{MOST}",
        }
        ids = self.rows.column("outcomes", labels["autoattack"], "id")
        found: dict[str, Any] = {name: self.rows.accuracy(label) for name, label in labels.items()}
        found["gain"] = self.rows.difference(labels["autoattack"], labels["undefended_autoattack"])
        label = f"{MAIN}.adaptive-linf-{MOST}"
        same = np.isin(self.rows.column("outcomes", label, "id", by="id"), ids)
        found["adaptive"] = share_of(self.rows.correct(label)[same])
        return found

    def selection(self) -> dict[str, Any]:
        """Selections that attacks change, and accuracy where the cluster's class is, or is not, the image's."""
        before, own = self.rows.columns("selection", f"{MAIN}.clean", "cluster", "commonest", by="id")
        found: dict[str, Any] = {"flipped": {}, "of_own_class": share_of(own)}
        for e in BUDGETS:
            after = self.rows.column("selection", f"{MAIN}.adaptive-{e}", "cluster", by="id")
            found["flipped"][e] = share_of(before != after)
        for name, rows in (("own_class", own), ("other_class", ~own)):
            if rows.any():
                found[name] = {
                    "undefended": share_of(self.rows.correct("undefended.clean")[rows]),
                    "clean": share_of(self.rows.correct(f"{MAIN}.clean")[rows]),
                    "unaware": share_of(self.rows.correct(f"{MAIN}.unaware-{MOST}")[rows]),
                }
        counts, purity = self.rows.columns("clusters", f"{MAIN}.prompts", "images", "purity")
        found["purity"] = float((purity * counts).sum() / counts.sum())
        return found

    def spectrum(self) -> dict[str, Any]:
        """Figures of the undefended network: the bands that it needs, that attacks lie in, and that harm it."""
        (radii, energy), (white_radii, white) = (
            self.rows.columns("energy", f"undefended.{kind}", "radius", "share") for kind in ("energy", "white")
        )
        row, column, error = self.rows.columns("heat", "undefended.heat", "row", "column", "error")
        rho = np.hypot(row, column)
        edge = rho.max() / np.sqrt(2) / 4
        found: dict[str, Any] = {"low_pass": {}, "high_pass": {}, "energy_inside": {}, "band": {}, "white": {}}
        for r in RADII:
            found["low_pass"][f"{r:g}"] = self.rows.accuracy(f"undefended.low-{r:g}")
            found["high_pass"][f"{r:g}"] = self.rows.accuracy(f"undefended.high-{r:g}")
            found["white"][f"{r:g}"] = float(white[white_radii == r][0])
            found["energy_inside"][f"{r:g}"] = mean_of(energy[radii == r], low=0.0, high=1.0)
        for band in ("low", "middle", "high"):
            found["band"][band] = self.rows.accuracy(f"undefended.band-{band}-linf-{BUDGETS[1]}")
        found["heat"] = {"inside": float(error[rho <= edge].mean()), "outside": float(error[rho > edge].mean())}
        return found

    def pretraining(self) -> dict[str, Any]:
        """Accuracy of every arm under everything, and pixels minus features; nothing where that was not run."""
        reasons = self.rows.table("left_out", "pretraining")["reason"].to_pylist()
        if reasons:
            return {"pretraining": {"absent": reasons[0]}}
        attacks = {f"pgd-{s}": f"pgd-linf-{float(s) / 255:.6g}" for s in STEPS}
        conditions = {"clean": "clean", **attacks, **{f"low-{r}": f"low-{r}" for r in LOW}}
        if f"vit-{ARMS[0]}.clean" not in self.rows.labels():
            return {}
        found: dict[str, Any] = {
            arm: {name: self.rows.accuracy(f"vit-{arm}.{label}") for name, label in conditions.items()} for arm in ARMS
        }
        found["pixels_minus_features"] = {
            name: self.rows.difference(f"vit-pixels.{label}", f"vit-features.{label}")
            for name, label in conditions.items()
        }
        return {"pretraining": found}
