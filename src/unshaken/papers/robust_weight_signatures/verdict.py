"""The rules of the experiment with weight signatures, applied to its figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from unshaken.papers.frame import Check, across_seeds, decide

RANDOM = 3
"""Random patches of equal norms."""
LAYERS = 6
"""Convolutions of the network, those that a patch may have."""
SCALED = (0.5, 1.0)
"""Alphas at which the chosen layers are shown to test images."""
SHARE, LOSS, ROUNDED = 0.5, 0.06, 0.01
SAME = 0.001
"""Share of images whose class may change by the rounding of a patch that is added and removed."""


def judge_signatures(seeds: Sequence[Any]) -> list[Check]:
    """The checks of all parts.

    Args:
        seeds: the figures of each seed.
    """
    return [*_patch(seeds), *_beside(seeds), *_elsewhere(seeds)]


def _values(seeds: Sequence[Any], *path: str) -> list[float]:
    """A figure of each seed."""
    found = []
    for part in seeds:
        for name in path:
            part = part[name]
        found.append(float(part["value"]))
    return found


def _less(first: Sequence[float], second: Sequence[float]) -> list[float]:
    """Differences, seed by seed."""
    return [a - b for a, b in zip(first, second, strict=True)]


def _gain(name: str, kind: str, seeds: Sequence[Any]) -> list[Check]:
    """Whether a patch gains accuracy under a change, and more than half of what the robust weights gain."""
    base, patched, robust = (_values(seeds, kind, label, "changed") for label in ("base", "patched", "robust"))
    gains = _less(patched, base)
    beyond = _less(gains, [SHARE * gain for gain in _less(robust, base)])
    return [
        decide(name, f"accuracy under {kind}, patched minus clean weights", across_seeds(gains)),
        decide(
            name, f"{kind}: the same, beyond half of the robust weights' gain", across_seeds(beyond), opposed_below=-1
        ),
    ]


def _patch(seeds: Sequence[Any]) -> list[Check]:
    """What the patch against noise does, costs and leaves out."""
    clean = _less(_values(seeds, "noise", "patched", "clean"), _values(seeds, "noise", "base", "clean"))
    words = "accuracy on clean images, patched minus clean weights"
    checks = [*_gain("gain", "noise", seeds), decide("clean-cost", words, across_seeds(clean), above=-LOSS)]
    for i, part in enumerate(seeds):
        layers = part["noise"]["layers"]
        words = f"repetition {i + 1}: {layers} of {LAYERS} layers are chosen"
        checks.append(Check(words, 0 < layers < LAYERS, "first-layers"))
    ratios = across_seeds([part["weights"]["size.ratio"] for part in seeds], low=0.0, high=math.inf)
    words = "times that the patch is smaller than all weights"
    return [*checks, decide("small-file", words, ratios, above=1.0, opposed_below=1.0)]


def _beside(seeds: Sequence[Any]) -> list[Check]:
    """The patch against noise beside others: random ones, interpolation, without projection, in levels, by alpha."""
    patched = _values(seeds, "noise", "patched", "changed")
    draws = [_values(seeds, "noise", f"random{i}", "changed") for i in range(RANDOM)]
    best = [max(values) for values in zip(*draws, strict=True)]
    others = {label: _values(seeds, "noise", label, "changed") for label in ("plain", "interpolated")}
    checks = [
        decide("control", "accuracy under noise, patch minus best random patch", across_seeds(_less(patched, best))),
        decide(
            "control",
            "accuracy under noise, patch minus interpolation, each as chosen",
            across_seeds(_less(patched, others["interpolated"])),
        ),
        decide(
            "projection",
            "accuracy under noise, patch minus the plain difference",
            across_seeds(_less(patched, others["plain"])),
        ),
    ]
    for where, what in (("noise", "changed"), ("clean", "clean")):
        lost = _less(_values(seeds, "noise", "quantised", what), _values(seeds, "noise", "patched", what))
        words = f"accuracy, {where}, 16 levels minus the patch as it is"
        checks.append(decide("quantised", words, across_seeds(lost), above=-ROUNDED))
    before, words = _values(seeds, "noise", "base", "changed"), "no patch"
    for alpha in SCALED:
        after = _values(seeds, "noise", f"scaled-{alpha:g}", "changed")
        rise = across_seeds(_less(after, before))
        checks.append(decide("scaled", f"accuracy under noise, alpha {alpha:g} minus {words}", rise))
        before, words = after, f"alpha {alpha:g}"
    most = max(part["removed_changes"] for part in seeds)
    words = f"share of images whose class differs once the patch is removed: {most:.4f}, at most {SAME} allowed"
    return [*checks, Check(words, most <= SAME, "scaled")]


def _elsewhere(seeds: Sequence[Any]) -> list[Check]:
    """Other corruptions, two patches at once, other data, and how alike signatures are."""
    checks = [check for kind in ("blur", "contrast") for check in _gain("other-corruptions", kind, seeds)]
    for kind in ("noise", "blur"):
        both, base = (_values(seeds, "two_patches", label, kind) for label in ("both", "base"))
        words = f"accuracy under {kind}, both patches minus none"
        checks.append(decide("combined", words, across_seeds(_less(both, base))))
    moved = _values(seeds, "transfer", "patched", "changed")
    for label, words in (("base", "no patch"), ("random0", "a random patch")):
        gain = across_seeds(_less(moved, _values(seeds, "transfer", label, "changed")))
        checks.append(decide("moved", f"accuracy under noise on other classes, moved signature minus {words}", gain))
    for kind in ("blur", "contrast"):
        more = [part["weights"]["cosine.transfer"] - part["weights"][f"cosine.noise.{kind}"] for part in seeds]
        words = f"cosine of noise from two halves of the classes minus that of noise and {kind}"
        checks.append(decide("identifies", words, across_seeds(more, low=-2.0, high=2.0)))
    return checks
