"""`uncurated-pretraining`: are features learned from unfiltered images without labels more robust and fairer?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.papers import Paper, row

UNCURATED, CURATED, SUPERVISED, RANDOM = "uncurated", "curated", "supervised", "random"
ARMS = (UNCURATED, CURATED, SUPERVISED, RANDOM)
SEVERITY = 3
GROUPS = ("plain", "dark", "blue", "coarse")
"""Renderings of the same images that stand in for groups of people or places."""


@row(__file__)
class UncuratedPretrainingPaper(Paper):
    """Does pretraining on unfiltered images without labels give features that hold better under shift, and are fairer?

    One small network learns by SwAV from a pool of three sources, by SwAV from images of five classes, or by the labels
    of these; or not at all. Frozen features are probed on classes, domains, corruptions and groups that no arm has
    seen.
    """

    images: PositiveInt = Field(description="images of the pool, in equal parts of its sources")
    epochs: PositiveInt = Field(description="passes over the pool; the other arms take as many steps")
    batch: PositiveInt = Field(description="images of a step")
    prototypes: int = Field(ge=2, description="number of clusters of SwAV")
    sources: str = Field(
        description="sources of the pool beside the row's data, separated by |; the first has labels to probe",
    )
    transfer: str = Field(description="data of several domains")
    domains: str = Field(description="domains of it; probes are fitted on the first half of them")
    probe: PositiveInt = Field(description="images that a probe is fitted on")
    test: PositiveInt = Field(description="test images of the classes that no arm has learned")
    copied: PositiveInt = Field(description="images that copies are made of")
    seeds: int = Field(description="networks of each kind", ge=2)

    @override
    def needed_data(self, data: str, *, own: bool) -> list[str]:
        return [data, self.transfer, *self.sources.split("|")]

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        clean = {arm: measured[arm]["clean"]["value"] for arm in ARMS}
        return (
            "Relative accuracy is high for weak features, too, which have little to lose: clean accuracy is "
            + ", ".join(f"{value:.3f} ({arm})" for arm, value in clean.items())
            + "."
        )
