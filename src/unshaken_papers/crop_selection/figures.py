"""Figures of predictions under shifts, from rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from unshaken.certify.crops.crop_selection import ball_rate, four_neighbours_rate, same_crop_rate
from unshaken.certify.crops.shifts import EIGHT, FOUR, Shift, ball
from unshaken.measure import compare
from unshaken.measure.statistics.columns import Flags, Numbers
from unshaken.papers.rows import Rows, mean_of, means, share_of, stacked
from unshaken_papers.crop_selection import CROPS, FAR, SCORES, WINDOW, CropSelectionPaper


def figures(paper: CropSelectionPaper, rows: Rows) -> dict[str, Any]:
    """Figures of photos, and of CIFAR-10 where it was run."""
    small = any(label.startswith("small.") for label in rows.labels())
    return {"photos": photo_figures(rows), **({"cifar10": small_figures(paper, rows)} if small else {})}


def photo_figures(rows: Rows) -> dict[str, Any]:
    """Same-crop rates of all scores, and predictions; under further shifts too where these were needed."""
    names = framings(rows, "photos")
    sizes = sorted((int(n.partition("-")[2]) for n in names if n.startswith("hash-")), reverse=True)
    (resize,) = (n for n in names if n.startswith("resize-"))
    window, centre, first = int(resize.partition("-")[2]), f"centre-{sizes[0]}", f"hash-{sizes[0]}"
    asked = [resize, centre, *(f"hash-{m}" for m in sizes), f"laplacian-{sizes[0]}"]
    found = {name: shifted(rows, "photos", name, FOUR) for name in asked}
    figures: dict[str, Any] = {
        "same_crop": {s: {str(m): same_crop(rows, f"photos.{s}-{m}") for m in sizes} for s in SCORES},
        "law": {str(m): round(four_neighbours_rate(window - m + 1), 4) for m in sizes},
        "looks": {name: shifted_figures(f, neighbours=True) for name, f in found.items()},
        "against_centre": {name: against(found[centre], found[name]) for name in asked[2:]},
        "names": {"resize": resize, "centre": centre, "selected": first},
        "bad_samples": int(pc.sum(pc.invert(rows.table("photos", "photos")["readable"])).as_py()),
    }
    if framings(rows, "photos-far"):
        reach = Sides.of(sizes[0]).reach
        shifts = ball(reach)
        far = {n: shifted_figures(shifted(rows, "photos-far", n, shifts), neighbours=True) for n in (centre, first)}
        law = same_crop_rate(window - sizes[0] + 1, shifts)
        figures["far"] = {"pixels": reach, "law": round(law, 4), **far}
    return figures


def small_figures(paper: CropSelectionPaper, rows: Rows) -> dict[str, Any]:
    """Figures of two small networks on CIFAR-10, means over seeds; agreement of crops is of the first seed's photos."""
    prefixes = [f"small.s{seed}" for seed in rows.seeds(paper.seeds)]
    return {
        "same_crop": {"hash": {str(m): same_crop(rows, f"{prefixes[0]}.as-trained.hash-{m}") for m in CROPS}},
        "law": {str(m): round(ball_rate(WINDOW - m + 1, 1), 4) for m in CROPS},
        **means([seed_figures(rows, prefix) for prefix in prefixes]),
    }


def seed_figures(rows: Rows, prefix: str) -> dict[str, Any]:
    """Plain numbers of one seed's networks: each framing, and its differences from two baselines.

    `against_plain` compares with the plainly trained network without selection; `against_centre` the network that was
    trained on crops with itself, shown the centre crop of the same side.
    """
    plain, selected = f"plain-{WINDOW}", [f"hash-{m}" for m in CROPS]
    centres = [f"centre-{m}" for m in CROPS]
    found = {
        net: {name: shifted(rows, f"{prefix}.{net}", name, EIGHT) for name in names}
        for net, names in (("as-trained", [plain, *selected]), ("on-crops", [*centres, *selected]))
    }
    base, crops = found["as-trained"][plain], found["on-crops"]
    pairs = zip(selected, centres, strict=True)
    return {
        "looks": {net: {k: numbers_of(f) for k, f in own.items()} for net, own in found.items()},
        "against_plain": {
            net: {k: differences(base, f) for k, f in own.items() if f is not base} for net, own in found.items()
        },
        "against_centre": {name: differences(crops[centre], crops[name]) for name, centre in pairs},
    }


def numbers_of(found: Shifted) -> dict[str, float]:
    """The figures of one framing without their intervals over samples."""
    figures = shifted_figures(found, neighbours=False)
    return {name: float(f["value"] if isinstance(f, dict) else f) for name, f in figures.items()}


def differences(baseline: Shifted, other: Shifted) -> dict[str, float]:
    """Accuracy, and the share of labels that stay, of one framing less those of a baseline."""
    return {
        "accuracy": float(other.correct.mean() - baseline.correct.mean()),
        "stable": float(baseline.moved.mean() - other.moved.mean()),
    }


def framings(rows: Rows, prefix: str) -> list[str]:
    """Names of the framings whose predictions are there."""
    own = [label.split(".") for label in rows.labels() if label.startswith(f"{prefix}.")]
    return sorted({parts[1] for parts in own})


def same_crop(rows: Rows, label: str) -> dict[str, Any]:
    """How often all windows select the same crop."""
    return share_of(rows.column("certificates", label, "radius") > 0)


@dataclass(frozen=True, slots=True)
class Sides:
    """Sizes in pixels, in the proportions 288 : 256 : 224, 192, 160 for a network that takes 224.

    Args:
        photo: short side of the photo; its central square is used.
        window: what the camera sees.
        crops: of crop selection; the first is the network's own side.
    """

    photo: int
    window: int
    crops: tuple[int, int, int]

    @classmethod
    def of(cls, network: int) -> Sides:
        """For a network that takes squares of a side in pixels."""
        one = network / 7
        return cls(round(9 * one), round(8 * one), (network, round(6 * one), round(5 * one)))

    @property
    def reach(self) -> int:
        """Pixels of the further shifts: `FAR`, or what the photo's margin allows."""
        return min(FAR, (self.photo - self.window) // 2)


@dataclass(frozen=True, slots=True)
class Shifted:
    """Predictions with one framing at each shift; the first is no shift.

    Args:
        prediction: int64 `[S, N]`.
        correct: bool `[N]`, without shift.
        logits: float64 `[S, N, K]`.
        forwards: passes in all.
    """

    prediction: NDArray[np.int64]
    correct: Flags
    logits: Numbers
    forwards: int

    @property
    def moved(self) -> Flags:
        """Bool `[N]`: some shift changes the label."""
        return np.asarray((self.prediction != self.prediction[:1]).any(0))

    @property
    def neighbour_moved(self) -> Flags:
        """Bool `[N]`: some shift changes which other photo is the nearest, by cosine of the logits.

        The gallery are the unshifted photos; a photo is not its own neighbour.
        """
        gallery = _unit(self.logits[0])
        nearest = []
        for logits in self.logits:
            likeness = _unit(logits) @ gallery.T
            np.fill_diagonal(likeness, -np.inf)
            nearest.append(likeness.argmax(1))
        return np.asarray((np.stack(nearest) != nearest[0]).any(0))


def shifted(rows: Rows, prefix: str, name: str, shifts: Sequence[Shift]) -> Shifted:
    """Predictions under shifts, samples in the order of their ids."""
    parts = [rows.table("outcomes", f"{prefix}.{name}.{y:+d}{x:+d}").sort_by("id") for y, x in shifts]
    return Shifted(
        np.stack([p["prediction"].to_numpy() for p in parts]),
        np.asarray(parts[0]["correct"].to_numpy(zero_copy_only=False), bool),
        np.stack([stacked(p["logits"]) for p in parts]),
        sum(int(pc.sum(p["forwards"]).as_py()) for p in parts),
    )


def shifted_figures(found: Shifted, *, neighbours: bool) -> dict[str, Any]:
    """All figures of one framing."""
    kept = (found.prediction[1:] == found.prediction[:1]).mean(0)
    figures: dict[str, Any] = {
        "accuracy": share_of(found.correct),
        "label_failures": share_of(found.moved),
        "consistency": mean_of(kept, low=0.0, high=1.0),
        "forwards": round(found.forwards / len(found.correct), 2),
    }
    if neighbours:
        figures["neighbour_failures"] = share_of(found.neighbour_moved)
    return figures


def against(baseline: Shifted, other: Shifted) -> dict[str, Any]:
    """One framing compared with a baseline on the same photos: differences, and McNemar's p-value for failures."""
    stable = compare(~baseline.moved, ~other.moved)
    return {
        "accuracy": compare(baseline.correct, other.correct).difference.to_json(),
        "stable": stable.difference.to_json(),
        "stable_p": float(f"{stable.p_value:.3g}"),
    }


def _unit(logits: Numbers) -> Numbers:
    centred = logits - logits.mean(1, keepdims=True)
    return np.asarray(centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12))
