"""The rules of the studies beside the claim: where the patch lies, whether it is aligned, and Patch-Fool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unshaken.papers.frame import Check, across_seeds, decide


def judge_studies(seeds: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Check]:
    """Location, alignment and Patch-Fool, the first two and the variants over the seeds."""

    def over(part: str, words: str, *path: str, sign: int = 1, reach: float = 1.0) -> Check:
        values = []
        for _, figures in seeds:
            for key in path:
                figures = figures[key]
            values.append(sign * figures["value"])
        return decide(part, words, across_seeds(values, low=-reach, high=reach))

    gap = ("patch_fool", "vit_minus_cnn")
    words = "fooled at the centre minus elsewhere, CNN minus ViT"
    inward = across_seeds([figures["location"]["cnn_minus_vit"] for _, figures in seeds], low=-2, high=2)
    checks = [decide("location", words, inward)]
    words = "fooled ViT minus CNN, on the grid minus off it"
    checks.append(over("misaligned", words, "misaligned", "vit_minus_cnn", "off_minus_on", sign=-1, reach=2))
    for name, part in seeds:
        fooled = part["patch_fool"]["vit_minus_cnn"]["saliency"]
        checks.append(decide("patch-fool", f"{name}: Patch-Fool, fooled ViT minus CNN", fooled))
    words = "fooled ViT, cell by attention and attention drawn minus random cell"
    checks.append(over("patch-fool-attention", words, "patch_fool", "drawn_minus_random"))
    for kind in ("sparse", "linf", "l2"):
        checks.append(over("patch-fool-variants", f"Patch-Fool, {kind}, fooled ViT minus CNN", *gap, kind))
    return checks
