"""The rules of the experiment with patches, applied to its figures."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from unshaken.papers import Check, decide, seeds_in
from unshaken.papers.effects import across_seeds, negated, unpaired, values_of

KINDS: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "noise": ("gaussian_noise:preset=imagenet", (1, 3, 5)),
    "blur": ("gaussian_blur:preset=imagenet", (1, 2, 3)),
    "contrast": ("contrast:preset=cifar", (1, 3, 5)),
}
"""Kind to a corruption and three severities."""
CLOSE = 0.03
GAIN, LOSS = 0.05, 0.03
EVEN = 1.0
"""Attention to a cell by which adversarial patches raise it at least, in units of an even share."""
GAP = "vit_minus_cnn"


def judge_seed(part: Mapping[str, Any]) -> list[Check]:
    """Accuracy, natural and adversarial patches, temperature and attention, of one seed."""
    more, flat, cell = part["clean"]["cnn_minus_vit"], part["smoothing"]["chosen"], part["attention"]["last_layer"]
    fooled, best = part["adversarial"][GAP]["1"], flat["temperature"]
    gain, words = negated(flat["fooled_minus_plain"]), "attention to the cell in even shares, intervals apart"
    captured, ignored = unpaired(cell["patch"], cell["clean"]), unpaired(cell["clean"], cell["noise"])
    corrupted = {kind: negated(part["natural"][kind]["24"][GAP]) for kind in ("mean", *KINDS)}
    return [
        decide("equal-accuracy", "clean accuracy, ViT minus CNN", negated(more), above=-CLOSE, opposed_below=-1),
        decide("equal-accuracy", "clean accuracy, CNN minus ViT", more, above=-CLOSE, opposed_below=-1),
        decide("adversarial", "one adversarial cell, fooled ViT minus CNN", fooled),
        *(
            decide(
                "natural" if kind == "mean" else "each-kind",
                f"3/8 of the cells corrupted, {kind}, fooled CNN minus ViT",
                gap,
            )
            for kind, gap in corrupted.items()
        ),
        decide("temperature", f"one adversarial cell, fooled at T = 1 minus T = {best}", gain, above=GAIN),
        decide(
            "temperature-cost", f"clean accuracy at T = {best} minus T = 1", flat["accuracy_minus_plain"], above=-LOSS
        ),
        decide("captured", f"{words}, adversarial minus clean", captured, above=EVEN),
        decide("ignored", f"{words}, clean minus noise", ignored),
    ]


def judge_studies(measured: Mapping[str, Any]) -> list[Check]:
    """Location, alignment and Patch-Fool, the first two and the variants over the seeds."""
    of = partial(values_of, [part for _, part in seeds_in(measured)])
    inward, moved = of("location", "cnn_minus_vit"), -of("misaligned", GAP, "off_minus_on")
    drawn = "fooled ViT, cell by attention and attention drawn minus random cell"
    return [
        decide("location", "fooled at the centre minus elsewhere, CNN minus ViT", across_seeds(inward, low=-2, high=2)),
        decide("misaligned", "fooled ViT minus CNN, on the grid minus off it", across_seeds(moved, low=-2, high=2)),
        *(
            decide("patch-fool", f"{name}: Patch-Fool, fooled ViT minus CNN", part["patch_fool"][GAP]["saliency"])
            for name, part in seeds_in(measured)
        ),
        decide("patch-fool-attention", drawn, of("patch_fool", "drawn_minus_random")),
        *(
            decide("patch-fool-variants", f"Patch-Fool, {kind}, fooled ViT minus CNN", of("patch_fool", GAP, kind))
            for kind in ("sparse", "linf", "l2")
        ),
    ]
