"""`cross-modal-dilution`: does a plausible sentence beside a text mislead a classifier of image and text?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, decide

CHANGES = ("url", "repeat", "filler", "random", "worst", "relevant")
"""Added texts: three that mean nothing, one candidate, the worst of all, and the worst of those above the floors."""
CLASSIFIERS = ("fused", "other", "text", "image", "hardened")
"""The searched one; one of another seed, which only sees what was found; one modality alone; trained on dilutions."""
FRESH = "fresh"
"""The worst of all candidates for the hardened classifier itself."""
LEAST, TIMES = 0.1, 2
"""Relative drop that is shown, and how many times that of the filler it is."""


@register("cross-modal-dilution", reference="Verma et al. 2022, arXiv:2211.02646")
class CrossModalDilutionPaper(Paper):
    """Do relevant sentences beside a text mislead a fusion classifier, and more than meaningless ones of equal length?

    Pictures of CIFAR-10 with captions of key words; a head over frozen image features and sentence vectors. Sentences
    name how the picture looks and words of a class that it is confused with.
    """

    title: ClassVar[str] = "Robustness of Fusion-based Multimodal Classifiers to Cross-Modal Content Dilutions"
    claim: ClassVar[str] = (
        "Classifiers that fuse an image and a text lose about a quarter of their performance when the text is "
        "lengthened by a sentence that stays relevant to both and is made to mislead; content, and not length, does it."
    )
    summary: ClassVar[str] = "A relevant sentence beside the text misleads fusion classifiers; its length does not."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "drop": ClaimPart(
            statement="Dilutions that stay relevant to text and image lower macro F1.",
            rule=f"Shown if the worst candidate above both floors lowers macro F1 by more than {LEAST:.0%} of its "
            "value without a change, by the interval over samples of the mean over seeds; contradicted if macro F1 "
            "rises.",
        ),
        "content": ClaimPart(
            statement="The content misleads, and not the length.",
            rule=f"Shown if that drop is more than {TIMES} times the drop by a neutral filler of about equal length, "
            "by the interval of the difference, paired by sample; contradicted if it is below the filler's own drop.",
        ),
        "relevant": ClaimPart(
            statement="These dilutions are more relevant to the image than meaningless additions.",
            rule="Shown if the mean cosine with the image's vector is above that of a random URL, by the interval of "
            "the difference paired by sample; contradicted if it is below.",
        ),
        "brittle": ClaimPart(
            statement="What was found on one classifier misleads another one that was trained apart.",
            rule="Shown if on the other classifier, too, the drop is more than "
            f"{TIMES} times that of the filler, by the interval of the difference; contradicted as `content`.",
            central=False,
        ),
        "people": ClaimPart(
            statement="People find the dilutions relevant and coherent, and do not change their answer.",
            untried="nobody was asked; `evaluate` makes a page of twenty samples to read.",
            central=False,
        ),
        "generators": ClaimPart(
            statement="They mislead more than captions and continuations by language models, and large models of "
            "images and texts are misled, too.",
            untried="no captioner, language model or large model of images and texts is at hand; any callable fits.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "relative drop of macro F1 23.3 % (Crisis Humanitarianism) and 22.5 % (Sentiment)",
        "drop.fused.worst": "0.79 (pilot)",
        "drop.fused.random": "0.48 (pilot)",
        "drop.fused.relevant": "0.53 (pilot)",
        "drop.fused.filler": "0.023 (pilot)",
        "f1.fused": "0.830 (pilot)",
        "f1.text": "0.775 (pilot)",
        "f1.image": "0.528 (pilot)",
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "drop.fused.relevant": ("Lost by the worst candidate above the floors of relevance", "share of macro F1"),
        "drop.fused.filler": ("Lost by a neutral filler", "share of macro F1"),
        "drop.fused.random": ("Lost by one candidate", "share of macro F1"),
        "drop.fused.worst": ("Lost by the worst of all candidates", "share of macro F1"),
        "drop.other.relevant": ("The first, on a classifier that was not searched", "share of macro F1"),
        "drop.text.relevant": ("The same, text alone", "share of macro F1"),
        "drop.hardened.fresh": ("The worst of all for a classifier that learned dilutions", "share of macro F1"),
        "f1.fused": ("Macro F1 without a change", "macro F1"),
        "f1.text": ("The same, text alone", "macro F1"),
        "f1.image": ("The same, image alone", "macro F1"),
    }
    differs: ClassVar[Sequence[str]] = (
        "CIFAR-10 with captions that are made up of key words, in the place of posts; they carry all their evidence in "
        "one or two words, so that drops exceed the publication's.",
        "Dilutions are filled templates, and the worst of several is searched; the publication trains an insertion "
        "transformer.",
        "The encoder of texts is frozen; images are encoded by a small network that was trained on other images.",
        "An image's vector is that of captions of the classes, weighted by an image-only network; there is no CLIP.",
        "The floors of relevance are the medians over all candidates of the test samples, which no prediction decides.",
        "Where no candidate is above both floors the sample stays as it is, and counts as such.",
    )
    data: ClassVar[str] = "cifar10"
    model: ClassVar[str] = "minilm"
    full: ClassVar[Mapping[str, Any]] = {"images": 12_000, "samples": 5000, "test": 1000, "epochs": 8}

    seeds: int = Field(3, ge=2, description="repetitions, each with its own captions, networks and candidates")
    images: PositiveInt = Field(6000, description="images that the image network learns from")
    samples: PositiveInt = Field(2000, description="further images, with captions, that heads learn from")
    test: PositiveInt = Field(300, description="test images")
    epochs: PositiveInt = Field(6, description="epochs of the image network")
    steps: PositiveInt = Field(800, description="optimizer steps of each head")
    candidates: int = Field(10, ge=2, description="candidates of each test image")
    filler: PositiveInt = Field(18, description="words of the filler")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        drop, content = measured["drop"]["fused"], measured["content"]
        words = f"relative drop less {TIMES} times that of the filler"
        return [
            decide("drop", "relative drop of macro F1 under relevant dilutions", drop["relevant"], above=LEAST),
            self._content("content", f"{words}, searched classifier", content["fused"]),
            decide("relevant", "cosine with the image, dilution less URL", measured["more_relevant"]),
            self._content("brittle", f"{words}, other classifier", content["other"]),
        ]

    @staticmethod
    def _content(part: str, words: str, effect: Mapping[str, Any]) -> Check:
        """The drop against that of the filler: contradicted where it is below the filler's own drop."""
        check = decide(part, words, effect["beyond_filler"], opposed_below=-float("inf"))
        opposed = not check.holds and effect["less_than_filler"]["low"] > 0
        return Check(check.words, check.holds, part, opposed, check.smallest)
