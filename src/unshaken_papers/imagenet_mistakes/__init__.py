"""`imagenet-mistakes`: what is left when people review every error, and what that does to accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field, NonNegativeInt, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, PlusSeparated, decide, seeds_in
from unshaken.papers.effects import unpaired

SET = "imagenet-mistakes"
"""Folder below `$UNSHAKEN_DATA` with the released files."""
RELEASED: Mapping[str, str] = {"vit3b": "vit3b_mistakes.json", "greedy_soups": "greedy_soups_mistakes.json"}
CONFUSIONS = "class_confusion_wnids.json"
PASTED, PHOTOS, REVIEWED = "pasted", "photos", "reviewed"
PLAIN = 1 / 3
"""Share of mistakes above which a large part is plainly wrong."""
UNDERSTATED = 0.10
"""By how much top-1 accuracy must lie below multi-label accuracy."""
SHARED = 0.5
NEAR = 20
"""Difference of two ImageNet labels up to which classes are close: labels are in the order of WordNet ids."""
ARTEFACT = 1 / 3
"""Share of errors above which many are the label's."""


@register("imagenet-mistakes", reference="Vasudevan et al. 2022, arXiv:2205.04596")
class ImageNetMistakesPaper(Paper):
    """How many of a model's remaining errors are plainly wrong, and how far does top-1 understate it?

    The released judgements of two models, counted; pretrained networks on photos, and which errors they share; images
    with two objects of which the data names one; and the votes of people on CIFAR-10's test labels.
    """

    title: ClassVar[str] = "When does dough become a bagel? Analyzing the remaining mistakes on ImageNet"
    claim: ClassVar[str] = (
        "Nearly half of the supposed mistakes of the best ImageNet models are valid answers when people review them, "
        "and about 40 % of what is left is plainly wrong."
    )
    summary: ClassVar[str] = "Many errors are valid answers; of those left, two in five are plainly wrong."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "valid-answers": ClaimPart(
            statement="Nearly half of the supposed mistakes are valid answers.",
            untried="the mistakes before review are not released, and a review by people cannot be simulated.",
        ),
        "plainly-wrong": ClaimPart(
            statement="About 40 % of the mistakes that are left are plainly wrong to a person.",
            rule="Shown if more than a third of ViT-3B's released mistakes are of the severity Major, by the interval; "
            "contradicted if fewer.",
        ),
        "understated": ClaimPart(
            statement="Where images have several valid labels, top-1 accuracy understates a model.",
            rule="Shown if in every seed, on images half of which show two objects, multi-label accuracy exceeds "
            f"top-1 by more than {UNDERSTATED}, paired by image; contradicted if it is not above. The two labels are "
            "built in: this proves the accounting, not the claim.",
            central=False,
        ),
        "shared": ClaimPart(
            statement="Networks share their errors.",
            rule=f"Shown if more than {SHARED:.0%} of the errors of the largest pretrained network on the photos are "
            "errors of another one too, by the interval; contradicted if fewer.",
            central=False,
        ),
        "close-classes": ClaimPart(
            statement="Most remaining errors are between classes that are close in meaning.",
            rule=f"Shown if predictions of shared errors lie within {NEAR} labels of the given one more often than "
            "the classes of random pairs do, intervals apart; contradicted if less often.",
            central=False,
        ),
        "elsewhere": ClaimPart(
            statement="On another data set, too, many errors of a model are errors of the label.",
            rule="Shown if people called the label wrong in more than a third of CIFAR-10's 275 reviewed "
            "disagreements, by the interval; contradicted if in fewer.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "released": {
            "vit3b": {"mistakes": "378", "by_severity": "154 Major, 150 Minor, 74 Borderline (counted)"},
            "greedy_soups": {"mistakes": "249", "by_severity": "89 Major, 111 Minor, 49 Borderline (counted)"},
        },
        "published": "abstract: nearly half of the mistakes are none, 40 % of the others plainly wrong, the best "
        "models above 97 % multi-label accuracy; 676 mistakes before review, of which 298 were none",
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "released.vit3b.major": ("Plainly wrong, of ViT-3B's remaining mistakes", "share of mistakes"),
        "released.greedy_soups.major": ("Plainly wrong, of Greedy Soups' remaining mistakes", "share of mistakes"),
        "reviewed.label_wrong": ("Label wrong by people's votes, of CIFAR-10's disagreements", "share of mistakes"),
        "photos.shared": ("Errors of the largest network that another one shares", "share of errors"),
        "photos.close": ("Shared errors between close classes", "share of errors"),
        "photos.close_random": ("Random pairs of classes that are close", "share of errors"),
        "seed*.top1": ("Images with two objects, top-1", "accuracy"),
        "seed*.mla": ("Images with two objects, multi-label", "accuracy"),
    }
    differs: ClassVar[Sequence[str]] = (
        "No image of ImageNet's validation set is shown; the released judgements are counted.",
        "Photos are one of each class, with one label; they may be training images of the networks.",
        "Images with two objects are made of small images, side by side, of which training knows one at a time.",
        "Close classes are close in the order of WordNet ids, not by a person's or a text model's judgement.",
    )
    data: ClassVar[str] = SET
    model: ClassVar[str] = "small-cnn"
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "mistakes": {"prediction": "int64", "category": "string", "severity": "string"},
        "confusions": {"count": "int64"},
        "second_labels": {"second": "int64"},
        "classes": {"wnid": "string"},
        "random_pairs": {"first": "int64", "second": "int64"},
        "votes": {"majority": "string", "disagrees": "bool"},
    }
    full: ClassVar[Mapping[str, Any]] = {"images": 20_000, "epochs": 12, "photos": 1000}

    seeds: PositiveInt = Field(3, description="networks on images with two objects")
    images: PositiveInt = Field(10_000, description="training images of these, one object each")
    tested: PositiveInt = Field(2000, description="test images, every second one with two objects")
    epochs: PositiveInt = Field(6, description="of their training")
    small_data: str = Field("cifar10", description="SPEC of the images that objects are taken from")
    photos: NonNegativeInt = Field(500, description="photos for the pretrained networks; 0 leaves them out")
    photo_data: str = Field("imagenet-sample", description="SPEC of the photos")
    photo_nets: Annotated[tuple[str, ...], PlusSeparated] = Field(
        tuple(f"imagenet:efficientnet-lite{i}" for i in range(3)),
        min_length=2,
        description="SPECs of the pretrained networks, the largest last",
    )
    random_pairs: PositiveInt = Field(1000, description="random pairs of classes to compare errors with")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        checks = []
        if "released" in measured:
            major = measured["released"]["vit3b"]["major"]
            words = "share of Major among ViT-3B's mistakes"
            checks.append(decide("plainly-wrong", words, major, above=PLAIN, opposed_below=PLAIN))
        for name, part in seeds_in(measured):
            words = f"{name}: multi-label accuracy minus top-1"
            checks.append(decide("understated", words, part["gain"], above=UNDERSTATED))
        if "shared" in (photos := measured.get("photos", {})):
            words = "share of the largest network's errors that another network shares"
            checks.append(decide("shared", words, photos["shared"], above=SHARED, opposed_below=SHARED))
        if "close" in photos:
            words = "close classes, share among shared errors minus share among random pairs"
            checks.append(decide("close-classes", words, unpaired(photos["close"], photos["close_random"])))
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
