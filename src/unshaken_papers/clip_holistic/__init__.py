"""`clip-holistic`: small image encoders trained on captions, over the aspects of robustness that show at this size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, decide, in_every_seed, seeds_in

SMALL = "small-cnn"
ZERO_SHOT = ("base", "fewer", "more", "sigmoid", "styled", "vit")
"""The family of zero-shot models, each one factor away from the first."""
TUNED, TEXT_HEAD = "tuned", "text-head"
"""The first of them, fine-tuned with a head of its own, and with the captions' vectors as a fixed head."""
FACTORS = ("darker", "brighter", "smaller", "larger", "blocked", "partial", "grey", "shuffled", "edges")
MILD, STRONG = ("gaussian_noise-1", "defocus_blur-1"), ("gaussian_noise-5", "defocus_blur-5")
OTHERS = ("mnist", "fashion-mnist")
PROMPTS = (1, 8, 32)
LINE, AREA = 0.8, 0.8


@register("clip-holistic", reference="Tu et al. 2024, arXiv:2410.01534")
class ClipHolisticPaper(Paper):
    """Do small models of image and caption show what large ones are said to?

    Image encoders learn captions of CIFAR-10, which name colour and size as augmentation made them, against a frozen
    text encoder: one of each architecture, size, source and loss. The first is fine-tuned.
    """

    title: ClassVar[str] = "Toward a Holistic Evaluation of Robustness in CLIP Models"
    claim: ClassVar[str] = (
        "Accuracy on visual factors follows overall accuracy within a family of models; fine-tuning gains accuracy and "
        "costs zero-shot ability; a temperature fitted on usual images also calibrates shifted ones; raw cosines tell "
        "abnormal images."
    )
    summary: ClassVar[str] = "Six aspects of robustness of zero-shot models, by the factors of their design."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "line": ClaimPart(
            statement="Within one family, accuracy on a visual factor is near-linear in overall accuracy.",
            rule=f"Shown if the correlation of overall accuracy and mean accuracy over {len(FACTORS)} factors, over "
            f"the zero-shot models of all seeds, lies above {LINE} by its interval; contradicted if below 0.",
        ),
        "gain": ClaimPart(
            statement="Fine-tuning gains accuracy on the usual images.",
            rule="Shown if accuracy rises by the paired interval in every seed that is run; contradicted if it falls.",
        ),
        "cost": ClaimPart(
            statement="Fine-tuning costs zero-shot accuracy by other words for the classes.",
            rule="Shown if zero-shot accuracy by held-out words and templates falls by the paired interval in every "
            "seed that is run; contradicted if it rises.",
        ),
        "calibrated": ClaimPart(
            statement="A temperature fitted on usual images at least halves their calibration error.",
            rule="Shown if ECE less twice the ECE with the temperature, the mean over the zero-shot models, lies above "
            "0 by the interval over seeds; contradicted if below.",
        ),
        "carries-over": ClaimPart(
            statement="That temperature lowers the calibration error on mildly shifted images, too.",
            rule="Shown if ECE less ECE with the temperature at severity 1, the mean over zero-shot models, lies above "
            "0 by the interval over seeds; contradicted if below.",
        ),
        "less-on-strong": ClaimPart(
            statement="It lowers it less on strongly shifted images.",
            rule="Shown if what it lowers at severity 1 exceeds what it lowers at severity 5 by the interval over "
            "seeds.",
            central=False,
        ),
        "abnormal": ClaimPart(
            statement="Maximum concept matching tells images of another kind.",
            rule=f"Shown if the first model's AUROC by MCM lies above {AREA} by its interval for each of "
            f"{' and '.join(OTHERS)} that is there, in every seed that is run; contradicted if below 0.5.",
        ),
        "prompts": ClaimPart(
            statement="Fewer prompts help to tell abnormal images.",
            rule=f"Shown if AUROC with {PROMPTS[0]} template exceeds that with {PROMPTS[-1]}, the mean over other "
            "sets, by the interval over seeds; contradicted if it is below.",
            central=False,
        ),
        "shape": ClaimPart(
            statement="Fine-tuning weakens the preference for shape.",
            rule="Shown if shape bias falls by fine-tuning by the interval over seeds; contradicted if it rises. Small "
            "networks on 32 pixels need not prefer shape.",
            central=False,
        ),
        "3d": ClaimPart(
            statement="Convolutional encoders are better under corruptions that know depth.",
            untried="pictures of 32 pixels have no depth to speak of; `holistic` runs the plan 3dcc on any model.",
            central=False,
        ),
        "language-model": ClaimPart(
            statement="LLaVA is better than CLIP on hard categories.",
            untried="no language model is within reach; `holistic` takes one as a function.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "84 zero-shot CLIP models, 44 fine-tuned, 127 of ImageNet; no intervals and no table was read",
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "line": ("Overall accuracy and mean accuracy on nine factors, zero-shot", "correlation"),
        "seed*.gain": ("Accuracy gained by fine-tuning", "accuracy"),
        "seed*.cost": ("Zero-shot accuracy by held-out words, lost by fine-tuning", "accuracy"),
        "ece.halved": ("ECE less twice the ECE with a temperature", "ECE"),
        "ece.mild": ("ECE lowered by that temperature, severity 1", "ECE"),
        "ece.strong": ("The same, severity 5", "ECE"),
        "seed*.base.clean": ("The first model, zero-shot", "accuracy"),
        "seed*.base.abnormal.fashion-mnist": ("Fashion-MNIST told by MCM", "AUROC"),
        "seed*.base.shape": ("Decisions for shape, zero-shot", "share"),
        "seed*.tuned.shape": ("Decisions for shape, fine-tuned", "share"),
    }
    differs: ClassVar[Sequence[str]] = (
        "Image encoders of 80,000 to 160,000 parameters on CIFAR-10; the text encoder is all-MiniLM-L6-v2 and frozen.",
        "Captions are templates of the class, and of the colour and size that augmentation made.",
        "Visual factors are made of the test images; ImageNet-X has labels by people.",
    )
    data: ClassVar[str] = "cifar10"
    model: ClassVar[str] = SMALL
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {"scales": {"scale": "double"}, "cues": {"texture": "int64"}}
    chooses: ClassVar[Mapping[str, str]] = {"outcomes": "*.choosing"}
    full: ClassVar[Mapping[str, Any]] = {
        "images": 10_000,
        "passes": 100_000,
        "tuning": 50_000,
        "test": 2000,
        "choosing": 1000,
    }

    images: PositiveInt = Field(7_500, description="training images of the first model; half and twice of others")
    passes: PositiveInt = Field(15_000, description="image passes of each training on captions")
    tuning: PositiveInt = Field(7_500, description="image passes of each fine-tuning")
    test: PositiveInt = Field(500, description="test images")
    choosing: PositiveInt = Field(400, description="further test images, on which temperatures are fitted")
    encoder: str = Field("minilm", description="frozen text encoder: minilm, hashed-pieces or a folder")
    seeds: PositiveInt = Field(3, description="seeds of the whole experiment")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        line = decide("line", "correlation over zero-shot models", measured["line"], above=LINE, opposed_below=0.0)
        ece = measured["ece"]
        return [
            line,
            *in_every_seed(measured, seed_checks),
            decide("calibrated", "ECE less twice the ECE with T", ece["halved"]),
            decide("carries-over", "ECE less ECE with T, severity 1", ece["mild"]),
            decide("less-on-strong", "lowered at severity 1 less lowered at severity 5", ece["mild_less_strong"]),
            *([decide("prompts", "AUROC, 1 template less 32", measured["prompts"])] if measured.get("prompts") else []),
            *([decide("shape", "shape bias lost", measured["shape_lost"])] if measured.get("shape_lost") else []),
        ]

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        found = ", ".join(f"{part['base']['clean']['value']:.1%}" for _, part in seeds_in(measured))
        return f"The first model's zero-shot accuracy is {found}."


def seed_checks(part: Mapping[str, Any]) -> list[Check]:
    """The checks of one seed."""
    return [
        decide("gain", "accuracy, fine-tuned less zero-shot", part["gain"]),
        decide("cost", "zero-shot accuracy by held-out words, before less after", part["cost"]),
        *(
            decide("abnormal", f"AUROC by MCM, {name}", area, above=AREA, opposed_below=0.5)
            for name, area in part["base"]["abnormal"].items()
            if name in OTHERS
        ),
    ]
