"""`natra`: does training on the worst natural edits of images carry over to natural shifts that nobody edited?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, decide

ARMS: Mapping[str, str] = {
    "standard": "",
    "rebuilt": "natra-training:edit=rebuilt",
    "random": "natra-training:edit=random",
    "worst": "natra-training:edit=worst",
}
"""Name of a training to its recipe; the last is NaTra's."""
STANDARD, REBUILT, RANDOM, WORST = ARMS
SHIFTS: Mapping[str, str] = {
    "rotation": "slant",
    "shear": "slant",
    "scale": "extent",
    "thickening": "area",
    "noise": "sharpness",
    "dark": "brightness",
    "bright": "brightness",
    "low-contrast": "contrast",
}
"""Shifts of test images, and the statistic of an image that each moves."""
STATISTICS = ("brightness", "contrast", "area", "sharpness", "extent", "slant")
STAGES = ("start", "shift", "codes", "offset")
ALIKE = 0.7
"""Correlation of an edited direction with a statistic above which shifts of the statistic are not counted."""
COST = 0.02
"""Accuracy on clean images that may be lost."""


@register("natra", reference="Jiang et al. 2021, arXiv:2105.04070")
class NaTraPaper(Paper):
    """Does a classifier that learned the worst edits along a generator's directions withstand shifts it never saw?

    A small VAE of the training images; directions in closed form, those that change the class by a reference network
    left out; networks trained on images alone, on rebuilt ones, on random edits and on the worst of several.
    """

    title: ClassVar[str] = "NaTra: Robust Training Using Natural Transformation"
    claim: ClassVar[str] = (
        "Moving training images along a generator's class-independent attributes, so that they hurt the classifier "
        "most, and learning from the results improves generalisation and robustness to real-world distortions."
    )
    summary: ClassVar[str] = "Learning the worst natural edits carries over to natural shifts that were not edited."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "shifts": ClaimPart(
            statement="Accuracy under natural shifts that were not edited rises.",
            rule=f"Shifts whose statistic correlates above {ALIKE} with a direction that is edited in any seed are not "
            "counted. Shown if the mean accuracy under those left is higher with worst edits than with images alone, "
            "by the interval over seeds; contradicted if it is lower; not visible if no shift is left.",
        ),
        "adversarial": ClaimPart(
            statement="Edits that hurt the classifier most gain more than random ones.",
            rule="Shown if the mean accuracy under the counted shifts is higher with worst edits than with random "
            "ones, by the interval over seeds; contradicted if it is lower. Without this, what is gained is an effect "
            "of augmentation, not of the search.",
        ),
        "clean": ClaimPart(
            statement="Accuracy on clean images is kept.",
            rule=f"Shown if worst edits cost less than {COST:.0%} of accuracy on clean images, by the interval over "
            "seeds; contradicted if they cost more.",
        ),
        "edits": ClaimPart(
            statement="Accuracy under the worst edit itself rises.",
            rule="Shown if the accuracy under the attack natra is higher with worst edits than with images alone, by "
            "the interval over seeds; contradicted if it is lower.",
        ),
        "rebuilt": ClaimPart(
            statement="The gain is not one of the generator's blur.",
            rule="Shown if the mean accuracy under the counted shifts is higher with worst edits than with rebuilt "
            "images, by the interval over seeds; contradicted if it is lower.",
            central=False,
        ),
        "inversion": ClaimPart(
            statement="A shift of the batch, codes and an offset of features each bring reconstructions nearer.",
            rule="Shown if the error falls from the mean code to the shift, to the codes and to the offset, paired by "
            "image; contradicted if it rises at one of them.",
            central=False,
        ),
        "faces": ClaimPart(
            statement="So it is for attributes of faces, such as hair and lighting, with StyleGAN.",
            untried="needs a generator of faces and their attributes; such a generator goes in by py:FILE:FACTORY.",
            central=False,
        ),
        "diffusion": ClaimPart(
            statement="Other generators serve as well.",
            untried="a diffusion model goes through the same interface (natra:generator=edm.safetensors); no network "
            "is trained on its edits here, each of which takes a dozen passes of it.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "no figure of the publication could be read",
        "pilot": "with principal components in the place of a generator, random edits raised the accuracy under shifts "
        "by half contrast alone, and rotation, shear and scale fell by 4 to 11 points",
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "gain.shifts": ("Gain under counted shifts, worst edits over images alone", "accuracy"),
        "gain.random": ("The same over random edits", "accuracy"),
        "gain.rebuilt": ("The same over rebuilt images", "accuracy"),
        "gain.clean": ("Change on clean images, worst edits over images alone", "accuracy"),
        "gain.edits": ("Gain under the worst edit, worst edits over images alone", "accuracy"),
        "mean.standard": ("Mean over all eight shifts, images alone", "accuracy"),
        "mean.random": ("Mean over all eight shifts, random edits", "accuracy"),
        "mean.worst": ("Mean over all eight shifts, worst edits", "accuracy"),
        "preserved": ("Worst edits that keep the class by the reference network", "share"),
    }
    differs: ClassVar[Sequence[str]] = (
        "Only the abstract of the publication could be read: all but its four steps follows the standard techniques "
        "that it names.",
        "Fashion-MNIST, a VAE with 24 latents and networks of 19,000 parameters; shifts are made by code.",
        "Codes are those of the VAE's encoder and the residual is kept; the inversion by descent is measured apart.",
    )
    data: ClassVar[str] = "fashion-mnist"
    model: ClassVar[str] = "strided-cnn"
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "directions": {
            "eigenvalue": "double", "scale": "double", "changed": "double", "kept": "bool", "amplitude": "double",
            **dict.fromkeys(STATISTICS, "double"),
        },
        "inversions": dict.fromkeys(STAGES, "double"),
    }  # fmt: skip
    full: ClassVar[Mapping[str, Any]] = {
        "images": 10_000, "reference": 5000, "fitting": 1500, "test": 5000, "seeds": 5,
    }  # fmt: skip

    images: PositiveInt = Field(6000, description="training images")
    reference: PositiveInt = Field(3000, description="further images, of the reference network")
    epochs: PositiveInt = Field(8, description="epochs of each training")
    fitting: PositiveInt = Field(600, description="steps of the VAE, of 100 images")
    latents: PositiveInt = Field(24, description="length of its code")
    directions: PositiveInt = Field(8, description="directions that are found; some are left out")
    amplitude: PositiveFloat = Field(1.5, description="largest edit; halved while no direction keeps the class")
    draws: PositiveInt = Field(4, description="random edits, of which the worst is learned")
    attacked: PositiveInt = Field(10, description="random edits, of which the worst is tested")
    inverted: PositiveInt = Field(200, description="test images that are inverted by descent")
    inversion: PositiveInt = Field(100, description="steps of the inversion")
    test: PositiveInt = Field(2000, description="test images")
    seeds: int = Field(3, ge=2, description="generators, directions and networks of each kind")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        gain = measured["gain"]
        checks = [
            decide("clean", "accuracy on clean images, worst edits less images alone", gain["clean"], above=-COST,
                   opposed_below=-COST),
            decide("edits", "accuracy under the attack natra, worst edits less images alone", gain["edits"]),
        ]  # fmt: skip
        words = {"shifts": "images alone", "random": "random edits", "rebuilt": "rebuilt images"}
        for name, other in words.items():
            part = "adversarial" if name == "random" else name
            if name in gain:
                text = f"accuracy under {measured['counted']} counted shifts, worst edits less {other}"
                checks.append(decide(part, text, gain[name]))
            else:
                checks.append(Check("every shift is like a direction that is edited", False, part))
        for stage, fall in measured["inversion_falls"].items():
            checks.append(decide("inversion", f"error before the {stage} less after it", fall))
        return checks

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        left = ", ".join(measured["not_counted"].split()) or "none"
        return f"Shifts not counted, as an edited direction is alike: {left}."
