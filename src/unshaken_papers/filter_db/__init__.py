"""`filter-db`: trained 3 x 3 filters look alike whatever they were trained on, and unlike random ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, decide

WIDTHS, STRIDES = (12, 24, 24, 48, 48), (2, 1, 2, 1, 1)
"""The five convolutions of all networks: 36 to 2,304 filters of 3 x 3 for images in colour."""
TRAINED = ("standard", "robust", "other")
"""Networks of each seed: by cross-entropy, by adversarial training, and by cross-entropy on other data."""
RANDOM = "random"
MEASURED = ("sparsity", "entropy", "ratio", "orthogonality")
CORRUPTIONS = ("gaussian_noise", "defocus_blur", "contrast", "jpeg_compression")
SEVERITY = 3
TWICE, ABOUT, NEAR = 2.0, 0.05, 0.02


@register("filter-db", reference="Gavrikov & Keuper 2022, arXiv:2203.15331")
class FilterDBPaper(Paper):
    """Do filters of networks that were trained on other data differ less than trained filters from random ones?

    Networks of five convolutions on two data sets, with and without adversarial training, and without any; and a
    network of four times the width that is trained for long on few images.
    """

    title: ClassVar[str] = "CNN Filter DB: An Empirical Investigation of Trained Convolutional Filters"
    claim: ClassVar[str] = (
        "Trained 3 x 3 filters, once scaled, have almost the same distribution whatever the task or the images; "
        "differences come from the depth and from degenerate layers of networks that are too large."
    )
    summary: ClassVar[str] = "Trained filters look alike across data sets; too large networks have degenerate layers."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "data": ClaimPart(
            statement="Training data hardly shifts the distribution of filters, beside the shift by training itself.",
            rule=f"Shown if the mean drift between random and trained networks is more than {TWICE:g} times the "
            "largest drift between networks of the two data sets, by the interval over seeds of the ratio; "
            "contradicted if it is less than once that drift.",
        ),
        "floor": ClaimPart(
            statement="Both shifts are more than that between two networks of one recipe.",
            rule="Shown if the drift between random and trained networks and that between the data sets each exceed "
            "the drift between two seeds of one recipe, by intervals over seeds; contradicted if one is below it.",
        ),
        "random": ClaimPart(
            statement="Layers without training have the entropy of Gaussian filters, trained layers have less.",
            rule=f"Shown if, over the layers after the first, the entropy of random networks is within {ABOUT} of its "
            "threshold as a share of it, and that of the standard networks is below, by intervals over seeds; "
            "contradicted if trained layers exceed it.",
        ),
        "degenerate": ClaimPart(
            statement="A network that is too large for its data has sparse or low-variance layers.",
            rule="Shown if the share of such layers is larger in the wide network, trained for long with strong weight "
            "decay on few images, than in the base network, by the interval over seeds; contradicted if it is smaller.",
        ),
        "fragile": ClaimPart(
            statement="Such a network is less robust.",
            rule=f"Shown if what corruptions cost the wide network is not smaller by more than {NEAR} than what they "
            "cost the base network, by the interval over seeds; contradicted if it is smaller by more.",
            central=False,
        ),
        "depth": ClaimPart(
            statement="The entropy falls with depth in standard networks.",
            rule="Shown if the standard networks' entropy, as a share of its threshold, is lower in the last layer "
            "than in the second, by the interval over seeds; contradicted if it is higher.",
            central=False,
        ),
        "robust": ClaimPart(
            statement="Adversarially trained networks have more diverse filters, and no sparser ones, in deep layers "
            "(of the follow-up, Gavrikov & Keuper 2022, arXiv:2204.02481).",
            rule="Shown if over the last two layers the entropy is higher after adversarial training and the share of "
            f"near-zero filters not higher by more than {NEAR}, by intervals over seeds; contradicted if the entropy "
            "is lower.",
            central=False,
        ),
        "tasks": ClaimPart(
            statement="The same holds between classification, segmentation, detection and generation.",
            untried="all networks here classify; needs trained networks of other tasks.",
            central=False,
        ),
        "tuning": ClaimPart(
            statement="Networks with degenerate layers are worse to fine-tune.",
            untried="no network is fine-tuned here.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "1.4 billion filters of several hundred models: little drift between tasks and image categories",
        "pilot": "one seed: drift from random 1.045 (standard) and 0.486 (robust), standard to robust 0.127",
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "ratio": ("Drift from random to trained, in drifts between data sets", "times"),
        "drift.random": ("Drift between random and trained networks", "drift"),
        "drift.data": ("Between networks of two data sets", "drift"),
        "drift.robust": ("Between standard and adversarially trained networks", "drift"),
        "drift.seeds": ("Between two seeds of one recipe", "drift"),
        "entropy.random": ("Entropy over its threshold, random networks", "share"),
        "entropy.standard": ("The same, standard networks", "share"),
        "degenerate.wide": ("Sparse or low-variance layers, wide network", "layers"),
        "degenerate.base": ("The same, base network", "layers"),
        "fragile": ("Accuracy lost under corruptions, wide minus base network", "accuracy"),
    }
    differs: ClassVar[Sequence[str]] = (
        "Nine small networks that are trained here, in the place of a database of several hundred.",
        "Two data sets of small images stand for tasks and image categories.",
        "The network that is too large is trained on images of half the size, and with a weight decay of 0.02, as its "
        "training is short; a narrow one trained likewise is measured beside it.",
    )
    data: ClassVar[str] = "cifar10"
    model: ClassVar[str] = "conv-39k"
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "drifts": {"one": "string", "other": "string", "drift": "double"},
        "layers": {"layer": "int32", "filters": "int32", **dict.fromkeys(MEASURED, "double"), "degenerate": "string"},
    }
    full: ClassVar[Mapping[str, Any]] = {"seeds": 5, "images": 8000, "tested": 2000}

    seeds: int = Field(3, ge=2, description="networks of each kind")
    images: PositiveInt = Field(5000, description="training images of each data set")
    epochs: PositiveInt = Field(10, description="epochs of training")
    other: str = Field("fashion-mnist", description="SPEC of the other data set")
    few: PositiveInt = Field(1000, description="training images of the wide network")
    short: PositiveInt = Field(15, description="epochs of the base network on few images")
    longer: PositiveInt = Field(4, description="how many times longer the wide network is trained")
    wider: PositiveInt = Field(4, description="how many times wider it is")
    decay: PositiveFloat = Field(0.02, description="its weight decay")
    tested: PositiveInt = Field(600, description="test images")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        drift, entropy = measured["above_floor"], measured["entropy"]
        words = "drift from random to trained networks over the largest drift between data sets"
        return [
            decide("data", words, measured["ratio"], above=TWICE, opposed_below=1.0),
            decide("floor", "drift from random minus that between seeds", drift["random"]),
            decide("floor", "drift between data sets minus that between seeds", drift["data"]),
            decide(
                "random", f"{ABOUT} minus the distance of random entropy from its threshold", entropy["about"],
                opposed_below=-1.0,
            ),
            decide("random", "1 minus entropy over its threshold, standard networks", entropy["below"]),
            decide("degenerate", "degenerate layers, wide minus base network", measured["degenerate"]["more"]),
            decide(
                "fragile", "accuracy lost under corruptions, wide minus base network", measured["fragile"],
                above=-NEAR, opposed_below=-NEAR,
            ),
            decide("depth", "entropy over its threshold, second minus last layer", measured["depth"]["standard"]),
            decide("robust", "entropy of the last two layers, robust minus standard", measured["robust"]["entropy"]),
            decide(
                "robust", "near-zero filters of the last two layers, standard minus robust",
                measured["robust"]["less_sparse"], above=-NEAR, opposed_below=-1.0,
            ),
        ]  # fmt: skip

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        narrow, wide = (measured["degenerate"][name]["value"] for name in ("narrow", "wide"))
        return (
            f"Trained as long and with the same weight decay, a network of the base width has {5 * narrow:.1f} of 5 "
            f"layers that degenerate, the wide one {5 * wide:.1f}: a large difference would be one of width, a small "
            "one of training."
        )
