"""`filter-db`: trained 3 x 3 filters look alike whatever they were trained on, and unlike random ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, row

WIDTHS, STRIDES = (12, 24, 24, 48, 48), (2, 1, 2, 1, 1)
"""The five convolutions of all networks: 36 to 2,304 filters of 3 x 3 for images in colour."""
TRAINED = ("standard", "robust", "other")
"""Networks of each seed: by cross-entropy, by adversarial training, and by cross-entropy on other data."""
RANDOM = "random"
CORRUPTIONS = ("gaussian_noise", "defocus_blur", "contrast", "jpeg_compression")
SEVERITY = 3
TWICE, ABOUT, NEAR = 2.0, 0.05, 0.02


@row(__file__)
class FilterDBPaper(Paper):
    """Do filters of networks that were trained on other data differ less than trained filters from random ones?

    Networks of five convolutions on two data sets, with and without adversarial training, and without any; and a
    network of four times the width that is trained for long on few images.
    """

    seeds: int = Field(ge=2, description="networks of each kind")
    images: PositiveInt = Field(description="training images of each data set")
    epochs: PositiveInt = Field(description="epochs of training")
    other: str = Field(description="SPEC of the other data set")
    few: PositiveInt = Field(description="training images of the wide network")
    short: PositiveInt = Field(description="epochs of the base network on few images")
    longer: PositiveInt = Field(description="how many times longer the wide network is trained")
    wider: PositiveInt = Field(description="how many times wider it is")
    decay: PositiveFloat = Field(description="its weight decay")
    tested: PositiveInt = Field(description="test images")

    @override
    def needed_data(self, data: str, *, own: bool) -> list[str]:
        return [data, self.other]

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        entropy, robust = measured["entropy"], measured["robust"]
        ratio = "drift from random to trained networks over the largest drift between data sets"
        about = f"{ABOUT} minus the distance of random entropy from its threshold"
        sparse = "near-zero filters of the last two layers, standard minus robust"
        return [
            *super().judge(measured),
            decide("data", ratio, measured["ratio"], above=TWICE, opposed_below=1.0),
            decide("random", about, entropy["about"], opposed_below=-1.0),
            decide("random", "1 minus entropy over its threshold, standard networks", entropy["below"]),
            decide("robust", "entropy of the last two layers, robust minus standard", robust["entropy"]),
            decide("robust", sparse, robust["less_sparse"], above=-NEAR, opposed_below=-1.0),
        ]
