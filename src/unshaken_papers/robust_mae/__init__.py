"""`robust-mae`: prompts in the frequency domain, and what masked autoencoders lean on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, NonNegativeInt, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, in_every_seed, row, seeds_in
from unshaken.papers.effects import constant, unpaired

SMALL = "small"
EPS = (0.01, 0.02, 0.04)
BUDGETS = tuple(f"{e:g}" for e in EPS)
MOST = BUDGETS[-1]
MAIN = "k20-b0.1"
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    MAIN: {"clusters": 20, "budget": 0.1},
    "k20-b0.3": {"clusters": 20, "budget": 0.3},
    "k50-b0.1": {"clusters": 50, "budget": 0.1},
    "k1-b0.1": {"clusters": 1, "budget": 0.1},
    "replace-k20-b0.1": {"clusters": 20, "budget": 0.1, "form": "replace"},
}
"""Name to options of `FrequencyPrompt`."""
CONTROLS = ("shuffled", "random")
RADII = (1 / 8, 1 / 4, 1 / 2)
"""Of the height: an eighth is where prompts begin."""
ARMS = ("pixels", "features", "none")
"""What transformers are pretrained on."""
STEPS = ("0.5", "1", "2")
"""Radii of the attacks on these, in steps of 8-bit pixels."""
LOW = (4, 8, 12)


@row(__file__)
class RobustMaePaper(Paper):
    """Do prompts in the frequency domain make a trained network hold against attacks, and against which?

    A small network on Fashion-MNIST behind prompts that are learned for clusters of images; perturbations made without
    knowing of the prompts, with the selection taken as given, and knowing all. Beside it three small transformers,
    pretrained on pixels, on features, or not at all. With a model or data of one's own only the first part is run.
    """

    seeds: PositiveInt = Field(description="networks of each kind")
    train: PositiveInt = Field(description="training images")
    test: PositiveInt = Field(description="test images")
    epochs: PositiveInt = Field(description="of the network's training")
    steps: PositiveInt = Field(description="of PGD")
    confirm: PositiveInt = Field(description="test images that AutoAttack and 50 steps are tried on")
    queries: PositiveInt = Field(description="of Square within AutoAttack")
    comparison: str = Field(description="data of the three transformers; empty leaves them out")
    vit_train: PositiveInt = Field(description="their training images")
    vit_test: PositiveInt = Field(description="their test images")
    pretrain: NonNegativeInt = Field(description="epochs of rebuilding; 0 leaves the three transformers out")
    tune: PositiveInt = Field(description="epochs in which they learn the classes")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        return [*super().judge(measured), *in_every_seed(measured, self._of_one_seed)]

    def _of_one_seed(self, measured: Mapping[str, Any]) -> list[Check]:
        gain, kind = measured[MAIN]["gain"], f"at {MOST}, prompts minus none"
        checks = [
            decide("informed-attacks", f"worst of all attacks {kind}", gain["worst"][MOST]),
            decide("informed-attacks", f"AutoAttack {kind}", measured["confirmed"]["gain"]),
        ]
        part = measured.get("pretraining")
        return checks if part is None or "absent" in part else checks + self._pretrained(part)

    def _pretrained(self, part: Mapping[str, Any]) -> list[Check]:
        """The comparison of the three transformers."""
        gap = part["pixels_minus_features"]
        bare = unpaired(part["none"]["pgd-1"], part["pixels"]["pgd-1"])
        lost = unpaired(gap["clean"], gap[f"low-{LOW[0]}"])
        words = f"fall from clean images to those of {LOW[0]} bins, pixels minus features, not paired"
        return [
            decide("pixels-weakest", "PGD at 1/255, features minus pixels", unpaired(constant(0.0), gap["pgd-1"])),
            decide("pixels-weakest", "PGD at 1/255, not pretrained minus pixels, not paired", bare),
            decide("pixels-high", words, lost),
        ]

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        seeds = [part for _, part in seeds_in(measured)]
        shares = ", ".join(f"{self._of_any_pattern(part):.0%}" for part in seeds)
        return (
            f"{shares} of the gain against attacks that do not know the prompts is that of any fine pattern, such as "
            "random prompts, which spoils perturbations that were made without it. "
            f"{self._compared(seeds[0].get('pretraining'))}"
        )

    def _of_any_pattern(self, measured: Mapping[str, Any]) -> float:
        """The unaware gain of random prompts over that of the fitted ones."""
        bare = measured["undefended"]["white_box"][MOST]["value"]
        random, main = (measured[name]["unaware"][MOST]["value"] - bare for name in ("random", MAIN))
        return float(random / main) if main else 0.0

    def _compared(self, part: Mapping[str, Any] | None) -> str:
        if part is None:
            return "The three pretrainings were not compared."
        if "absent" in part:
            return f"The three pretrainings were not compared: {part['absent']}."
        gap = part["pixels_minus_features"]["pgd-1"]
        words = "a difference beyond chance" if settled(gap) else "inconclusive at this size"
        return (
            f"Pretrainings, small transformers under PGD at 1/255: pixels {part['pixels']['pgd-1']['value']:.3f}, "
            f"features {part['features']['pgd-1']['value']:.3f}, none {part['none']['pgd-1']['value']:.3f}; pixels "
            f"minus features {gap['value']:+.3f} ({gap['low']:+.3f} to {gap['high']:+.3f}): {words}."
        )


def settled(figure: Mapping[str, Any]) -> bool:
    """Whether a difference's interval leaves out nought."""
    return bool(figure["low"] > 0 or figure["high"] < 0)
