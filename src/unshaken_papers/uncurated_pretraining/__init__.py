"""`uncurated-pretraining`: are features learned from unfiltered images without labels more robust and fairer?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, decide

UNCURATED, CURATED, SUPERVISED, RANDOM = "uncurated", "curated", "supervised", "random"
ARMS = (UNCURATED, CURATED, SUPERVISED, RANDOM)
SEVERITY = 3
GROUPS = ("plain", "dark", "blue", "coarse")
"""Renderings of the same images that stand in for groups of people or places."""
GAIN, LOSS = 0.05, 0.02


@register("uncurated-pretraining", reference="Goyal et al. 2022, arXiv:2202.08360")
class UncuratedPretrainingPaper(Paper):
    """Does pretraining on unfiltered images without labels give features that hold better under shift, and are fairer?

    One small network learns by SwAV from a pool of three sources, by SwAV from images of five classes, or by the labels
    of these; or not at all. Frozen features are probed on classes, domains, corruptions and groups that no arm has
    seen.
    """

    title: ClassVar[str] = (
        "Vision Models Are More Robust And Fair When Pretrained On Uncurated Images Without Supervision"
    )
    claim: ClassVar[str] = (
        "Discriminative self-supervised pretraining on random, unfiltered images gives features that are more robust "
        "to shift and fairer than supervised pretraining, or pretraining on curated images alone."
    )
    summary: ClassVar[str] = "Pretraining on unfiltered images without labels gives robust, fair features."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "robust": ClaimPart(
            statement="Features from uncurated images without labels are more robust than supervised ones.",
            rule="Relative accuracy is that of a probe on changed images over that on clean ones: the mean of that "
            "over unseen domains and of that over 15 corruptions at severity 3. Shown if it exceeds that of the "
            "supervised arm by the interval over the seeds, and mean clean accuracy that of random weights by more "
            f"than {GAIN}; contradicted if either is lower.",
        ),
        "diversity": ClaimPart(
            statement="They are more robust than those of the same method on curated images.",
            rule="Shown if relative accuracy exceeds that of SwAV on the curated images by the interval over the "
            "seeds; contradicted if it is lower.",
        ),
        "fair": ClaimPart(
            statement="They serve groups more equally than supervised ones.",
            rule="Groups are renderings of the same images (plain, dark, blue, coarse). Shown if the gap between the "
            "best and the worst group is smaller than that of the supervised arm by the interval over the seeds, and "
            f"accuracy of the worst group not lower by {LOSS}; contradicted if the gap is larger, or the worst group "
            "lower by more.",
        ),
        "copies": ClaimPart(
            statement="They are better at finding the original of an edited copy.",
            rule="Shown if mean average precision over crops, JPEG and blur exceeds that of the supervised arm by the "
            "interval over the seeds; contradicted if it is lower.",
            central=False,
        ),
        "people": ClaimPart(
            statement="They associate harmful labels less with groups of people, and serve all regions and incomes.",
            untried="needs Casual Conversations, UTK-Faces and Dollar Street; the measures are there.",
            central=False,
        ),
        "scale": ClaimPart(
            statement="It comes with a billion images and ten billion weights.",
            untried="this experiment shows the mechanism, unlabelled diversity and augmentation, at best.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "RG-128Gf: linear ImageNet 75.96 (SwAV on ImageNet 78.36, supervised 80.57), CopyDays mAP 86.5; "
        "shift and fairness as pictures without figures",
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "over.supervised.relative": ("Relative accuracy under shift, uncurated minus supervised", "share"),
        "over.curated.relative": ("Relative accuracy under shift, uncurated minus curated SwAV", "share"),
        "over.random.clean": ("Clean accuracy, uncurated minus random weights", "accuracy"),
        "fairer.gap": ("Gap between groups, supervised minus uncurated", "accuracy"),
        "uncurated.clean": ("Clean accuracy, uncurated", "accuracy"),
        "supervised.clean": ("Clean accuracy, supervised", "accuracy"),
        "uncurated.relative": ("Relative accuracy under shift, uncurated", "share"),
        "supervised.relative": ("Relative accuracy under shift, supervised", "share"),
        "uncurated.copies": ("Copies found, uncurated", "mAP"),
        "supervised.copies": ("Copies found, supervised", "mAP"),
    }
    differs: ClassVar[Sequence[str]] = (
        "A network of 93,000 weights on images of 32 pixels, a few epochs, two large and two small crops.",
        "The pool has equal parts of CIFAR-10 (the five curated classes), Fashion-MNIST, and crops of a thousand "
        "photos; the published one has a billion images of Instagram.",
        "Groups are renderings of the same images, not people; frozen features are probed, and nothing is fine-tuned.",
        "Fashion-MNIST is in the pool: what is measured on it (`seen`) judges nothing.",
    )
    data: ClassVar[str] = "cifar10"
    model: ClassVar[str] = "strided-mean"
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "answers": {"correct": "bool"},
        "copies": {"precision": "double"},
    }
    full: ClassVar[Mapping[str, Any]] = {"images": 24_000, "epochs": 6, "test": 2000}

    images: PositiveInt = Field(7500, description="images of the pool, in equal parts of its sources")
    epochs: PositiveInt = Field(4, description="passes over the pool; the other arms take as many steps")
    batch: PositiveInt = Field(256, description="images of a step")
    prototypes: int = Field(64, ge=2, description="number of clusters of SwAV")
    sources: str = Field(
        "fashion-mnist?split=train|imagenet-sample?size=96",
        description="sources of the pool beside the row's data, separated by |; the first has labels to probe",
    )
    transfer: str = Field("pacs-mini", description="data of several domains")
    domains: str = Field(
        "photo|art_painting|cartoon|sketch", description="domains of it; probes are fitted on the first half of them"
    )
    probe: PositiveInt = Field(1000, description="images that a probe is fitted on")
    test: PositiveInt = Field(500, description="test images of the classes that no arm has learned")
    copied: PositiveInt = Field(200, description="images that copies are made of")
    seeds: int = Field(3, description="networks of each kind", ge=2)

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        over, fairer, words = measured["over"], measured["fairer"], "relative accuracy, uncurated minus"
        return [
            decide("robust", f"{words} supervised", over[SUPERVISED]["relative"]),
            decide("robust", "clean accuracy, uncurated minus random weights", over[RANDOM]["clean"], above=GAIN),
            decide("diversity", f"{words} curated", over[CURATED]["relative"]),
            decide("fair", "gap between groups, supervised minus uncurated", fairer["gap"]),
            decide("fair", "worst group, uncurated minus supervised", fairer["worst"], above=-LOSS),
            decide("copies", "mAP of copies, uncurated minus supervised", over[SUPERVISED]["copies"]),
        ]

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        clean = {arm: measured[arm]["clean"]["value"] for arm in ARMS}
        return (
            "Relative accuracy is high for weak features, too, which have little to lose: clean accuracy is "
            + ", ".join(f"{value:.3f} ({arm})" for arm, value in clean.items())
            + "."
        )
