"""`imagenet-mistakes`: what is left when people review every error, and what that does to accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field, NonNegativeInt, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, row

if TYPE_CHECKING:
    from unshaken.papers.datasets import Datasets

SET = "imagenet-mistakes"
"""Folder below `$UNSHAKEN_DATA` with the released files."""
RELEASED: Mapping[str, str] = {"vit3b": "vit3b_mistakes.json", "greedy_soups": "greedy_soups_mistakes.json"}
CONFUSIONS = "class_confusion_wnids.json"
PASTED, PHOTOS, REVIEWED = "pasted", "photos", "reviewed"
PLAIN = 1 / 3
"""Share of mistakes above which a large part is plainly wrong."""
NEAR = 20
"""Difference of two ImageNet labels up to which classes are close: labels are in the order of WordNet ids."""
ARTEFACT = 1 / 3
"""Share of errors above which many are the label's."""


@row(__file__)
class ImageNetMistakesPaper(Paper):
    """How many of a model's remaining errors are plainly wrong, and how far does top-1 understate it?

    The released judgements of two models, counted; pretrained networks on photos, and which errors they share; images
    with two objects of which the data names one; and the votes of people on CIFAR-10's test labels.
    """

    seeds: PositiveInt = Field(description="networks on images with two objects")
    images: PositiveInt = Field(description="training images of these, one object each")
    tested: PositiveInt = Field(description="test images, every second one with two objects")
    epochs: PositiveInt = Field(description="of their training")
    small_data: str = Field(description="SPEC of the images that objects are taken from")
    photos: NonNegativeInt = Field(description="photos for the pretrained networks; 0 leaves them out")
    photo_data: str = Field(description="SPEC of the photos")
    photo_nets: tuple[str, ...] = Field(
        min_length=2,
        description="SPECs of the pretrained networks, the largest last",
    )
    random_pairs: PositiveInt = Field(description="random pairs of classes to compare errors with")

    @override
    def needed_data(self, data: str, *, own: bool) -> list[str]:
        return [self.small_data, self.photo_data] if self.photos else [self.small_data]

    @override
    def check_data(self, datasets: Datasets, *, own: bool) -> None:
        from unshaken_papers.imagenet_mistakes.experiment import released_folder

        released_folder(datasets.spec)
        super().check_data(datasets, own=own)

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        checks = super().judge(measured)
        if "released" in measured:
            major = measured["released"]["vit3b"]["major"]
            words = "share of Major among ViT-3B's mistakes"
            checks.append(decide("plainly-wrong", words, major, above=PLAIN, opposed_below=PLAIN))
        if REVIEWED in measured:
            wrong = measured[REVIEWED]["label_wrong"]
            words = "share of reviewed disagreements in which the label is wrong"
            checks.append(decide("elsewhere", words, wrong, above=ARTEFACT, opposed_below=ARTEFACT))
        return checks

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        found = []
        if (released := measured.get("released")) is None:
            found.append(
                f"The released files are absent and were skipped: give their folder as --data, or $UNSHAKEN_DATA/{SET}."
            )
        else:
            both = released["both"]
            found.append(
                f"{both['mistakes']} images are mistakes of both models, {both['same_prediction']} with the same "
                f"prediction, of which {both['same_judgement']} are judged alike."
            )
        if REVIEWED not in measured:
            found.append("People's votes on CIFAR-10 are absent and were skipped ($UNSHAKEN_DATA/labels-cifar10).")
        return " ".join(found)
