"""Figures of the experiment with frequency prompts, from rows alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc

from unshaken.measure import compare
from unshaken.papers.frame.rows import Rows, mean_of, share_of
from unshaken.papers.robust_mae import (
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
        """What only the main variant has: the other threat models, and the least of all of them."""
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
        ids = set(self.rows.table("outcomes", labels["autoattack"])["id"].to_pylist())
        found: dict[str, Any] = {name: self.rows.accuracy(label) for name, label in labels.items()}
        found["gain"] = self.rows.difference(labels["autoattack"], labels["undefended_autoattack"])
        label = f"{MAIN}.adaptive-linf-{MOST}"
        same = [k in ids for k in self.rows.table("outcomes", label).sort_by("id")["id"].to_pylist()]
        found["adaptive"] = share_of(self.rows.correct(label)[np.array(same)])
        return found

    def selection(self) -> dict[str, Any]:
        """Selections that attacks change, and accuracy where the cluster's class is, or is not, the image's."""

        def column(label: str, name: str) -> Any:
            rows = self.rows.table("selection", f"{MAIN}.{label}").sort_by("id")
            return rows[name].to_numpy(zero_copy_only=False)

        before, own = column("clean", "cluster"), column("clean", "commonest").astype(bool)
        found: dict[str, Any] = {"flipped": {}, "of_own_class": share_of(own)}
        for e in BUDGETS:
            moved = before != column(f"adaptive-{e}", "cluster")
            found["flipped"][e] = share_of(moved)
        for name, rows in (("own_class", own), ("other_class", ~own)):
            if rows.any():
                found[name] = {
                    "undefended": share_of(self.rows.correct("undefended.clean")[rows]),
                    "clean": share_of(self.rows.correct(f"{MAIN}.clean")[rows]),
                    "unaware": share_of(self.rows.correct(f"{MAIN}.unaware-{MOST}")[rows]),
                }
        clusters = self.rows.table("clusters", f"{MAIN}.prompts")
        counts = clusters["images"].to_numpy()
        found["purity"] = float((clusters["purity"].to_numpy() * counts).sum() / counts.sum())
        return found

    def spectrum(self) -> dict[str, Any]:
        """Of the undefended network: what it needs, where attacks lie, and which bands harm it."""
        energy, white = (self.rows.table("energy", f"undefended.{k}") for k in ("energy", "white"))
        heat = self.rows.table("heat", "undefended.heat")
        rho = np.hypot(heat["row"].to_numpy(), heat["column"].to_numpy())
        error, edge = heat["error"].to_numpy(), rho.max() / np.sqrt(2) / 4
        found: dict[str, Any] = {"low_pass": {}, "high_pass": {}, "energy_inside": {}, "band": {}, "white": {}}
        for r in RADII:
            found["low_pass"][f"{r:g}"] = self.rows.accuracy(f"undefended.low-{r:g}")
            found["high_pass"][f"{r:g}"] = self.rows.accuracy(f"undefended.high-{r:g}")
            shares = energy.filter(pc.equal(energy["radius"], r))["share"].to_numpy()
            found["white"][f"{r:g}"] = white.filter(pc.equal(white["radius"], r))["share"][0].as_py()
            found["energy_inside"][f"{r:g}"] = mean_of(shares)
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
