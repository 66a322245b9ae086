"""`fooling-images`: networks are easily fooled, by ascent and by evolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field, NonNegativeInt, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, decide, in_every_seed, seeds_in

CERTAIN = 0.99
MEDIAN = 0.9
RECOVERED = 0.5
IMAGENET = "imagenet"
MADE = ("ascent-decay", "ascent-plain", "direct", "cppn")
"""How images are made: ascent with and without decay, evolution of pixels and of CPPNs."""
EVOLVED = (
    f"Shown if in every seed all classes but one at least reach a confidence of {CERTAIN}, and the median over "
    f"classes is above {MEDIAN}; contradicted if the median is below {RECOVERED}. Confidences are those of the 8-bit "
    "images."
)
CONTROL = ("ascent-plain", "direct")
"""Those that are also made for an adversarially trained network."""


@register("fooling-images", reference="Nguyen, Yosinski & Clune 2015, arXiv:1412.1897")
class FoolingImagesPaper(Paper):
    """Are images that mean nothing labelled with near-certainty, and does a class of their own mend that?

    Small networks on Fashion-MNIST; the publication's MNIST is `--data mnist`. With a model of one's own only ascent
    and evolution are run on it.
    """

    title: ClassVar[str] = (
        "Deep Neural Networks are Easily Fooled: High Confidence Predictions for Unrecognizable Images"
    )
    claim: ClassVar[str] = (
        "Evolution (of pixels or of CPPNs, MAP-Elites over classes) or gradient ascent makes images without meaning to "
        "people that networks label with near-certainty as any chosen class; learning such images as a class of their "
        "own does not end it."
    )
    summary: ClassVar[str] = (
        "Evolution and gradient ascent make images that networks label with certainty as any class."
    )
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "pixels": ClaimPart(
            statement="Evolution of pixels makes images that are labelled with near-certainty as any chosen class.",
            rule=EVOLVED,
        ),
        "cppn": ClaimPart(
            statement="So does evolution of CPPNs, networks that draw patterns.",
            rule=EVOLVED,
        ),
        "ascent": ClaimPart(
            statement="So does gradient ascent.",
            rule=f"Shown if in every seed the median confidence over classes is above {MEDIAN}, with decay and "
            f"without; contradicted if one is below {RECOVERED}.",
        ),
        "unrecognizable": ClaimPart(
            statement="People see nothing of the class in these images.",
            untried="nobody was asked; distances from real images, in the JSON, are no measure of it.",
        ),
        "reject-class": ClaimPart(
            statement="Learning such images as a class of their own does not end it.",
            rule="Shown if in every seed each network that is retrained with a reject class rejects more than half of "
            f"the images it learned, and the median confidence of CPPNs evolved against it is above {RECOVERED}; "
            "contradicted if one of them is below.",
        ),
        "other-networks": ClaimPart(
            statement="Images evolved against one network fool others as well.",
            rule="Shown if each time a network of another seed gives more than half of the images, of pixels and of "
            "CPPNs, the class that they were made for; contradicted if less than half.",
            central=False,
        ),
        "imagenet": ClaimPart(
            statement="Networks that know ImageNet are fooled as well.",
            rule=f"Shown if in every seed the median confidence of gradient ascent over classes is above {MEDIAN}; "
            f"contradicted if below {RECOVERED}. Evolution is not run there.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "seed0": {
            "direct": {"confidence": "0.9999 for all digits (MNIST)"},
            "cppn": {"confidence": "0.9999 for all digits (MNIST)"},
            "retrained": {"2": {"confidence": "0.9999 after up to 15 rounds (MNIST, from memory)"}},
        },
        "published": "MNIST: 99.99 % for all digits within tens to 200 generations; ImageNet (AlexNet, from memory): "
        "CPPN median 88.11 %, pixels 21.59 %, 11.7 % after one round with a reject class",
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "seed*.cppn.confidence": ("Images evolved as CPPNs, median over classes", "confidence"),
        "seed*.direct.confidence": ("Images evolved as pixels", "confidence"),
        "seed*.ascent-decay.confidence": ("Images by gradient ascent with decay", "confidence"),
        "seed*.ascent-plain.confidence": ("Images by gradient ascent without decay", "confidence"),
        "seed*.cppn.start": ("First CPPNs, before evolution", "confidence"),
        "seed*.retrained.1.confidence": ("CPPNs evolved against the first network with a reject class", "confidence"),
        "seed*.retrained.2.confidence": ("CPPNs evolved against the second network with a reject class", "confidence"),
        "seed*.transfer.cppn.second.confidence": ("CPPN images shown to a network of another seed", "confidence"),
        "seed*.control.direct.confidence": ("Pixels evolved against an adversarially trained network", "confidence"),
        "seed*.imagenet.confidence": ("Gradient ascent on an ImageNet network", "confidence"),
    }
    differs: ClassVar[Sequence[str]] = (
        "The publication has MNIST (--data mnist); Fashion-MNIST is its stand-in.",
        "Whether people recognise the images is not measured: distances from real images are proxies, in the JSON.",
        "The networks have 64,618 parameters and learn by plain cross-entropy, as LeNet did, without the label "
        "smoothing that is usual here: it lowers all confidences.",
        "Intervals are over classes or images; every part is judged in each seed.",
        "Two rounds of retraining with a reject class; the publication has up to 15.",
    )
    data: ClassVar[str] = "fashion-mnist"
    model: ClassVar[str] = "small"
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "images": {
            **dict.fromkeys(("made_for", "shown_to"), "string"),
            **dict.fromkeys(("target", "prediction", "found", "certain", "forwards", "backwards"), "int64"),
            **dict.fromkeys(
                ("confidence", "log_odds", "tempered", "variation", "nearest", "nearest_features"), "double"
            ),
            "seconds": "double",
        },
        "history": {
            **dict.fromkeys(("generation", "above_99", "jumps", "evaluations"), "int64"),
            **dict.fromkeys(("low", "median", "high"), "double"),
        },
        "used": {"data": "string", "images": "int64", "classes": "int64"},
    }
    """`images`: one row an image and a network that it is shown to. `confidence` and `log_odds` are those of `target`,
    `tempered` is the confidence at the temperature that suits the network's clean images, `found` the generation or
    step of the image, `certain` the first with a confidence of 0.9999 (-1 for never; ascent only), `variation` the mean
    step from a pixel to the next, `nearest` the L2 distance to the nearest training image, `nearest_features` the same
    between mean activations of the last layer before the head. `history`: one row a generation, over its cells."""

    full: ClassVar[Mapping[str, Any]] = {
        "train": 20_000,
        "test": 10_000,
        "steps": 300,
        "population": 200,
        "direct_generations": 600,
        "cppn_generations": 200,
        "rejects": 1000,
        "imagenet_steps": 200,
    }

    seeds: PositiveInt = Field(3, description="runs of the whole experiment, with networks of their own")
    train: PositiveInt = Field(8_000, description="training images, a stratified subset")
    test: PositiveInt = Field(3_000, description="test images")
    epochs: PositiveInt = Field(4, description="epochs of each network's training")
    smoothing: float = Field(0.0, ge=0, lt=1, description="of the labels in training; the publication has none")
    steps: PositiveInt = Field(200, description="of ascent")
    population: PositiveInt = Field(100, multiple_of=2, description="children a generation")
    direct_generations: PositiveInt = Field(300, description="of pixels")
    direct_enough: float | None = Field(
        None, gt=0, le=1, description="stop the evolution of pixels once every class has this confidence"
    )
    cppn_generations: PositiveInt = Field(120, description="of CPPNs")
    rounds: PositiveInt = Field(2, description="of retraining with a reject class")
    rejects: PositiveInt = Field(500, description="images that each round adds to the reject class")
    imagenet_classes: NonNegativeInt = Field(
        6, description="classes of the part on ImageNet; a median's interval takes six at least"
    )
    imagenet_steps: PositiveInt = Field(100, description="of its ascents")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        return in_every_seed(measured, self._of_one_seed)

    def _of_one_seed(self, measured: Mapping[str, Any]) -> list[Check]:
        checks = []
        for made, name in (("direct", "pixels"), ("cppn", "cppn")):
            part = measured[made]
            words = f"{part['above_99']} of {part['images']} classes reach {CERTAIN}"
            checks.append(Check(words, part["above_99"] >= part["images"] - 1, name))
        parts = {
            "direct": "pixels",
            "cppn": "cppn",
            "ascent-decay": "ascent",
            "ascent-plain": "ascent",
            IMAGENET: IMAGENET,
        }
        for made, name in parts.items():
            if made in measured:
                found = measured[made]["confidence"]
                checks.append(decide(name, f"{made}, median confidence", found, above=MEDIAN, opposed_below=RECOVERED))
        if "retrained" not in measured:
            return without_power(checks)
        for number in range(1, self.rounds + 1):
            part, net = measured["retrained"][str(number)], f"retrained network {number}"
            words = f"{net}: share of the images it learned to reject that it rejects"
            checks.append(decide("reject-class", words, part["pool_rejected"], above=0.5))
            words = f"{net}: median confidence of CPPNs evolved against it"
            found = part["confidence"]
            checks.append(decide("reject-class", words, found, above=RECOVERED, opposed_below=RECOVERED))
        for made in ("direct", "cppn"):
            words, found = f"{made}: share that fools both networks", measured["transfer"][made]["second"]["fool_both"]
            checks.append(decide("other-networks", words, found, above=0.5, opposed_below=0.5))
        return without_power(checks)

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        seeds = [part for _, part in seeds_in(measured)]
        if not all("retrained" in part for part in seeds):
            return "With a model of one's own only ascent and evolution are run."
        missing = not all("imagenet" in part for part in seeds)
        return (
            "The part on ImageNet was not run: its packages are absent, or no class was asked for." if missing else ""
        )


def without_power(checks: Sequence[Check]) -> list[Check]:
    """Checks of confidences and shares near 1, whose intervals say nothing of the smallest effect."""
    return [replace(check, smallest=None) for check in checks]
