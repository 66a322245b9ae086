"""Figures of the experiment with mixtures, from rows alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.special import softmax

from unshaken.papers.roles import choosing
from unshaken.papers.rows import Rows, share_of, stacked
from unshaken_papers.adaptive_smoothing import (
    ALPHAS,
    BIASES,
    CERTIFIED,
    LOSSES,
    MIXTURES,
    RULES,
    SCALES,
    SHARES,
    AdaptiveSmoothingPaper,
)

RADII = (0.0, 0.1, 0.25, 0.5)


def figures(paper: AdaptiveSmoothingPaper, rows: Rows) -> dict[str, Any]:
    """By seed; what is chosen, over all seeds by half of the images, is judged on the other half."""
    found = {name: Figures(part).all() for name, part in rows.repetitions(paper.seeds).items()}
    halves = [Figures(part) for part in rows.halved().repetitions(paper.seeds).values()]
    with choosing():
        others = [half.all() for half in halves]
    judged = [half.all() for half in halves]
    for one, chosen in zip(found.values(), chosen_of(others, judged), strict=True):
        one["chosen"] = chosen
    return found


def chosen_of(others: Sequence[Mapping[str, Any]], judged: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Best mixture of fixed weight of each seed, by each of the two rules, and the best bias of mixing networks.

    Args:
        others: figures of each seed on the images that choose.
        judged: the same on the others.
    """
    found: list[dict[str, Any]] = [{} for _ in judged]
    for name, measure in (("trade_off", above_chord), ("keeps_most", kept)):
        scale, weight = max(MIXTURES, key=lambda pair: sum(measure(part, *pair) for part in others))
        for one, part in zip(found, judged, strict=True):
            mixture = part[f"T{scale}"][weight]
            one[name] = {
                "mixture": f"weight {weight[1:]}, T_h {scale}",
                "clean": mixture["clean"],
                "worst": mixture["worst"],
                "met": round(measure(part, scale, weight), 4),
            }
    gates = [part["mixing_network"] for part in others if "mixing_network" in part]
    if gates:
        bias = max(gates[0], key=lambda b: sum(float(gate[b]["gain"]) for gate in gates))
        for one, part in zip(found, judged, strict=True):
            if "mixing_network" in part:
                one["mixing_network"] = {"bias": bias[1:], **part["mixing_network"][bias]}
    return found


def above_chord(part: Mapping[str, Any], scale: int, weight: str) -> float:
    """How far the robust accuracy of a mixture lies above the line."""
    return float(part[f"T{scale}"][weight]["above_chord"])


def kept(part: Mapping[str, Any], scale: int, weight: str) -> float:
    """The smaller of two shares: of what the accurate network is more accurate, and of the other's robustness."""
    (g, h), mixture = (part["g"], part["h"]), part[f"T{scale}"][weight]
    more, robust = g["clean"]["value"] - h["clean"]["value"], h["worst"]["value"]
    if more <= 0 or robust <= 0:
        return 0.0
    return float(min((mixture["clean"]["value"] - h["clean"]["value"]) / more, mixture["worst"]["value"] / robust))


class Figures:
    """Figures of one seed.

    Args:
        rows: of the seed.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows, self.known = rows, set(rows.labels())

    def all(self) -> dict[str, Any]:
        """Both networks, the sweep against the chord, and what there is of the other parts."""
        ends = {name: self.model(name) for name in ("g", "h")}
        found: dict[str, Any] = {name: ends[name] | {"margin": self.margins(name)} for name in ends}
        chord = tuple((ends[n]["clean"]["value"], ends[n]["worst"]["value"]) for n in ("g", "h"))
        for scale in SCALES:
            sweep: dict[str, Any] = {}
            for alpha in ALPHAS:
                one = self.model(f"T{scale}-a{alpha:g}")
                on_chord = chord_at(one["clean"]["value"], *chord)
                sweep[f"a{alpha:g}"] = one | {"above_chord": round(one["worst"]["value"] - on_chord, 4)}
            found[f"T{scale}"] = sweep
        found["careless"] = {f"from_{m}": self.rows.accuracy(f"T1-a0.8.from-{m}") for m in ("g", "h")}
        if f"gate-b{BIASES[0]:g}.clean" in self.known:
            found["mixing_network"] = {f"b{b:g}": self.gate(b, found) for b in BIASES}
        if f"certified-a{CERTIFIED[0]:g}-sharp" in self.known:
            found["certified"] = {f"a{a:g}": self.certified(a) for a in CERTIFIED}
        return found

    def model(self, name: str) -> dict[str, Any]:
        """Accuracy on clean images, under each loss, and under the worst of both."""
        under = {how: self.rows.accuracy(f"{name}.{how}") for how in ("clean", *LOSSES)}
        return under | {"worst": self.rows.accuracy(*(f"{name}.{loss}" for loss in LOSSES))}

    def margins(self, name: str) -> dict[str, Any]:
        """Mean confidence margin where the network is right and where it is wrong, and the gap; clean and attacked."""
        found = {}
        for how in ("clean", "ce"):
            rows = self.rows.table("outcomes", f"{name}.{how}").sort_by("id")
            top = np.sort(softmax(stacked(rows["logits"]), axis=1), axis=1)
            sure, right = top[:, -1] - top[:, -2], self.rows.correct(f"{name}.{how}")
            means = [float(sure[side].mean()) if side.any() else None for side in (right, ~right)]
            known = [m for m in means if m is not None]
            found["attacked" if how == "ce" else "clean"] = {
                "right": None if means[0] is None else round(means[0], 4),
                "wrong": None if means[1] is None else round(means[1], 4),
                "gap": round(known[0] - known[1], 4) if len(known) == 2 else None,
                "n_right": int(right.sum()),
                "n_wrong": int((~right).sum()),
            }
        return found

    def gate(self, bias: float, found: dict[str, Any]) -> dict[str, Any]:
        """The mixing network at a bias, under plain attacks and knowing ones; and the best fixed weight as robust."""
        name = f"gate-b{bias:g}"
        plain = self.model(name)
        under = {f"{s:g}": [f"{name}.{loss}-{s:g}" for loss in LOSSES] for s in SHARES}
        worst = self.rows.accuracy(
            *(f"{name}.{loss}" for loss in LOSSES), *(label for u in under.values() for label in u)
        )
        best = max(
            fixed_at(
                worst["value"],
                [(found["g"]["clean"]["value"], found["g"]["worst"]["value"])]
                + [(v["clean"]["value"], v["worst"]["value"]) for v in found[f"T{scale}"].values()]
                + [(found["h"]["clean"]["value"], found["h"]["worst"]["value"])],
            )
            for scale in SCALES
        )
        return {
            "clean": plain["clean"],
            "plain_attack": plain["worst"],
            "knowing_attack": {s: self.rows.accuracy(*labels) for s, labels in under.items()},
            "worst": worst,
            "fixed_clean_at_equal_robust": round(best, 4),
            "gain": round(plain["clean"]["value"] - best, 4),
        }

    def certified(self, alpha: float) -> dict[str, Any]:
        """Share of images that are right and certified at each radius, by both rules; abstentions."""
        found: dict[str, Any] = {}
        for rule in RULES:
            predicted, label, gone, radius = self.rows.columns(
                "certificates", f"certified-a{alpha:g}-{rule}", "prediction", "label", "abstained", "radius"
            )
            found[rule] = {f"r{r:g}": share_of((predicted == label) & ~gone & (radius > r)) for r in RADII}
        found["accuracy"] = share_of(self.rows.correct(f"certified-a{alpha:g}-sharp"))
        found["abstained"] = share_of(gone)
        return found


def chord_at(clean: float, accurate: tuple[float, float], robust: tuple[float, float]) -> float:
    """Robust accuracy on the straight line between the points (clean, robust) of two networks.

    Args:
        clean: where; outside the two the nearer end counts.
        accurate: point of g.
        robust: point of h.

    >>> round(chord_at(0.83, (0.873, 0.0), (0.806, 0.723)), 3)
    0.464
    """
    if accurate[0] <= robust[0]:
        return max(accurate[1], robust[1])
    share_of_h = min(1.0, max(0.0, (accurate[0] - clean) / (accurate[0] - robust[0])))
    return accurate[1] + share_of_h * (robust[1] - accurate[1])


def fixed_at(robust: float, points: list[tuple[float, float]]) -> float:
    """The best clean accuracy of fixed weights at a robust accuracy, linear between neighbours of the sweep.

    Args:
        robust: where.
        points: (clean, robust) by rising weight.

    >>> fixed_at(0.5, [(0.9, 0.0), (0.8, 0.4), (0.7, 0.6)])
    0.75
    """
    found = [clean for clean, held in points if held >= robust]
    for (c0, r0), (c1, r1) in pairwise(points):
        if min(r0, r1) <= robust <= max(r0, r1) and r0 != r1:
            found.append(c0 + (robust - r0) / (r1 - r0) * (c1 - c0))
    return max(found, default=points[-1][0])
