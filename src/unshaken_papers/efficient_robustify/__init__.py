"""`efficient-robustify`: a small robust teacher, and three heads on a large model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, row

"""Those that are tuned."""
ARMS = ("three", "plain")
"""Three heads with a teacher, and without (partial fine-tuning)."""
CHANGES: Mapping[str, tuple[float, ...]] = {
    "noise": (0.04, 0.08, 0.12),
    "blur": (1, 2, 3),
    "contrast": (0.6, 0.4, 0.25),
}
"""Kind to three strengths: deviation; times that a binomial filter of 5 x 5 is passed; share of the contrast left."""
CONDITIONS = ("clean-0", *(f"{kind}-{s:g}" for kind, strengths in CHANGES.items() for s in strengths))
SMALL_PART = 0.15
"""Share of the parameters that a small tunable part has at most."""


@row(__file__)
class EfficientRobustifyPaper(Paper):
    """Does a small robust teacher make a large model robust through a few tuned layers, its old abilities kept?

    Five convolutional blocks on CIFAR-10, of which copies of the last two learn; a teacher of half the width. For a
    model of one's own there is the recipe `three-heads`.
    """

    seeds: PositiveInt = Field(description="networks of each kind")
    train: PositiveInt = Field(description="images of the large network and of its tuning")
    teacher_train: PositiveInt = Field(description="images of the teacher, the former among them")
    test: PositiveInt = Field(description="test images")
    epochs: PositiveInt = Field(description="epochs of the large network")
    teacher_epochs: PositiveInt = Field(description="epochs of the teacher")
    tuning_epochs: PositiveInt = Field(description="epochs of tuning, of two views each")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        return [
            *super().judge(measured),
            *self._routed(measured["three"]["routing"]),
            *self._afforded(measured["cost"]),
        ]

    def _routed(self, sent: Mapping[str, float]) -> list[Check]:
        """Shares of images; as wide as if all seeds agreed on each of them."""
        from unshaken.measure import share  # torch is not needed to list a paper

        ways = {
            "clean images sent to the clean head": sent["clean_to_clean"],
            "corrupted images sent to the other": 1 - sent["changed_to_clean"],
        }
        found = {words: share(round(part * self.test), self.test).to_json() for words, part in ways.items()}
        return [decide("routing", words, part, above=0.5, opposed_below=0.5) for words, part in found.items()]

    def _afforded(self, cost: Mapping[str, Any]) -> list[Check]:
        found, tuned, seconds = cost["original_recovered"], cost["tunable_share"], cost["seconds"]
        ours, full = seconds["three"] + seconds["teacher"], seconds["full"]
        words = f"{tuned:.0%} of the model's parameters are tuned, {SMALL_PART:.0%} wanted; once timed, tuning and "
        words += f"teacher took {ours:.0f} s, full fine-tuning {full:.0f} s"
        held = tuned <= SMALL_PART and ours < full / 2
        return [
            Check(
                f"the original is {'' if found else 'not '}found again to the bit", found, "abilities-kept", not found
            ),
            Check(words, held, "cost", opposed=tuned > 1),
        ]

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        sent = measured["three"]["routing"]
        return (
            f"Routing sends {sent['clean_to_clean']:.0%} of clean and {sent['changed_to_clean']:.0%} of changed images "
            "to the clean head: the combined head learns from changed images too, and mostly lies nearer to the "
            "robust one."
        )
