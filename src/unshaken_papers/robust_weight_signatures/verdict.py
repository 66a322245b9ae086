"""The rules of the experiment with weight signatures, applied to its figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from unshaken.papers import Check, decide
from unshaken.papers.effects import across_seeds, values_of

if TYPE_CHECKING:  # papers are listed without numpy
    from unshaken.measure.statistics.columns import Numbers

    Of = Callable[..., Numbers]

RANDOM = 3
"""Random patches of equal norms."""
LAYERS = 6
"""Convolutions of the network, those that a patch may have."""
SCALED = (0.5, 1.0)
"""Alphas at which the chosen layers are shown to test images."""
SHARE, LOSS, ROUNDED = 0.5, 0.06, 0.01
SAME = 0.001
"""Share of images whose class may change by the rounding of a patch that is added and removed."""


def judge_signatures(seeds: Sequence[Mapping[str, Any]]) -> list[Check]:
    """The checks of all parts.

    Args:
        seeds: the figures of each seed.
    """
    of = partial(values_of, seeds)
    return [*_patch(of), *_compare_patches(of), *_elsewhere(of)]


def _gain(name: str, kind: str, of: Of) -> list[Check]:
    """Whether a patch gains accuracy under a change, and more than half of what the robust weights gain."""
    base, patched, robust = (of(kind, label, "changed") for label in ("base", "patched", "robust"))
    beyond = patched - base - SHARE * (robust - base)
    return [
        decide(name, f"accuracy under {kind}, patched minus clean weights", patched - base),
        decide(name, f"{kind}: the same, beyond half of the robust weights' gain", beyond, opposed_below=-1),
    ]


def _patch(of: Of) -> list[Check]:
    """Checks of the patch against noise: what it does, costs and leaves out."""
    clean = of("noise", "patched", "clean") - of("noise", "base", "clean")
    words = "accuracy on clean images, patched minus clean weights"
    checks = [*_gain("gain", "noise", of), decide("clean-cost", words, clean, above=-LOSS)]
    for i, layers in enumerate(of("noise", "layers").tolist()):
        words = f"repetition {i + 1}: {layers:g} of {LAYERS} layers are chosen"
        checks.append(Check(words, 0 < layers < LAYERS, "first-layers"))
    ratios = across_seeds(of("weights", "size.ratio"), low=0.0, high=math.inf)
    words = "times that the patch is smaller than all weights"
    return [*checks, decide("small-file", words, ratios, above=1.0, opposed_below=1.0)]


def _compare_patches(of: Of) -> list[Check]:
    """The patch against noise beside others: random ones, interpolation, without projection, in levels, by alpha."""
    patched, plain, mixed = (of("noise", label, "changed") for label in ("patched", "plain", "interpolated"))
    best = [max(draws) for draws in zip(*(of("noise", f"random{i}", "changed") for i in range(RANDOM)), strict=True)]
    words = "accuracy under noise, patch minus"
    checks = [
        decide("control", f"{words} best random patch", patched - best),
        decide("control", f"{words} interpolation, each as chosen", patched - mixed),
        decide("projection", f"{words} the plain difference", patched - plain),
    ]
    for where, what in (("noise", "changed"), ("clean", "clean")):
        lost = of("noise", "quantised", what) - of("noise", "patched", what)
        checks.append(
            decide("quantised", f"accuracy, {where}, 16 levels minus the patch as it is", lost, above=-ROUNDED)
        )
    before, words = of("noise", "base", "changed"), "no patch"
    for alpha in SCALED:
        after = of("noise", f"scaled-{alpha:g}", "changed")
        checks.append(decide("scaled", f"accuracy under noise, alpha {alpha:g} minus {words}", after - before))
        before, words = after, f"alpha {alpha:g}"
    most = of("removed_changes").max()
    words = f"share of images whose class differs once the patch is removed: {most:.4f}, at most {SAME} allowed"
    return [*checks, Check(words, bool(most <= SAME), "scaled")]


def _elsewhere(of: Of) -> list[Check]:
    """Other corruptions, two patches at once, other data, and how alike signatures are."""
    checks = [check for kind in ("blur", "contrast") for check in _gain("other-corruptions", kind, of)]
    for kind in ("noise", "blur"):
        gain = of("two_patches", "both", kind) - of("two_patches", "base", kind)
        checks.append(decide("combined", f"accuracy under {kind}, both patches minus none", gain))
    moved = of("transfer", "patched", "changed")
    for label, words in (("base", "no patch"), ("random0", "a random patch")):
        gain = moved - of("transfer", label, "changed")
        checks.append(decide("moved", f"accuracy under noise on other classes, moved signature minus {words}", gain))
    for kind in ("blur", "contrast"):
        more = of("weights", "cosine.transfer") - of("weights", f"cosine.noise.{kind}")
        words = f"cosine of noise from two halves of the classes minus that of noise and {kind}"
        checks.append(decide("identifies", words, across_seeds(more, low=-2.0, high=2.0)))
    return checks
