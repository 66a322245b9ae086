"""`vit-patch`: patch perturbations of vision transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, in_every_seed, pilot, seeds_in
from unshaken_papers.vit_patch.rules import judge_seed, judge_studies

SMALL = "small-vit|small-cnn"
TEMPERATURES = (1.5, 2.0, 3.0)
ADVERSARIAL = (1, 2, 4)
"""Cells that an attack is free to change."""
CELLS = (8, 24, 40, 64)
"""Sixty-fourths of all cells."""
STATES = ("clean", "noise", "patch")
FOOLS: Mapping[str, Mapping[str, Any]] = {
    "random": {"choose": "random"},
    "saliency": {},
    "sparse": {"pixels": 0.5},
    "linf": {"linf": 0.25},
    "l2": {"l2": 1.0},
    "attended": {"choose": "attention"},
    "drawn": {"choose": "attention", "attention": 0.002},
}
"""Variants of Patch-Fool in one cell; of `pixels` the share of the cell's."""
OF_ATTENTION = ("attended", "drawn")
"""Those that need a transformer."""


@register("vit-patch", reference="Gu et al. 2022, arXiv:2111.10659")
class VitPatchPaper(Paper):
    """Do single corrupted patches harm transformers less, and adversarial ones more, than convolutional networks?

    A small ViT and a small CNN of about its accuracy, trained here on CIFAR-10. Attacked are images that both get
    right. With a model of one's own, given as `VIT|CNN`, two trained networks are compared instead.
    """

    title: ClassVar[str] = "Are Vision Transformers Robust to Patch Perturbations?"
    claim: ClassVar[str] = (
        "Vision transformers resist naturally corrupted patches better than convolutional networks of equal accuracy, "
        "but are fooled more often by adversarial patches; flattening attention by a temperature at inference lowers "
        "the latter."
    )
    summary: ClassVar[str] = "Vision transformers resist corrupted patches better than CNNs, adversarial ones worse."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "equal-accuracy": ClaimPart(
            statement="The networks that are compared are equally accurate on clean images.",
            rule="Shown if in every seed the clean accuracies of ViT and CNN are within 3 points of each other.",
        ),
        "natural": ClaimPart(
            statement="Vision transformers resist naturally corrupted patches better than convolutional networks.",
            rule="With 3/8 of the cells corrupted, the fooling rate averaged over noise, blur and contrast at three "
            "severities: shown if in every seed it is lower for the ViT; contradicted if it is higher in any.",
        ),
        "adversarial": ClaimPart(
            statement="Vision transformers are fooled more often by adversarial patches.",
            rule="Shown if in every seed one adversarial cell fools more of the ViT's images than of the CNN's; "
            "contradicted if fewer in any.",
        ),
        "temperature": ClaimPart(
            statement="Flattening attention by a temperature at inference lowers the rate at which adversarial patches "
            "fool.",
            rule="Of temperatures 1.5, 2 and 3, on half of the images, the one whose least gain over the seeds is "
            "largest, of those that cost less than 3 points of clean accuracy if there are any; attacked "
            "adaptively with as many starts, and with the patches of T = 1 as well, on the other half: shown if "
            "in every seed it lowers the fooling rate by more than 5 points; contradicted if it raises it in any.",
        ),
        "temperature-cost": ClaimPart(
            statement="Flattening attention costs little accuracy on clean images.",
            rule="Shown if in every seed the temperature that the fooling rate is judged at costs less than 3 points; "
            "contradicted if more in any.",
        ),
        "each-kind": ClaimPart(
            statement="Vision transformers resist natural corruptions of every kind better.",
            rule="Shown if in every seed, with 3/8 of the cells corrupted, the fooling rate is lower for the ViT under "
            "noise, blur and contrast each; contradicted if it is higher under any.",
            central=False,
        ),
        "captured": ClaimPart(
            statement="Adversarial patches capture the attention of the transformer.",
            rule="Shown if in every seed the class token's attention to the cell in the last layer is higher by more "
            "than one even share than on the clean image, beyond both intervals; contradicted if it is lower.",
            central=False,
        ),
        "ignored": ClaimPart(
            statement="The attention of the transformer ignores naturally corrupted patches.",
            rule="Shown if in every seed noise in the cell raises the same attention by less than one even share, "
            "beyond both intervals; contradicted if by more.",
            central=False,
        ),
        "location": ClaimPart(
            statement="Where the patch lies matters less to the transformer: the CNN is fooled most at the centre.",
            rule="A patch in random cells of each image: shown if over the seeds the fooling rate of central cells "
            "(middle half of rows and columns) less that of the others is higher for the CNN than for the ViT; "
            "contradicted if lower. The statement is recalled from the publication.",
            central=False,
        ),
        "misaligned": ClaimPart(
            statement="A patch that is not aligned with the grid of tokens fools the transformer less.",
            rule="Cells of a grid that is moved by half a token down and right: shown if over the seeds the fooling "
            "rate of one cell, ViT minus CNN, is lower than on the grid of tokens; contradicted if higher.",
            central=False,
        ),
        "patch-fool": ClaimPart(
            statement="Patch-Fool (by others) fools transformers more often than convolutional networks.",
            rule="Adam in the cell of largest gradient: shown if in every seed it fools more of the ViT's images than "
            "of the CNN's; contradicted if fewer in any.",
            central=False,
        ),
        "patch-fool-attention": ClaimPart(
            statement="A cell chosen by attention, and a patch that draws attention, fool transformers more.",
            rule="Shown if over the seeds Patch-Fool with both fools more of the ViT's images than in a random cell by "
            "cross-entropy alone; contradicted if fewer.",
            central=False,
        ),
        "patch-fool-variants": ClaimPart(
            statement="Transformers are fooled more often by sparse and by mild patches too.",
            rule="Patch-Fool of half the cell's pixels, of changes of 0.25 at most, and of an l2 norm of 1 at most: "
            "shown if over the seeds each fools more of the ViT's images than of the CNN's; contradicted if any fewer.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "fooling rates in %, as recalled: one adversarial cell of 196 DeiT-small 61.5, ResNet-50 30.6; "
        "96 naturally corrupted cells DeiT-small 7.4, ResNet-50 18.2",
        **pilot(
            "adversarial.vit.1 0.74, adversarial.cnn.1 0.343, natural.mean.24.vit 0.172, natural.mean.24.cnn 0.243, "
            "smoothing.1.5.fooled 0.647, attention.last_layer.clean 1.0, attention.last_layer.noise 1.3, "
            "attention.last_layer.patch 7.8",
            "seed0",
        ),
        **pilot(
            "adversarial.vit.1 0.68, adversarial.cnn.1 0.457, natural.mean.24.vit 0.188, natural.mean.24.cnn 0.259, "
            "smoothing.1.5.fooled 0.537, attention.last_layer.clean 1.2, attention.last_layer.noise 0.9, "
            "attention.last_layer.patch 4.5",
            "seed1",
        ),
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "seed*.adversarial.vit_minus_cnn.1": ("One adversarial patch, ViT minus CNN", "fooling rate"),
        "seed*.natural.mean.24.vit_minus_cnn": ("3/8 of the patches corrupted, ViT minus CNN", "fooling rate"),
        "seed*.smoothing.1.5.fooled_minus_plain": ("One adversarial patch, ViT at T = 1.5 minus T = 1", "fooling rate"),
        "seed*.adversarial.vit.1": ("One adversarial patch, ViT", "fooling rate"),
        "seed*.adversarial.cnn.1": ("One adversarial patch, CNN", "fooling rate"),
        "seed*.misaligned.vit_minus_cnn.off": ("One adversarial patch off the grid, ViT minus CNN", "fooling rate"),
        "seed*.patch_fool.vit_minus_cnn.saliency": ("Patch-Fool, ViT minus CNN", "fooling rate"),
        "seed*.clean.vit": ("Clean images, ViT", "accuracy"),
        "seed*.clean.cnn": ("Clean images, CNN", "accuracy"),
        "seed*.smoothing.1.5.accuracy_minus_plain": ("Clean images, ViT at T = 1.5 minus T = 1", "accuracy"),
    }
    differs: ClassVar[Sequence[str]] = (
        "A small ViT and a small CNN on CIFAR-10 in the place of DeiT-small and ResNet-50; the published step sizes "
        "and counts are not known here.",
        "Fooling rates are of images that both networks get right, natural ones means of noise, blur and contrast at "
        "three severities; T is the temperature of attention, and rates at T = 1.5 count the images that it alone "
        "gets wrong.",
    )
    data: ClassVar[str] = "cifar10"
    model: ClassVar[str] = SMALL
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "attention": {"layer": "int32", "on_cell": "double", "rollout": "double"},
        "places": dict.fromkeys(("row", "column", "rows", "columns"), "int64"),
    }
    """The class token's attention to the cell (heads averaged), in units of an even share; `rollout` is that of all
    layers so far, its row without the class token's own entry, in the same unit. `places`: the cell of each copy of an
    image, and the size of the grid."""

    train: PositiveInt = Field(5000, description="training images, a stratified subset")
    photos: PositiveInt = Field(1000, description="test images for clean accuracy, those to attack among them")
    attacked: PositiveInt = Field(100, description="images that both networks get right, at most")
    epochs: PositiveInt = Field(8, description="epochs of each network's training")
    seeds: PositiveInt = Field(3, description="seeds of training")
    steps: PositiveInt = Field(25, description="steps of the attack from each start")
    starts: PositiveInt = Field(2, description="random starts of the attack")
    step_size: PositiveFloat = Field(0.1, description="step of the attack, in units of the pixel range")
    scanned: PositiveInt = Field(20, description="images that are attacked in many places, at most")
    places: PositiveInt = Field(32, description="random cells in which each of them is attacked")
    scan_steps: PositiveInt = Field(10, description="steps of each of these attacks")
    fool_steps: PositiveInt = Field(30, description="steps of Patch-Fool")

    full: ClassVar[Mapping[str, Any]] = {
        "train": 15_000, "photos": 10_000, "attacked": 200, "steps": 40, "scanned": 50, "places": 48, "scan_steps": 15,
        "fool_steps": 80,
    }  # fmt: skip

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        checks, seeds = in_every_seed(measured, judge_seed), [part for _, part in seeds_in(measured)]
        return checks + judge_studies(measured) if all("patch_fool" in part for part in seeds) else checks
