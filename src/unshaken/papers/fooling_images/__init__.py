"""`fooling-images`: networks are easily fooled, by ascent and by evolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, NonNegativeInt, PositiveInt

from unshaken.core.registry import register
from unshaken.papers.frame import Check, Paper

CERTAIN = 0.99
MEDIAN = 0.9
RECOVERED = 0.5
MADE = ("ascent-decay", "ascent-plain", "direct", "cppn")
"""How images are made: ascent with and without decay, evolution of pixels and of CPPNs."""
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
    summary: ClassVar[str] = "Evolution and gradient ascent make meaningless images that networks label with certainty."
    rule: ClassVar[str] = (
        "Reproduced if all hold, confidences being those of the 8-bit images in the class that they were made for: "
        "(1) evolution gives all classes but one at least a confidence of 0.99, with pixels and with CPPNs; (2) there "
        "the median over classes is at least 0.9, (3) and so is that of ascent, with and without decay; (4) CPPNs "
        "evolved against each network retrained with a reject class begin at a lower median than against the first; "
        "(5) against at least one of these the final median is 0.5 or more. How far the images fool a network trained "
        "from another seed is measured beside it; the claim does not speak of it."
    )
    expected: ClassVar[Mapping[str, Any]] = {
        "direct": {"confidence": "0.9999 for all digits (MNIST)"},
        "cppn": {"confidence": "0.9999 for all digits (MNIST)"},
        "retrained": {"2": {"confidence": "0.9999 after up to 15 rounds (MNIST, from memory)"}},
        "published": "MNIST: 99.99 % for all digits within tens to 200 generations; ImageNet (AlexNet, from memory): "
        "CPPN median 88.11 %, pixels 21.59 %, 11.7 % after one round with a reject class",
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "cppn.confidence": ("Images evolved as CPPNs, median over classes", "confidence"),
        "direct.confidence": ("Images evolved as pixels", "confidence"),
        "ascent-decay.confidence": ("Images by gradient ascent with decay", "confidence"),
        "ascent-plain.confidence": ("Images by gradient ascent without decay", "confidence"),
        "cppn.start": ("First CPPNs, before evolution", "confidence"),
        "retrained.1.confidence": ("CPPNs evolved against the first network with a reject class", "confidence"),
        "retrained.2.confidence": ("CPPNs evolved against the second network with a reject class", "confidence"),
        "transfer.cppn.second.confidence": ("CPPN images shown to a network of another seed", "confidence"),
        "control.direct.confidence": ("Pixels evolved against an adversarially trained network", "confidence"),
        "imagenet.confidence": ("Gradient ascent on an ImageNet network, three classes", "confidence"),
    }
    differs: ClassVar[Sequence[str]] = (
        "The publication has MNIST (--data mnist); Fashion-MNIST is its stand-in.",
        "Whether people recognise the images is not measured: distances from real images are proxies, in the JSON.",
        "The networks have 64,618 parameters and learn by plain cross-entropy, as LeNet did; with label smoothing "
        "0.05 CPPNs fail part (1).",
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

    train: PositiveInt = Field(20_000, description="training images, a stratified subset")
    test: PositiveInt = Field(10_000, description="test images")
    epochs: PositiveInt = Field(4, description="epochs of each network's training")
    smoothing: float = Field(0.0, ge=0, lt=1, description="of the labels in training; the publication has none")
    steps: PositiveInt = Field(300, description="of ascent")
    population: PositiveInt = Field(200, multiple_of=2, description="children a generation")
    direct_generations: PositiveInt = Field(600, description="of pixels")
    direct_enough: float | None = Field(
        None, gt=0, le=1, description="stop the evolution of pixels once every class has this confidence"
    )
    cppn_generations: PositiveInt = Field(200, description="of CPPNs")
    rounds: PositiveInt = Field(2, description="of retraining with a reject class")
    rejects: PositiveInt = Field(1000, description="images that each round adds to the reject class")
    imagenet_classes: NonNegativeInt = Field(3, description="classes of the part on ImageNet, outside the rule")
    imagenet_steps: PositiveInt = Field(200, description="of its ascents")

    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        """See `rule`; what was not run is not judged, and with a model of one's own that is (4) and (5)."""
        checks = []
        for name in ("direct", "cppn"):
            part = measured[name]
            words = f"{name}: {part['above_99']} of {part['images']} classes reach {CERTAIN}"
            checks.append(Check(words, part["above_99"] >= part["images"] - 1))
        for name in ("direct", "cppn", "ascent-decay", "ascent-plain"):
            value = measured[name]["confidence"]["value"]
            checks.append(Check(f"{name}: the median is {value:.4f} ({MEDIAN} needed)", value >= MEDIAN))
        if "retrained" not in measured:
            return checks
        start, rounds = measured["cppn"]["start"], measured["retrained"]
        for number, part in rounds.items():
            words = f"evolution against retrained network {number} begins at {part['start']:.3f}, {start:.3f} before"
            checks.append(Check(words, part["start"] < start))
        best = max(part["confidence"]["value"] for part in rounds.values())
        checks.append(Check(f"the best median against a retrained network is {best:.4f}", best >= RECOVERED))
        return checks

    def remark(self, measured: Mapping[str, Any]) -> str:
        """Which parts were left out."""
        if "retrained" not in measured:
            return "With a model of one's own only ascent and evolution are run."
        missing = "imagenet" not in measured
        return (
            "The part on ImageNet was not run: its packages are absent, or no class was asked for." if missing else ""
        )
