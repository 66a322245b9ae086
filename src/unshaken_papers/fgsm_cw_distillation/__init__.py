"""`fgsm-cw-distillation`: what defensive distillation stops, and what it only hides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, decide, in_every_seed, seeds_in
from unshaken.papers.effects import negated

SMALL = "small"
PLAIN, TEACHER, STUDENT = "plain", "teacher", "student"
RADII = (0.05, 0.1, 0.2)
"""Radii at which all losses are compared, linf."""
GRID = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.2)
"""Radii of FGSM on the cross-entropy, linf; `RADII` among them."""
ONE_STEP = ("fgsm", "fgsm-tau", "fgsm-margin")
UNBOUNDED = 1.0
"""Radius at which an attack can reach every image, linf."""
HIDDEN, BROKEN = 0.1, 0.95
ZERO, REST = 0.01, 0.05
"""Share of gradients that are exactly zero, and of accuracy that is left between losses, without masked gradients."""
NEAR = 0.8
"""Ratio of two distances that hardly differ, either way round."""
MIDDLE = f"{RADII[1]:g}"


@register("fgsm-cw-distillation", reference="Hsu et al. 2024, arXiv:2404.04245")
class DistillationPaper(Paper):
    """Does defensive distillation blunt FGSM, and does Carlini and Wagner's attack go past it?

    An undefended network, a teacher trained at T = 40 and a student distilled from it at the same T, on Fashion-MNIST;
    `--data cifar10` for the publication's. FGSM on the cross-entropy stands beside the same step at a temperature, on
    the margin, and PGD. With models of one's own, given as `UNDEFENDED|DISTILLED`, two trained networks are compared.
    """

    title: ClassVar[str] = (
        "Evaluating Adversarial Robustness: A Comparison Of FGSM, Carlini-Wagner Attacks, And The Role of Distillation "
        "as Defense Mechanism"
    )
    claim: ClassVar[str] = (
        "Defensive distillation is effective against FGSM but remains susceptible to Carlini and Wagner's attack; the "
        "reason is that it hides gradients, while the decision boundary hardly moves."
    )
    summary: ClassVar[str] = "Defensive distillation stops FGSM by hiding gradients, not the Carlini-Wagner attack."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "blunts-fgsm": ClaimPart(
            statement="Defensive distillation is effective against FGSM.",
            rule=f"Shown if in every seed, at each eps of {RADII[0]:g}, {RADII[1]:g} and {RADII[2]:g}, accuracy under "
            f"FGSM on the cross-entropy is more than {HIDDEN} higher for the distilled than for the undefended "
            "network; contradicted if it is lower at one.",
        ),
        "yields-to-cw": ClaimPart(
            statement="It remains susceptible to Carlini and Wagner's attack.",
            rule=f"Shown if in every seed that attack succeeds on more than {BROKEN:.0%} of the images that the "
            "distilled network classifies correctly; contradicted if on less than half.",
        ),
        "hides-gradients": ClaimPart(
            statement="What stops FGSM is that gradients are hidden.",
            rule=f"Shown if in every seed, for the distilled network at eps {MIDDLE}, more than {ZERO:.0%} of the "
            f"gradients are exactly zero, FGSM leaves more than {REST} of accuracy that the strongest attack "
            f"takes, and distillation gains less than {REST} under one step and under PGD on the margin, which "
            "does not saturate; contradicted if it gains more.",
            central=False,
        ),
        "boundary": ClaimPart(
            statement="The decision boundary hardly moves.",
            rule="Shown if in every seed the median l2 of Carlini and Wagner's attack on the distilled network is "
            f"more than {NEAR} times that on the undefended one, and that more than {NEAR} times the former; "
            "contradicted if one is less. The two medians are over other images: their intervals' ends decide.",
            central=False,
        ),
        "imagenet-networks": ClaimPart(
            statement="FGSM and Carlini and Wagner's attack raise the errors of three ImageNet networks.",
            untried="Tiny-ImageNet and the three pretrained networks are not run; needs both.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "seed0": {"student": {"cw": {"success": "1.0 (Carlini & Wagner 2017, abstract)"}}},
        "published": "CIFAR-10, ResNeXt50: accuracy .79, .35 under Carlini and Wagner's attack, about .51 with "
        "distillation (secondary summary); effective against FGSM, susceptible to C&W (abstract)",
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "seed*.student_minus_plain.fgsm.0.1": ("Under FGSM at 0.1, gain by distillation", "accuracy"),
        "seed*.student_minus_plain.fgsm-margin.0.1": ("The same step on a loss that does not saturate", "accuracy"),
        "seed*.student_minus_plain.pgd-margin.0.1": ("Under PGD at 0.1, gain by distillation", "accuracy"),
        "seed*.student.accuracy.fgsm.0.1": ("Distilled network, under FGSM at 0.1", "accuracy"),
        "seed*.plain.accuracy.fgsm.0.1": ("Undefended network, under FGSM at 0.1", "accuracy"),
        "seed*.student.accuracy.pgd-margin.0.1": ("Distilled network, under PGD at 0.1", "accuracy"),
        "seed*.student.cw.success": ("Carlini-Wagner attack on the distilled network", "success rate"),
        "seed*.student.masking.0.1.zero_gradients": (
            "Images whose gradient is exactly zero, distilled network",
            "share of images",
        ),
        "seed*.student.cw.median_l2": ("Median l2 of that attack, distilled network", "l2 distance"),
        "seed*.plain.cw.median_l2": ("Median l2 of that attack, undefended network", "l2 distance"),
    }
    differs: ClassVar[Sequence[str]] = (
        "Small networks on Fashion-MNIST in the place of ResNeXt50 on CIFAR-10 (--data cifar10).",
        "FGSM at a larger eps counts what fooled at a smaller one.",
        "Intervals are over images; every part is judged in each seed.",
    )
    data: ClassVar[str] = "fashion-mnist"
    model: ClassVar[str] = SMALL
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {"gradients": {"largest": "double", "gap": "double"}}

    full: ClassVar[Mapping[str, Any]] = {
        "train": 12_000,
        "test": 1000,
        "attacked": 300,
        "nearest": 100,
        "cw_steps": 150,
    }

    seeds: PositiveInt = Field(3, description="networks of each kind")
    train: PositiveInt = Field(5_000, description="training images, a stratified subset")
    test: PositiveInt = Field(500, description="test images for clean accuracy, those to attack among them")
    attacked: PositiveInt = Field(80, description="images of linf attacks")
    nearest: PositiveInt = Field(25, description="images of Carlini and Wagner's attack")
    epochs: PositiveInt = Field(4, description="of the undefended network's training")
    longer: PositiveInt = Field(5, description="of the teacher's and the student's")
    temperature: PositiveFloat = Field(40.0, description="T of teacher and student, and of the tempered loss")
    lr: PositiveFloat = Field(0.1, description="largest learning rate of all three")
    cw_steps: PositiveInt = Field(100, description="steps of Adam in each run of Carlini and Wagner's attack")
    cw_searches: PositiveInt = Field(5, description="its runs, each with another weight c")
    cw_step_size: PositiveFloat = Field(0.1, description="its step size, in tanh space")
    cw_initial_c: PositiveFloat = Field(1e-3, description="its first weight c")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        return in_every_seed(measured, self._of_one_seed)

    def _of_one_seed(self, measured: Mapping[str, Any]) -> list[Check]:
        gains, masking = measured["student_minus_plain"], measured[STUDENT]["masking"][MIDDLE]
        checks = [
            decide("blunts-fgsm", f"FGSM at {eps:g}, distilled minus undefended", gain, above=HIDDEN)
            for eps in RADII
            for gain in [gains["fgsm"][f"{eps:g}"]]
        ]
        checks.append(self._broken(measured[STUDENT]["cw"]["success"]))
        left = masking["fgsm_minus_strongest"]
        checks += [
            decide("hides-gradients", "gradients that are exactly zero", masking["zero_gradients"], above=ZERO),
            decide("hides-gradients", f"FGSM minus the strongest attack at {MIDDLE}", left, above=REST),
        ]
        for attack, words in (("fgsm-margin", "one step"), ("pgd-margin", "PGD")):
            lost = negated(gains[attack][MIDDLE])
            words = f"{words} on the margin at {MIDDLE}, undefended minus distilled"
            checks.append(decide("hides-gradients", words, lost, above=-REST))
        return checks + self._moved(*(measured[net]["cw"]["median_l2"] for net in (STUDENT, PLAIN)))

    def _broken(self, success: Mapping[str, Any] | None) -> Check:
        if success is None:
            return Check("the distilled network classifies no image correctly", False, "yields-to-cw")
        words = "success of Carlini and Wagner's attack on the distilled network"
        return replace(decide("yields-to-cw", words, success, above=BROKEN, opposed_below=0.5), smallest=None)

    def _moved(self, distilled: Mapping[str, Any] | None, plain: Mapping[str, Any] | None) -> list[Check]:
        if distilled is None or plain is None:
            return [Check("one of the two networks has no median l2", False, "boundary")]
        pairs = {"distilled over undefended": (distilled, plain), "undefended over distilled": (plain, distilled)}
        return [
            replace(
                decide("boundary", f"median l2, {words}", ratio(*pair), above=NEAR, opposed_below=NEAR), smallest=None
            )
            for words, pair in pairs.items()
        ]

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        seeds = [part for _, part in seeds_in(measured)]
        gaps = ", ".join(str(part["logit_gap_ratio"]) for part in seeds)
        signs = "; ".join(f"{n}, {p[STUDENT]['masking'][MIDDLE]['reasons'] or 'none'}" for n, p in seeds_in(measured))
        return (
            f"The distilled network's logit gap is {gaps} times the undefended one's. Signs of masked gradients in it "
            f"at eps {MIDDLE}: {signs}."
        )


def ratio(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, float | None]:
    """One distance over another, between the ends of their intervals; None where an interval has no end."""
    low = None if a["low"] is None or not b["high"] else a["low"] / b["high"]
    high = None if a["high"] is None or not b["low"] else a["high"] / b["low"]
    return {"value": a["value"] / b["value"], "low": low, "high": high}
