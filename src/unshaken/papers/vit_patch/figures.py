"""Figures of the experiment with patches, from rows alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from unshaken.measure import compare, paired_difference
from unshaken.measure.statistics.columns import Flags, Numbers
from unshaken.papers.frame.roles import choosing
from unshaken.papers.frame.rows import Rows, mean_of
from unshaken.papers.frame.rows import share_of as rate
from unshaken.papers.vit_patch import ADVERSARIAL, CELLS, KINDS, LOSS, STATES, TEMPERATURES, VitPatchPaper


def figures(paper: VitPatchPaper, rows: Rows) -> dict[str, Any]:
    """By seed; the temperature is chosen over the seeds by half of the images, and judged on the others."""
    found = {name: Figures(part, paper.steps).all() for name, part in rows.repetitions(paper.seeds).items()}
    halves = [Figures(part, paper.steps) for part in rows.halved().repetitions(paper.seeds).values()]
    with choosing():
        best = best_temperature([half.smoothing() for half in halves])
    for one, half in zip(found.values(), halves, strict=True):
        one["smoothing"]["chosen"] = {"temperature": best, **half.smoothing()[best]}
    return found


def best_temperature(seeds: Sequence[Mapping[str, Any]]) -> str:
    """The temperature whose least gain over the seeds is largest, of those that cost little if there are any.

    Args:
        seeds: figures of each seed by temperature.
    """
    worst = {}
    for t in (f"{temperature:g}" for temperature in TEMPERATURES):
        gain = min(-part[t]["fooled_minus_plain"]["value"] for part in seeds)
        loss = max(-part[t]["accuracy_minus_plain"]["value"] for part in seeds)
        worst[t] = (loss < LOSS, gain)
    return max(worst, key=lambda t: worst[t])


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one seed.

    Args:
        rows: of the seed.
        steps: of the attack.
    """

    rows: Rows
    steps: int

    def all(self) -> dict[str, Any]:
        """Accuracy, fooling rates of the three parts, and attention."""
        return {
            "clean": self.clean(),
            "adversarial": self.adversarial(),
            "natural": self.natural(),
            "smoothing": self.smoothing(),
            "attention": self.attention(),
        }

    def clean(self) -> dict[str, Any]:
        """Accuracy of both networks on the same images, and of the ViT at each temperature."""
        return {
            **{net: self.rows.accuracy(f"{net}.clean") for net in ("vit", "cnn")},
            "cnn_minus_vit": self.rows.difference("cnn.clean", "vit.clean"),
            "vit_at": {f"{t:g}": self.rows.accuracy(f"vit-{t:g}.clean") for t in TEMPERATURES},
        }

    def adversarial(self) -> dict[str, Any]:
        """Fooling rates by number of cells; a patch of fewer cells counts where more are free."""
        fooled = {net: self.by_cells(net) for net in ("vit", "cnn")}
        return {
            **{net: {str(n): rate(f) for n, f in zip(ADVERSARIAL, rows, strict=True)} for net, rows in fooled.items()},
            "vit_minus_cnn": {
                str(n): compare(fooled["cnn"][i], fooled["vit"][i]).difference.to_json()
                for i, n in enumerate(ADVERSARIAL)
            },
            "random_pixels": {net: rate(~self.rows.correct(f"{net}.random-1")) for net in fooled},
            "half_the_steps": {net: rate(self.early(f"{net}.patch-1")) for net in fooled},
            "one_start": {net: rate(self.first(f"{net}.patch-1")) for net in fooled},
        }

    def natural(self) -> dict[str, Any]:
        """Fooling rates by kind and share of cells, the mean of three severities; and of all kinds together."""
        found: dict[str, Any] = {}
        for kind in (*KINDS, "mean"):
            found[kind] = {}
            for cells in CELLS:
                kinds = KINDS if kind == "mean" else (kind,)
                vit, cnn = (np.mean([self.lost(net, k, cells) for k in kinds], 0) for net in ("vit", "cnn"))
                found[kind][str(cells)] = {
                    "vit": mean_of(vit),
                    "cnn": mean_of(cnn),
                    "vit_minus_cnn": paired_difference(cnn, vit).to_json(),
                }
        return found

    def smoothing(self) -> dict[str, Any]:
        """Fooling rate of one cell at each temperature (own patches, and those of T = 1), and its change from T = 1."""
        plain = ~self.rows.correct("vit.patch-1")
        found: dict[str, Any] = {}
        for t in TEMPERATURES:
            own, given = (~self.rows.correct(f"vit-{t:g}.{what}-1") for what in ("patch", "transfer"))
            found[f"{t:g}"] = {
                "fooled": rate(own | given),
                "fooled_by_own": rate(own),
                "wrong_when_clean": rate(self.reason(f"vit-{t:g}.patch-1") == "clean"),
                "fooled_minus_plain": compare(plain, own | given).difference.to_json(),
                "accuracy_minus_plain": self.rows.difference(f"vit-{t:g}.clean", "vit.clean"),
            }
        return found

    def attention(self) -> dict[str, Any]:
        """Attention to the cell in the last layer and by rollout, in units of an even share."""
        found: dict[str, Any] = {"last_layer": {}, "rollout": {}, "by_layer": {}}
        for state in STATES:
            rows = self.rows.table("attention", f"vit.attention-{state}")
            last = pc.max(rows["layer"]).as_py()
            end = rows.filter(pc.equal(rows["layer"], last))
            found["last_layer"][state] = mean_of(end["on_cell"].to_numpy())
            found["rollout"][state] = mean_of(end["rollout"].to_numpy())
            layers = rows["layer"].to_numpy()
            values = rows["on_cell"].to_numpy()
            found["by_layer"][state] = [round(float(values[layers == i].mean()), 3) for i in range(last + 1)]
        return found

    def by_cells(self, net: str) -> list[Flags]:
        """Whether each image is fooled by at most 1, 2 and 4 cells, each bool `[N]`."""
        ids = self.table("vit.patch-1")["id"].to_pylist()
        found, fooled = [], np.zeros(len(ids), bool)
        for cells in ADVERSARIAL:
            rows = self.table(f"{net}.patch-{cells}")
            correct = dict(zip(rows["id"].to_pylist(), rows["correct"].to_pylist(), strict=True))
            fooled = fooled | np.array([correct.get(i) is False for i in ids])
            found.append(fooled)
        return found

    def lost(self, net: str, kind: str, cells: int) -> Numbers:
        """Share of the severities at which each image is lost, `[N]`."""
        severities = KINDS[kind][1]
        return np.asarray(np.mean([~self.rows.correct(f"{net}.{kind}-{cells}-{s}") for s in severities], 0), np.float64)

    def early(self, label: str) -> Flags:
        """Fooled in the first half of some run's steps."""
        rows = self.table(label)
        steps = np.array([np.inf if s is None else s for s in rows["step"].to_pylist()])
        return np.asarray(~self.rows.correct(label) & (steps <= self.steps // 2))

    def first(self, label: str) -> Flags:
        """Fooled in the first run."""
        return np.asarray(self.reason(label) == "patch")

    def reason(self, label: str) -> Any:
        """What broke each sample."""
        return np.array(self.table(label)["broken_by"].to_pylist(), dtype=object)

    def table(self, label: str) -> pa.Table:
        """Rows of a condition, in the order of the samples' ids."""
        return self.rows.table("outcomes", label).sort_by("id")
