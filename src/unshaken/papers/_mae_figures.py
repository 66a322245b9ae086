"""Figures of the experiment with frequency prompts, from rows alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from unshaken.measure import accuracy, compare, paired_difference, share
from unshaken.measure.statistics.columns import Flags
from unshaken.papers._mae_run import CONTROLS, EPS, MAIN, RADII, VARIANTS
from unshaken.run.store import RunDir

BUDGETS = tuple(f"{e:g}" for e in EPS)
MOST = BUDGETS[-1]


class Figures:
    """All figures of a run.

    Args:
        run: where the rows are.
    """

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.table = run.rows("outcomes", ["id", "condition", "correct"])

    def all(self) -> dict[str, Any]:
        """Accuracy under every threat model, differences from no defence, selection, and the spectrum."""
        found = {
            "undefended": {"clean": self.accuracy("undefended.clean")}
            | {"white_box": {e: self.accuracy(f"undefended.pgd-{e}") for e in BUDGETS}},
        }
        found |= {name: self.guard(name) for name in VARIANTS}
        found |= {name: self.control(name) for name in CONTROLS}
        found[MAIN] |= self.main()
        found["confirmed"] = self.confirmed()
        found["selection"] = self.selection()
        found["spectrum"] = self.spectrum()
        return found

    def guard(self, name: str) -> dict[str, Any]:
        """Clean, unaware and adaptive (selection re-made at every step, soft backwards)."""
        return {
            "clean": self.accuracy(f"{name}.clean"),
            "clean_minus_undefended": self.change("undefended.clean", f"{name}.clean"),
            "unaware": {e: self.accuracy(f"{name}.unaware-{e}") for e in BUDGETS},
            "adaptive": {e: self.accuracy(f"{name}.adaptive-{e}") for e in BUDGETS},
        }

    def control(self, name: str) -> dict[str, Any]:
        """The same for prompts that should not work, and how much better the main ones do."""
        return {
            "clean": self.accuracy(f"{name}.clean"),
            "unaware": {e: self.accuracy(f"{name}.unaware-{e}") for e in BUDGETS},
            "adaptive": {MOST: self.accuracy(f"{name}.adaptive-{MOST}")},
            "main_minus_this": {
                "unaware": self.change(f"{name}.unaware-{MOST}", f"{MAIN}.unaware-{MOST}"),
                "adaptive": self.change(f"{name}.adaptive-{MOST}", f"{MAIN}.adaptive-{MOST}"),
            },
        }

    def main(self) -> dict[str, Any]:
        """What only the main variant has: the other threat models, and the least of all of them."""
        found: dict[str, Any] = {"fixed": {}, "through_clip": {}, "worst": {}, "gain": {"unaware": {}, "worst": {}}}
        for e in BUDGETS:
            labels = [f"{MAIN}.{kind}-{e}" for kind in ("unaware", "fixed", "adaptive", "through-clip")]
            worst = np.logical_and.reduce([self.correct(label) for label in labels])
            bare = self.correct(f"undefended.pgd-{e}")
            found["fixed"][e] = self.accuracy(labels[1])
            found["through_clip"][e] = self.accuracy(labels[3])
            found["worst"][e] = accuracy(worst).to_json()
            found["gain"]["unaware"][e] = self.change(f"undefended.pgd-{e}", labels[0])
            found["gain"]["worst"][e] = compare(bare, worst).difference.to_json()
        return found

    def confirmed(self) -> dict[str, Any]:
        """AutoAttack on fewer images, beside PGD of 20 and 50 steps on the same."""
        labels = {
            "undefended_autoattack": f"undefended.autoattack-{MOST}",
            "autoattack": f"{MAIN}.autoattack-{MOST}",
            "pgd50": f"{MAIN}.pgd50-{MOST}",
        }
        ids = set(self.rows(labels["autoattack"])["id"].to_pylist())
        found: dict[str, Any] = {name: self.accuracy(label) for name, label in labels.items()}
        found["gain"] = self.change(labels["undefended_autoattack"], labels["autoattack"])
        same = [k in ids for k in self.rows(f"{MAIN}.adaptive-{MOST}")["id"].to_pylist()]
        found["adaptive"] = accuracy(self.correct(f"{MAIN}.adaptive-{MOST}")[np.array(same)]).to_json()
        return found

    def selection(self) -> dict[str, Any]:
        """Selections that attacks change, and accuracy where the cluster's class is, or is not, the image's."""
        table = self.run.rows("selection")

        def column(label: str, name: str) -> Any:
            rows = table.filter(pc.equal(table["condition"], f"{MAIN}.{label}")).sort_by("id")
            return rows[name].to_numpy(zero_copy_only=False)

        before, own = column("clean", "cluster"), column("clean", "commonest").astype(bool)
        found: dict[str, Any] = {"flipped": {}, "of_own_class": share(int(own.sum()), len(own)).to_json()}
        for e in BUDGETS:
            moved = before != column(f"adaptive-{e}", "cluster")
            found["flipped"][e] = share(int(moved.sum()), len(moved)).to_json()
        for name, rows in (("own_class", own), ("other_class", ~own)):
            if rows.any():
                found[name] = {
                    "undefended": accuracy(self.correct("undefended.clean")[rows]).to_json(),
                    "clean": accuracy(self.correct(f"{MAIN}.clean")[rows]).to_json(),
                    "unaware": accuracy(self.correct(f"{MAIN}.unaware-{MOST}")[rows]).to_json(),
                }
        return found

    def spectrum(self) -> dict[str, Any]:
        """Of the undefended network: what it needs, where attacks lie, and which bands harm it."""
        energy = self.run.rows("energy")
        heat = self.run.rows("heat")
        rho = np.hypot(heat["row"].to_numpy(), heat["column"].to_numpy())
        error, edge = heat["error"].to_numpy(), rho.max() / np.sqrt(2) / 4
        found: dict[str, Any] = {"low_pass": {}, "high_pass": {}, "energy_inside": {}, "band": {}}
        for r in RADII:
            found["low_pass"][f"{r:g}"] = self.accuracy(f"undefended.low-{r:g}")
            found["high_pass"][f"{r:g}"] = self.accuracy(f"undefended.high-{r:g}")
            shares = energy.filter(pc.equal(energy["radius"], r))["share"].to_numpy()
            found["energy_inside"][f"{r:g}"] = paired_difference(np.zeros(len(shares)), shares).to_json()
        for band in ("low", "middle", "high"):
            found["band"][band] = self.accuracy(f"undefended.band-{band}-{BUDGETS[1]}")
        found["heat"] = {"inside": float(error[rho <= edge].mean()), "outside": float(error[rho > edge].mean())}
        return found

    def change(self, before: str, after: str) -> dict[str, Any]:
        """The difference of two conditions' accuracies, paired."""
        return compare(self.correct(before), self.correct(after)).difference.to_json()

    def accuracy(self, label: str) -> dict[str, Any]:
        """Of a condition, with its interval."""
        return accuracy(self.correct(label)).to_json()

    def correct(self, label: str) -> Flags:
        """Right predictions under a condition, in the order of ids."""
        return np.asarray(self.rows(label)["correct"].to_numpy(zero_copy_only=False), bool)

    def rows(self, label: str) -> pa.Table:
        """Rows of a condition, in the order of ids."""
        return self.table.filter(pc.equal(self.table["condition"], label)).sort_by("id")
