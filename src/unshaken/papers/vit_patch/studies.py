"""The rules of the studies beside the claim: where the patch lies, whether it is aligned, and Patch-Fool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from unshaken.papers.frame import Check, decide
from unshaken.papers.frame.effects import across_seeds, values_of

GAP = "vit_minus_cnn"


def judge_studies(seeds: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Check]:
    """Location, alignment and Patch-Fool, the first two and the variants over the seeds."""
    of = partial(values_of, [part for _, part in seeds])
    inward, moved = of("location", "cnn_minus_vit"), -of("misaligned", GAP, "off_minus_on")
    drawn = "fooled ViT, cell by attention and attention drawn minus random cell"
    return [
        decide("location", "fooled at the centre minus elsewhere, CNN minus ViT", across_seeds(inward, low=-2, high=2)),
        decide("misaligned", "fooled ViT minus CNN, on the grid minus off it", across_seeds(moved, low=-2, high=2)),
        *(
            decide("patch-fool", f"{name}: Patch-Fool, fooled ViT minus CNN", part["patch_fool"][GAP]["saliency"])
            for name, part in seeds
        ),
        decide("patch-fool-attention", drawn, of("patch_fool", "drawn_minus_random")),
        *(
            decide("patch-fool-variants", f"Patch-Fool, {kind}, fooled ViT minus CNN", of("patch_fool", GAP, kind))
            for kind in ("sparse", "linf", "l2")
        ),
    ]
