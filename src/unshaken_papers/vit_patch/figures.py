"""Figures of the experiment with patches, from rows alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshaken.measure import compare, paired_difference
from unshaken.measure.statistics.columns import Flags, Numbers
from unshaken.measure.statistics.influence import by_sample
from unshaken.papers.effects import across_seeds, values_of
from unshaken.papers.roles import choosing
from unshaken.papers.rows import Rows, mean_of
from unshaken.papers.rows import share_of as rate
from unshaken_papers.vit_patch import ADVERSARIAL, CELLS, FOOLS, OF_ATTENTION, STATES, TEMPERATURES, VitPatchPaper
from unshaken_papers.vit_patch.rules import KINDS, LOSS

JUDGED = 24
"""Of `CELLS`, the one that is judged."""
PAIRED = tuple(name for name in FOOLS if name not in OF_ATTENTION)
"""Variants of Patch-Fool that both networks are attacked by."""


def figures(paper: VitPatchPaper, rows: Rows) -> dict[str, Any]:
    """By seed; over seeds and images what is judged, the temperature that half of the images chose on the others."""
    found = {name: Figures(part, paper.steps).all() for name, part in rows.repetitions(paper.seeds).items()}
    halves = [Figures(part, paper.steps) for part in rows.halved().repetitions(paper.seeds).values()]
    with choosing():
        best = best_temperature([half.smoothing() for half in halves])
    parts = [Figures(part, paper.steps) for part in rows.repetitions(paper.seeds).values()]
    columns = [part.by_image() | half.at_temperature(best) for part, half in zip(parts, halves, strict=True)]
    inward = values_of(list(found.values()), "location", "cnn_minus_vit")
    over = {"temperature": best, "location": across_seeds(inward, low=-2.0, high=2.0)}
    return found | {"over_seeds": over | over_seeds_and_images(columns)}


def over_seeds_and_images(seeds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over seeds and images of columns that have images of their own in each seed, some of them shared.

    Args:
        seeds: ids and values of each effect, by the same names.
    """
    found: dict[str, Any] = {}
    for name, first in seeds[0].items():
        own = [seed[name] for seed in seeds]
        if isinstance(first, Mapping):
            found[name] = over_seeds_and_images(own)
            continue
        every = sorted({i for ids, _ in own for i in ids})
        found[name] = across_seeds(
            [by_sample(values, ids, every) for ids, values in own], low=-math.inf, high=math.inf, influence=True
        )
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
        """Accuracy, fooling rates, and attention."""
        return {
            "clean": self.clean(),
            "adversarial": self.adversarial(),
            "natural": self.natural(),
            "smoothing": self.smoothing(),
            "attention": self.attention(),
            "location": self.location(),
            "misaligned": self.misaligned(),
            "patch_fool": self.patch_fool(),
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
                    "vit": mean_of(vit, low=0.0, high=1.0),
                    "cnn": mean_of(cnn, low=0.0, high=1.0),
                    "vit_minus_cnn": paired_difference(cnn, vit, low=-1.0, high=1.0).to_json(),
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
            columns = ("layer", "on_cell", "rollout")
            layers, on_cell, rollout = self.rows.columns("attention", f"vit.attention-{state}", *columns)
            last = layers == layers.max()
            found["last_layer"][state], found["rollout"][state] = (
                mean_of(values[last], low=0.0) for values in (on_cell, rollout)
            )
            means = [float(on_cell[layers == i].mean()) for i in range(layers.max() + 1)]
            found["by_layer"][state] = [round(mean, 3) for mean in means]
        return found

    def location(self) -> dict[str, Any]:
        """Fooling rate of one cell by its place, and at the centre less elsewhere."""
        names = ("row", "column", "rows", "columns")
        row, column, height, width = self.rows.columns("places", "scan", *names, by="id")
        central = is_central(row, height) & is_central(column, width)
        found: dict[str, Any] = {}
        for net in ("vit", "cnn"):
            fooled = ~self.rows.correct(f"{net}.scan")
            number = np.zeros((height[0], width[0]))
            hits = number.copy()
            np.add.at(number, (row, column), 1)
            np.add.at(hits, (row, column), fooled)
            shares = [
                [round(h / n, 3) if n else None for h, n in zip(*line, strict=True)]
                for line in zip(hits, number, strict=True)
            ]
            centre, rest = float(fooled[central].mean()), float(fooled[~central].mean())
            found[net] = {"map": shares, "centre": round(centre, 4), "rest": round(rest, 4)}
        found["cnn_minus_vit"] = round(_inward(found["cnn"]) - _inward(found["vit"]), 4)
        return found

    def misaligned(self) -> dict[str, Any]:
        """Fooling rates of one cell off the grid of tokens, and how much the ViT's excess changes."""
        off, on = ({net: flags(net) for net in ("vit", "cnn")} for flags in (self.moved, lambda n: self.by_cells(n)[0]))
        excess = [side["vit"].astype(float) - side["cnn"] for side in (on, off)]
        change = paired_difference(*excess, low=-2.0, high=2.0).to_json()
        gap = compare(off["cnn"], off["vit"]).difference.to_json()
        return {**{net: rate(f) for net, f in off.items()}, "vit_minus_cnn": {"off": gap, "off_minus_on": change}}

    def patch_fool(self) -> dict[str, Any]:
        """Fooling rates of the variants of Patch-Fool."""
        fooled = {
            net: {name: ~self.rows.correct(f"{net}.fool-{name}") for name in names}
            for net, names in (("vit", list(FOOLS)), ("cnn", [name for name in FOOLS if name not in OF_ATTENTION]))
        }
        vit, cnn = fooled["vit"], fooled["cnn"]
        return {
            **{net: {name: rate(f) for name, f in by.items()} for net, by in fooled.items()},
            "vit_minus_cnn": {name: compare(f, vit[name]).difference.to_json() for name, f in cnn.items()},
            "drawn_minus_random": compare(vit["random"], vit["drawn"]).difference.to_json(),
            "drawn_minus_attended": compare(vit["attended"], vit["drawn"]).difference.to_json(),
        }

    def by_image(self) -> dict[str, Any]:
        """What is judged of one seed: the ids and the values of each effect, paired by image."""
        ids = self.ids("vit.patch-1")
        vit, cnn = ({kind: self.fooled(f"{n}.fool-{kind}") for kind in PAIRED} for n in ("vit", "cnn"))
        on = self.by_cells("vit")[0].astype(float) - self.by_cells("cnn")[0]
        off = self.moved("vit").astype(float) - self.moved("cnn")
        natural = {kind: self.lost("cnn", kind, JUDGED) - self.lost("vit", kind, JUDGED) for kind in KINDS}
        natural["mean"] = np.mean(list(natural.values()), 0)
        drawn = self.fooled("vit.fool-drawn") - self.fooled("vit.fool-random")
        attention = {state: self.last_layer(state) for state in STATES}
        return {
            "cnn_minus_vit": (self.ids("vit.clean"), self.rows.shares("cnn.clean") - self.rows.shares("vit.clean")),
            "adversarial": (ids, on),
            "natural": {kind: (ids, values) for kind, values in natural.items()},
            "captured": (ids, attention["patch"] - attention["clean"]),
            "ignored": (ids, attention["clean"] - attention["noise"]),
            "misaligned": (ids, on - off),
            "patch_fool": {kind: (ids, vit[kind] - cnn[kind]) for kind in PAIRED},
            "drawn_minus_random": (ids, drawn),
        }

    def at_temperature(self, t: str) -> dict[str, Any]:
        """How many fewer images one cell fools at a temperature, and the clean accuracy gained; as `by_image`."""
        smoothed = self.rows.correct(f"vit-{t}.patch-1", f"vit-{t}.transfer-1").astype(float)
        gained = self.rows.shares(f"vit-{t}.clean") - self.rows.shares("vit.clean")
        gain = smoothed - self.rows.shares("vit.patch-1")
        return {"gain": (self.ids("vit.patch-1"), gain), "cost": (self.ids("vit.clean"), gained)}

    def ids(self, label: str) -> list[str]:
        """Ids of the images of a condition, in order."""
        found: list[str] = self.rows.column("outcomes", label, "id", by="id").tolist()
        return found

    def fooled(self, label: str) -> Numbers:
        """Whether each image is fooled, as numbers."""
        return np.asarray(1.0 - self.rows.correct(label), np.float64)

    def last_layer(self, state: str) -> Numbers:
        """Attention of the last layer to the cell in each image, in order of ids."""
        layers, on_cell = self.rows.columns("attention", f"vit.attention-{state}", "layer", "on_cell", by="id")
        found: Numbers = on_cell[layers == layers.max()]
        return found

    def moved(self, net: str) -> Flags:
        """Whether each image is fooled by a patch off the grid."""
        return np.asarray(~self.rows.correct(f"{net}.moved-1"))

    def by_cells(self, net: str) -> list[Flags]:
        """Whether each image is fooled by at most 1, 2 and 4 cells, each bool `[N]`."""
        ids = self.rows.column("outcomes", "vit.patch-1", "id", by="id")
        found, fooled = [], np.zeros(len(ids), bool)
        for cells in ADVERSARIAL:
            some, correct = self.rows.columns("outcomes", f"{net}.patch-{cells}", "id", "correct")
            fooled = fooled | np.isin(ids, some[~correct])
            found.append(fooled)
        return found

    def lost(self, net: str, kind: str, cells: int) -> Numbers:
        """Share of the severities at which each image is lost, `[N]`."""
        severities = KINDS[kind][1]
        return np.asarray(np.mean([~self.rows.correct(f"{net}.{kind}-{cells}-{s}") for s in severities], 0), np.float64)

    def early(self, label: str) -> Flags:
        """Fooled in the first half of some run's steps."""
        steps = self.rows.column("outcomes", label, "step", by="id")  # NaN where none fooled it
        return np.asarray(~self.rows.correct(label) & (steps <= self.steps // 2))

    def first(self, label: str) -> Flags:
        """Fooled in the first run."""
        return np.asarray(self.reason(label) == "patch")

    def reason(self, label: str) -> Any:
        """Attack that broke each sample."""
        return self.rows.column("outcomes", label, "broken_by", by="id")


def is_central(place: NDArray[np.int64], count: NDArray[np.int64]) -> Flags:
    """Whether rows or columns of cells lie in the middle half, bool `[N]`.

    >>> is_central(np.arange(8), np.full(8, 8)).tolist()
    [False, False, True, True, True, True, False, False]
    """
    return np.asarray((count <= 4 * place + 2) & (4 * place + 2 < 3 * count))


def _inward(figures: Mapping[str, Any]) -> float:
    """How much higher the fooling rate is at the centre than elsewhere."""
    return float(figures["centre"] - figures["rest"])
