"""`dverge`: an ensemble whose members are vulnerable to different things."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, row, seeds_in
from unshaken.papers.effects import unpaired

TINY = "tiny-cnn"
Learn = Literal["clean", "noise", "others", "own"]
COUNT = 3
ARMS: Mapping[str, Learn] = {"extra-ce": "clean", "noise-ce": "noise", "dverge": "others", "self-distilled": "own"}
"""Arm of three members to what these learn from."""
LARGER: Mapping[str, int] = {"dverge-5": 5, "dverge-8": 8}
"""Arm of DVERGE to its members, if they are more."""
CARRIED = (0.05, 0.1)
"""Radii of attacks carried over, from member to member and from surrogates."""
DIRECT = (0.03, 0.05)
"""Radii of attacks on the ensemble itself."""
WAYS = ("probabilities", "logits")
"""The output of the ensemble that is attacked: the mean of its probabilities, or of its logits."""
FALL, CLEAN = 0.1, 0.08
BLACK_BOX = "black-box-0.1"
WORDS: Mapping[str, str] = {
    "extra-ce": "extra cross-entropy",
    "noise-ce": "cross-entropy on noise",
    "self-distilled": "learning from oneself",
}


@row(__file__)
class DvergePaper(Paper):
    """Do members that learn from one another's distilled images share fewer vulnerabilities?

    Three tiny networks on Fashion-MNIST, trained on from the same baselines in four ways: cross-entropy, cross-entropy
    on noise of random signs, DVERGE, and images distilled from the member itself; and DVERGE with five and eight.
    Attacks are carried over from member to member, and from an ensemble of other baselines.
    """

    photos: PositiveInt = Field(
        description="test images, drawn for each seed, for clean accuracy and the surrogates' examples"
    )
    attacked: PositiveInt = Field(description="first ones of them, that attacks on members and ensembles start from")
    images: PositiveInt = Field(description="training images, drawn for each seed")
    baseline: PositiveInt = Field(description="epochs of each baseline")
    epochs: PositiveInt = Field(description="epochs of each arm")
    seeds: int = Field(ge=2, description="repetitions, each with images and networks of its own")
    steps: PositiveInt = Field(description="of PGD, each a fifth of the radius; 2/5 of them from member to member")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        own = [check for name, part in seeds_in(measured) for check in self._checks(name, part)]
        return [*super().judge(measured), *own]

    def _checks(self, seed: str, part: Mapping[str, Any]) -> list[Check]:
        """Checks of one seed; success rates have no paired interval."""
        rates = {arm: part[arm]["transfer-0.1"] for arm in ARMS}
        less = part["dverge_minus"]

        def fall(arm: str, name: str, above: float = 0.0) -> Check:
            d, other = (part[a]["diversity"]["between"] for a in ("dverge", arm))
            words = f"{seed}: success rate from member to member at 0.1, {WORDS[arm]} minus DVERGE, not paired"
            words += f" (diversity d {other:.2f} and {d:.2f})"
            return decide(name, words, unpaired(rates[arm], rates["dverge"]), above=above)

        def gain(arm: str, name: str, label: str, above: float = 0.0) -> Check:
            what = {"clean": "clean accuracy", BLACK_BOX: "accuracy on the surrogates' examples at 0.1"}[label]
            return decide(name, f"{seed}: {what}, DVERGE minus {WORDS[arm]}", less[arm][label], above=above)

        return [
            fall("extra-ce", "diversity", FALL),
            gain("extra-ce", "clean-cost", "clean", -CLEAN),
            fall("noise-ce", "beyond-noise"),
            gain("noise-ce", "beyond-noise", BLACK_BOX),
            gain("noise-ce", "beyond-noise", "clean"),
        ]

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        means = {
            members: [measured["over_seeds"][arm][name]["value"] for name in (BLACK_BOX, "white-box-0.05")]
            for arm, members in {"dverge": COUNT, **LARGER}.items()
        }
        counts = "; ".join(f"{n} members {passed:.3f}, {direct:.3f}" for n, (passed, direct) in means.items())
        return f"Mean accuracy of DVERGE under transferred attacks at 0.1, and attacked itself at 0.05: {counts}."
