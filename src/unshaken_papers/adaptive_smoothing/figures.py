"""Figures of the experiment with mixtures, from rows alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.special import softmax
from typing_extensions import override

from unshaken.measure import influence
from unshaken.measure.statistics.influence import by_sample
from unshaken.papers.effects import mean_over
from unshaken.papers.roles import choosing
from unshaken.papers.rows import Flags, Numbers, Rows, share_of, stacked
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
JUDGED_RADIUS = 0.1
Point = tuple[float, float]
"""Clean and robust accuracy."""


def figures(paper: AdaptiveSmoothingPaper, rows: Rows) -> dict[str, Any]:
    """By seed; over seeds and images what is judged, of what half of the images chose on the other half."""
    found = {name: Figures(part).all() for name, part in rows.repetitions(paper.seeds).items()}
    whole = [Figures(part) for part in rows.repetitions(paper.seeds).values()]
    halves = [Figures(part) for part in rows.halved().repetitions(paper.seeds).values()]
    with choosing():
        choice = choose([half.all() for half in halves])
    return found | {"over_seeds": judged(choice, halves, whole)}


@dataclass(frozen=True, slots=True)
class Choice:
    """What half of the images choose over all seeds.

    Args:
        trade_off: scale and weight of the mixture farthest above the line.
        keeps_most: of the one that keeps the most of both networks.
        bias: of the mixing network, the one that gains the most; None without such networks.
    """

    trade_off: tuple[int, str]
    keeps_most: tuple[int, str]
    bias: float | None

    @override
    def __str__(self) -> str:
        one, other = (f"weight {weight[1:]} with T_h {scale}" for scale, weight in (self.trade_off, self.keeps_most))
        gate = "" if self.bias is None else f", and bias {self.bias:g} for mixing networks"
        return f"{one} against the line, {other} for the shares kept{gate}"


def choose(others: Sequence[Mapping[str, Any]]) -> Choice:
    """The best of eight mixtures of fixed weight by each of two measures, and the best bias of mixing networks.

    Args:
        others: figures of each seed on the images that choose.
    """

    def best(measure: Callable[[Point, Point, Point], float]) -> tuple[int, str]:
        def met(mixture: tuple[int, str]) -> float:
            scale, weight = mixture
            return sum(measure(*(point(p) for p in (o[f"T{scale}"][weight], o["g"], o["h"]))) for o in others)

        return max(MIXTURES, key=met)

    gates = [part["mixing_network"] for part in others if "mixing_network" in part]
    bias = max(BIASES, key=lambda b: sum(float(gate[f"b{b:g}"]["gain"]) for gate in gates)) if gates else None
    return Choice(best(above_chord), best(kept), bias)


def judged(choice: Choice, halves: Sequence[Figures], whole: Sequence[Figures]) -> dict[str, Any]:
    """What the rules judge, over seeds and images.

    Args:
        choice: what the other half of the images chose.
        halves: the rows of each seed, on the images that did not choose.
        whole: the rows of each seed, on all images, for what is not chosen.
    """
    over = partial(mean_over, influence=True)
    found: dict[str, Any] = {"choice": str(choice)}
    for name, measure in (("trade_off", above_chord), ("keeps_most", kept)):
        scale, weight = getattr(choice, name)
        end = 1.0 if name == "trade_off" else math.inf  # a mixture may be better than both
        found[name] = over(halves, Figures.mixture_by_image, scale, weight, measure, low=-end, high=end)
    if choice.bias is not None:
        found["mixing_network"] = over(halves, Figures.gain_by_image, choice.bias)
    if all(part.has_both_kinds() for part in whole):
        found["margin"] = over(whole, Figures.margin_by_image)
    if all(part.is_certified() for part in whole):
        found["certificate"] = over(whole, Figures.certified_by_image, low=0.0, high=math.inf)
    return found


def point(model: Mapping[str, Any]) -> Point:
    """Clean and robust accuracy."""
    return model["clean"]["value"], model["worst"]["value"]


def above_chord(mixture: Point, g: Point, h: Point) -> float:
    """How far the robust accuracy of a mixture lies above the line between two networks."""
    return float(mixture[1] - chord_at(mixture[0], g, h))


def kept(mixture: Point, g: Point, h: Point) -> float:
    """The smaller of two shares: of what the accurate network is more accurate, and of the other's robustness."""
    more, robust = g[0] - h[0], h[1]
    if more <= 0 or robust <= 0:
        return 0.0
    return float(min((mixture[0] - h[0]) / more, mixture[1] / robust))


def gained(gate: Point, g: Point, h: Point, sweeps: Iterable[Sequence[Point]]) -> float:
    """Clean accuracy of a mixing network above the best of fixed weights at its robust accuracy.

    Args:
        gate: its clean and robust accuracy.
        g: of the accurate network.
        h: of the robust one.
        sweeps: of mixtures by rising weight, for each scale.
    """
    return float(gate[0] - max(fixed_at(gate[1], [g, *sweep, h]) for sweep in sweeps))


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

    def sureness(self, label: str) -> Numbers:
        """The two largest probabilities' difference for each image, in order of ids."""
        rows = self.rows.table("outcomes", label).sort_by("id")
        top = np.sort(softmax(stacked(rows["logits"]), axis=1), axis=1)
        sure: Numbers = top[:, -1] - top[:, -2]
        return sure

    def margins(self, name: str) -> dict[str, Any]:
        """Mean confidence margin where the network is right and where it is wrong, and the gap; clean and attacked."""
        found = {}
        for how in ("clean", "ce"):
            sure, right = self.sureness(f"{name}.{how}"), self.rows.correct(f"{name}.{how}")
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
        plain, worst = self.model(name), self.rows.accuracy(*gate_attacks(bias))
        sweeps = [[point(model) for model in found[f"T{scale}"].values()] for scale in SCALES]
        gain = gained((plain["clean"]["value"], worst["value"]), point(found["g"]), point(found["h"]), sweeps)
        return {
            "clean": plain["clean"],
            "plain_attack": plain["worst"],
            "knowing_attack": {f"{s:g}": self.rows.accuracy(*gate_attacks(bias, (s,))) for s in SHARES},
            "worst": worst,
            "fixed_clean_at_equal_robust": round(plain["clean"]["value"] - gain, 4),
            "gain": round(gain, 4),
        }

    def certified(self, alpha: float) -> dict[str, Any]:
        """Share of images that are right and certified at each radius, by both rules; abstentions."""
        found: dict[str, Any] = {}
        for rule in RULES:
            found[rule] = {f"r{r:g}": share_of(self.certified_at(alpha, r, rule)) for r in RADII}
        found["accuracy"] = share_of(self.rows.correct(f"certified-a{alpha:g}-sharp"))
        found["abstained"] = share_of(self.rows.column("certificates", f"certified-a{alpha:g}-{RULES[0]}", "abstained"))
        return found

    def certified_at(self, alpha: float, radius: float = JUDGED_RADIUS, rule: str = "published") -> Flags:
        """Whether each image is right and certified at a radius, in order of ids."""
        label = f"certified-a{alpha:g}-{rule}"
        names = ("prediction", "label", "abstained", "radius")
        predicted, truth, gone, known = self.rows.columns("certificates", label, *names, by="id")
        found: Flags = (predicted == truth) & ~gone & (known > radius)
        return found

    def column(self, *labels: str) -> Numbers:
        """Whether images are right under all of several conditions, as a column of all images whose mean it is."""
        ids, every = (self.rows.column("outcomes", name, "id", by="id").tolist() for name in (labels[0], "g.clean"))
        return by_sample(self.rows.correct(*labels), ids, every)

    def points(self, *names: str) -> Numbers:
        """Columns of clean and robust accuracy of models, each two `[N, 2 M]`."""
        under = [[f"{name}.{how}" for how in LOSSES] for name in names]
        each = [(self.column(f"{n}.clean"), self.column(*u)) for n, u in zip(names, under, strict=True)]
        return np.stack([column for pair in each for column in pair], 1)

    def mixture_by_image(self, scale: int, weight: str, measure: Callable[[Point, Point, Point], float]) -> Numbers:
        """A measure of a mixture and both networks, as a column by image whose mean it is."""
        columns = self.points(f"T{scale}-{weight}", "g", "h")
        return influence(columns, lambda means: measure(*pairs(means)))

    def gain_by_image(self, bias: float) -> Numbers:
        """What a mixing network gains, likewise."""
        gate = np.stack([self.column(f"gate-b{bias:g}.clean"), self.column(*gate_attacks(bias))], 1)
        fixed = self.points("g", "h", *(f"T{scale}-a{alpha:g}" for scale in SCALES for alpha in ALPHAS))

        def gain(means: Numbers) -> float:
            own, g, h, *sweep = pairs(means)
            return gained(own, g, h, [sweep[i : i + len(ALPHAS)] for i in range(0, len(sweep), len(ALPHAS))])

        return influence(np.concatenate([gate, fixed], 1), gain)

    def has_both_kinds(self) -> bool:
        """Whether the robust network is right on some attacked images and wrong on others."""
        right = self.rows.correct("h.ce")
        return bool(right.any() and not right.all())

    def margin_by_image(self) -> Numbers:
        """The robust network's margin under attack where it is right less that where it is wrong, likewise."""
        sure, right = self.sureness("h.ce"), self.rows.correct("h.ce")
        columns = np.stack([sure * right, right, sure * ~right, ~right], 1)
        return influence(columns, lambda means: float(means[0] / means[1] - means[2] / means[3]))

    def is_certified(self) -> bool:
        """Whether any image is certified at the judged radius by the network for noise alone."""
        return f"certified-a{CERTIFIED[0]:g}-sharp" in self.known and bool(self.certified_at(1.0).any())

    def certified_by_image(self) -> Numbers:
        """The share of the certified accuracy that a weight of 0.8 keeps, likewise."""
        columns = np.stack([self.certified_at(alpha) for alpha in (0.8, 1.0)], 1)
        return influence(columns, lambda means: float(means[0] / means[1]))


def gate_attacks(bias: float, shares: Sequence[float] | None = None) -> list[str]:
    """Labels of attacks on the mixing network: of those that know it by some shares; of all of them by default."""
    knowing = [f"gate-b{bias:g}.{loss}-{share:g}" for share in shares or SHARES for loss in LOSSES]
    return knowing if shares else [f"gate-b{bias:g}.{loss}" for loss in LOSSES] + knowing


def pairs(means: Numbers) -> list[Point]:
    """Means of clean and robust accuracy in turn, as points."""
    return [(float(clean), float(robust)) for clean, robust in means.reshape(-1, 2)]


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
