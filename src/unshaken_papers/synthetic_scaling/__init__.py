"""`synthetic-scaling`: a loss falls as a power of the number of images, and more slowly with generated ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, PlusSeparated, decide

REAL = "real"
OWN, COLD = 100, 50
"""Temperatures of the generator, in percent: as it learned, and with high guidance; the rule compares these two."""
POOR, POOR_IMAGES = 2, 20
"""Number of last classes that the generator hardly learns, and images of each that it is shown."""
GAIN = 0.01


def source_of(temperature: int) -> str:
    """The name of images generated at a temperature, in percent."""
    return f"generated-t{temperature}"


@register("synthetic-scaling", reference="Fan et al. 2023, arXiv:2312.04567")
class SyntheticScalingPaper(Paper):
    """Does a loss fall more slowly with more generated images than with more real ones?

    One network learns nested sets of real images and of images by Gaussians of classes, at several temperatures (the
    inverse of guidance), for a fixed number of updates; the loss on real test images is fitted by a power law.
    """

    title: ClassVar[str] = "Scaling Laws of Synthetic Images for Model Training ... for Now"
    claim: ClassVar[str] = (
        "The loss on real images falls as a power of the number of training images, with a smaller exponent for "
        "generated images than for real ones; guidance changes it, and what the generator cannot draw does not scale."
    )
    summary: ClassVar[str] = "The loss falls more slowly with more generated images than with more real ones."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "smaller-exponent": ClaimPart(
            statement="The exponent of generated images is smaller than that of real images.",
            rule="Shown if, at every temperature, the exponent of real images less that of generated ones is above 0 "
            "by its interval over seeds; contradicted if at one it is below 0.",
        ),
        "guidance": ClaimPart(
            statement="High guidance lowers the exponent.",
            rule=f"Shown if the exponent at temperature {OWN} % less that at {COLD} % is above 0 by its interval over "
            "seeds; contradicted if it is below.",
        ),
        "poor-concepts": ClaimPart(
            statement="Classes that are recognised better in generated images scale better.",
            rule="Shown if Spearman's correlation over classes, between the F1 of a network that learned real images "
            "and the exponent of the class, is above 0 by its interval over seeds; contradicted if it is below.",
        ),
        "few-real": ClaimPart(
            statement="Generated images help where real ones are scarce.",
            rule=f"Shown if adding the largest generated set to the smallest real one raises accuracy by more than "
            f"{GAIN:.0%}, by the interval over seeds; contradicted if it lowers it.",
            central=False,
        ),
        "many-real": ClaimPart(
            statement="They help less where real ones are many.",
            rule="Shown if the gain with the smallest real set exceeds that with the largest, by the interval over "
            "seeds; contradicted if it is below.",
            central=False,
        ),
        "shift": ClaimPart(
            statement="Under distribution shift generated images can scale better than real ones.",
            untried="needs a generator that has seen more than the real images show; this one has not.",
            central=False,
        ),
        "clip": ClaimPart(
            statement="For training on captions the gap is small.",
            untried="needs image and text pairs.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "ImageNet, ViT-B: exponent 0.53 for real images, 0.195 to 0.265 for generated ones"
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        f"less.{source_of(OWN)}": ("Exponent of real images less that of generated ones", "exponent"),
        f"exponent.{REAL}": ("Exponent, real images", "exponent"),
        f"exponent.{source_of(OWN)}": ("Exponent, generated images", "exponent"),
        f"exponent.{source_of(COLD)}": ("Exponent, generated with high guidance", "exponent"),
        "guidance": ("Exponent lost by high guidance", "exponent"),
        "correlation": ("Correlation of recognisability and exponent over classes", "correlation"),
        "gain.few": ("Accuracy gained by generated images, few real ones", "accuracy"),
        "gain.many": ("The same, many real ones", "accuracy"),
    }
    differs: ClassVar[Sequence[str]] = (
        "Fashion-MNIST, and a network of 19,000 parameters; sizes span a factor of 16, at the full scale of 32.",
        "The generator is a mixture of Gaussians in principal components; its temperature stands for guidance.",
        "It is fitted to further real images, which are not counted among the real images of the curves.",
        f"The last {POOR} classes are shown to it in {POOR_IMAGES} images each, to have concepts that it cannot draw.",
        "The number of updates is fixed, and losses are taken after one temperature fitted on other real images.",
    )
    data: ClassVar[str] = "fashion-mnist"
    model: ClassVar[str] = "strided-cnn"
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "recognised": {"label": "int32", "predicted": "int32"},
        "diversity": {"label": "int32", "diversity": "double"},
    }
    chooses: ClassVar[Mapping[str, str]] = {"outcomes": "*.choosing"}
    full: ClassVar[Mapping[str, Any]] = {
        "sizes": (256, 512, 1024, 2048, 4096, 8192),
        "shown": 65_536,
        "fitted": 20_000,
        "test": 8000,
        "choosing": 2000,
        "temperatures": (25, 50, 75, 100, 130),
    }

    sizes: Annotated[tuple[int, ...], PlusSeparated] = Field(
        (256, 1024, 4096), description="training images, rising", min_length=2
    )
    shown: PositiveInt = Field(32768, description="images shown in each training, over all epochs")
    batch_size: PositiveInt = Field(64, description="images of an update")
    fitted: PositiveInt = Field(10000, description="further real images that the generator is fitted to")
    components: PositiveInt = Field(40, description="principal components of a cluster")
    clusters: PositiveInt = Field(16, description="clusters of a class: the analogue of varied prompts")
    temperatures: Annotated[tuple[int, ...], PlusSeparated] = Field(
        (COLD, OWN, 130), description="of the generator, in percent; 50 and 100 are judged", min_length=2
    )
    test: PositiveInt = Field(2000, description="test images")
    choosing: PositiveInt = Field(1000, description="further test images, on which temperatures of losses are fitted")
    seeds: PositiveInt = Field(3, description="seeds of sets, generator and training")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        less = measured["less"]
        words = "exponent of real images less that of generated ones"
        return [
            *(decide("smaller-exponent", f"{words}, {name}", less[name]) for name in less),
            decide("guidance", f"exponent at temperature {OWN} % less that at {COLD} %", measured["guidance"]),
            decide("poor-concepts", "correlation of F1 and exponent over classes", measured["correlation"]),
            decide("few-real", "accuracy gained, few real images", measured["gain"]["few"], above=GAIN),
            decide("many-real", "gain with few real images less that with many", measured["gain"]["less"]),
        ]

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        return (
            f"Exponents are of {self.sizes[0]:,} to {self.sizes[-1]:,} images at {self.shown:,} images shown; those of "
            "another range or length of training do not compare with them."
        )
