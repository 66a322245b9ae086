"""The rules of the experiment with patches, applied to its figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unshaken.papers import Check, decide
from unshaken.papers.effects import negated

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


def judge(over: Mapping[str, Any], temperature: str) -> list[Check]:
    """All parts, by intervals over seeds and images.

    Args:
        over: the figures over seeds.
        temperature: that other images chose.
    """
    more, natural, fool = over["cnn_minus_vit"], over["natural"], over["patch_fool"]
    cost = f"clean accuracy at T = {temperature} minus T = 1"
    return [
        decide("equal-accuracy", "clean accuracy, ViT minus CNN", negated(more), above=-CLOSE, opposed_below=-1),
        decide("equal-accuracy", "clean accuracy, CNN minus ViT", more, above=-CLOSE, opposed_below=-1),
        decide("adversarial", "one adversarial cell, fooled ViT minus CNN", over["adversarial"]),
        *(
            decide(
                "natural" if kind == "mean" else "each-kind",
                f"3/8 of the cells corrupted, {kind}, fooled CNN minus ViT",
                natural[kind],
            )
            for kind in ("mean", *KINDS)
        ),
        decide(
            "temperature", f"one adversarial cell, fooled at T = 1 minus T = {temperature}", over["gain"], above=GAIN
        ),
        decide("temperature-cost", cost, over["cost"], above=-LOSS),
        decide(
            "captured", "attention to the cell in even shares, adversarial minus clean", over["captured"], above=EVEN
        ),
        decide("ignored", "attention to the cell in even shares, clean minus noise", over["ignored"]),
        decide("location", "fooled at the centre minus elsewhere, CNN minus ViT", over["location"]),
        decide("misaligned", "fooled ViT minus CNN, on the grid minus off it", over["misaligned"]),
        decide("patch-fool", "Patch-Fool, fooled ViT minus CNN", fool["saliency"]),
        decide(
            "patch-fool-attention",
            "fooled ViT, cell by attention and attention drawn minus random cell",
            over["drawn_minus_random"],
        ),
        *(
            decide("patch-fool-variants", f"Patch-Fool, {kind}, fooled ViT minus CNN", fool[kind])
            for kind in ("sparse", "linf", "l2")
        ),
    ]
