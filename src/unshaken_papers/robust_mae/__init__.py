"""`robust-mae`: prompts in the frequency domain, and what masked autoencoders lean on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, NonNegativeInt, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, decide, in_every_seed, pilot, seeds_in
from unshaken.papers.effects import constant, unpaired

SMALL = "small"
GAIN, LOSS = 0.10, 0.03
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


@register("robust-mae", reference="Huang et al. 2023, arXiv:2308.10315")
class RobustMaePaper(Paper):
    """Do prompts in the frequency domain make a trained network hold against attacks, and against which?

    A small network on Fashion-MNIST behind prompts that are learned for clusters of images; perturbations made without
    knowing of the prompts, with the selection taken as given, and knowing all. Beside it three small transformers,
    pretrained on pixels, on features, or not at all. With a model or data of one's own only the first part is run.
    """

    title: ClassVar[str] = (
        "Improving Adversarial Robustness of Masked Autoencoders via Test-time Frequency-domain Prompting"
    )
    claim: ClassVar[str] = (
        "Transformers pretrained to rebuild pixels lean on medium and high frequencies and are the least robust of "
        "their kind; adding, at test time, a learned prompt that occupies those frequencies, chosen by the nearest "
        "cluster prototype, raises robustness and keeps clean accuracy, without touching weights."
    )
    summary: ClassVar[str] = "A frequency-domain prompt added to images raises a trained network's robustness."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "pixels-weakest": ClaimPart(
            statement="Transformers pretrained to rebuild pixels are the least robust of their kind.",
            rule="Shown if in every seed under PGD at 1/255 the one pretrained on pixels is less accurate than the "
            "one pretrained on features, and than the one that was not pretrained (not paired); contradicted if "
            "it is more accurate.",
        ),
        "pixels-high": ClaimPart(
            statement="They lean on medium and high frequencies.",
            rule=f"Shown if in every seed, with frequencies beyond {LOW[0]} bins removed, the one pretrained on "
            "pixels loses more accuracy than the one pretrained on features (two paired differences, whose "
            "intervals must be apart); contradicted if it loses less.",
        ),
        "gain": ClaimPart(
            statement="A learned prompt on these frequencies, added at test time, raises robustness.",
            rule=f"Shown if in every seed at eps {MOST} accuracy on the undefended network's PGD perturbations rises "
            f"by more than {GAIN} ({MAIN}: 20 clusters, budget 0.1, here and in all parts); contradicted if it "
            "falls.",
        ),
        "informed-attacks": ClaimPart(
            statement="It does so against attacks that know of the prompts.",
            rule=f"Shown if in every seed at eps {MOST} accuracy under the worst of all attacks, and under AutoAttack "
            "through the prompts, is above that of the undefended network; contradicted if it is below.",
        ),
        "clean-kept": ClaimPart(
            statement="Clean accuracy is kept.",
            rule=f"Shown if in every seed it drops by less than {LOSS}; contradicted if by more.",
        ),
        "prototypes": ClaimPart(
            statement="It is the learned prompt of the nearest cluster prototype that does it.",
            rule=f"Shown if in every seed, on the undefended network's perturbations at eps {MOST}, prompts shuffled "
            "between clusters and random ones of equal size are less accurate; contradicted if they are more "
            "accurate.",
        ),
        "masked-autoencoder": ClaimPart(
            statement="It does so for masked autoencoders.",
            untried="prompts are learned for a small convolutional network; needs one pretrained to rebuild pixels.",
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "robust accuracy 'clearly' better with clean accuracy kept (abstract, no figures known); pixel "
        "pretraining 11.5 points below the others under PGD (ViT-B, ImageNet)",
        **pilot(
            "undefended.clean 0.80, undefended.white_box.0.04 0.206, k20-b0.1.clean 0.788, k20-b0.1.unaware.0.04 "
            "0.606, k20-b0.1.adaptive.0.04 0.496, k20-b0.3.clean 0.786, k20-b0.3.unaware.0.04 0.694, "
            "k20-b0.3.adaptive.0.04 0.524",
            "seed0",
        ),
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "seed*.k20-b0.1.gain.unaware.0.04": ("Gain under attacks that do not know the prompts", "accuracy"),
        "seed*.k20-b0.1.gain.worst.0.04": ("Gain under the worst of all attacks", "accuracy"),
        "seed*.confirmed.gain": ("Gain under AutoAttack, which knows the prompts", "accuracy"),
        "seed*.undefended.white_box.0.04": ("No prompts, under PGD", "accuracy"),
        "seed*.k20-b0.1.unaware.0.04": ("Prompts, under PGD made without them", "accuracy"),
        "seed*.random.unaware.0.04": ("Random prompts of equal size, under PGD made without them", "accuracy"),
        "seed*.k20-b0.1.worst.0.04": ("Prompts, worst of all attacks", "accuracy"),
        "seed*.undefended.clean": ("No prompts, clean images", "accuracy"),
        "seed*.k20-b0.1.clean": ("Prompts, clean images", "accuracy"),
        "seed*.pretraining.pixels_minus_features.pgd-1": (
            "Pretrained on pixels minus on features, PGD at 1/255",
            "accuracy",
        ),
    }
    differs: ClassVar[Sequence[str]] = (
        "Attacks are in linf at 0.04 where nothing else is said.",
        "The network behind the prompts is a small convolutional one; the published models are masked autoencoders.",
        "Features to rebuild are those of a small convolutional network that learned the classes, and may lean on high "
        "frequencies itself.",
        "Intervals are over images; every part is judged in each seed.",
        "Clusters, mask radius (an eighth of the height), optimizer and budgets are specified here, for lack of "
        "published code; the budget of 0.1 was chosen on a trial run over other images.",
    )
    data: ClassVar[str] = "fashion-mnist"
    model: ClassVar[str] = SMALL
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "selection": {"cluster": "int32", "commonest": "bool"},
        "clusters": {"images": "int64", "purity": "double"},
        "energy": {"radius": "double", "share": "double"},
        "heat": {"row": "int32", "column": "int32", "error": "double"},
        "left_out": {"reason": "string"},
    }
    """`selection`: the cluster of each image, and whether its commonest class is the image's own. `energy`: the share
    of a perturbation's energy inside each radius. `heat`: the error under noise of one frequency."""

    full: ClassVar[Mapping[str, Any]] = {
        "train": 8000, "test": 500, "confirm": 150, "queries": 2000,
        "vit_train": 4000, "vit_test": 600, "pretrain": 16, "tune": 8,
    }  # fmt: skip

    seeds: PositiveInt = Field(3, description="networks of each kind")
    train: PositiveInt = Field(4000, description="training images")
    test: PositiveInt = Field(200, description="test images")
    epochs: PositiveInt = Field(4, description="of the network's training")
    steps: PositiveInt = Field(20, description="of PGD")
    confirm: PositiveInt = Field(60, description="test images that AutoAttack and 50 steps are tried on")
    queries: PositiveInt = Field(1000, description="of Square within AutoAttack")
    comparison: str = Field("cifar10", description="data of the three transformers; empty leaves them out")
    vit_train: PositiveInt = Field(1500, description="their training images")
    vit_test: PositiveInt = Field(200, description="their test images")
    pretrain: NonNegativeInt = Field(5, description="epochs of rebuilding; 0 leaves the three transformers out")
    tune: PositiveInt = Field(4, description="epochs in which they learn the classes")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        return in_every_seed(measured, self._of_one_seed)

    def _of_one_seed(self, measured: Mapping[str, Any]) -> list[Check]:
        main, clean = measured[MAIN], measured[MAIN]["clean_minus_undefended"]
        gain, kind = main["gain"], f"at {MOST}, prompts minus none"
        checks = [
            decide("gain", f"PGD made without them {kind}", gain["unaware"][MOST], above=GAIN),
            decide("informed-attacks", f"worst of all attacks {kind}", gain["worst"][MOST]),
            decide("informed-attacks", f"AutoAttack {kind}", measured["confirmed"]["gain"]),
            decide("clean-kept", "clean images, prompts minus none", clean, above=-LOSS),
        ]
        for name in CONTROLS:
            ahead = measured[name]["main_minus_this"]["unaware"]
            checks.append(decide("prototypes", f"learned prompts minus {name} ones", ahead))
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
