"""`fgsm-cw-distillation`: what defensive distillation stops, and what it only hides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt

from unshaken.core.registry import register
from unshaken.papers.frame import Check, Paper

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
    rule: ClassVar[str] = (
        "Reproduced if both hold: (1) at one eps of 0.05, 0.1 and 0.2 at least, accuracy under FGSM on the "
        "cross-entropy is 10 points or more higher for the student than for the undefended network; (2) Carlini and "
        "Wagner's attack succeeds on 95 % of the student's images or more."
    )
    expected: ClassVar[Mapping[str, Any]] = {
        "student": {"cw": {"success": "1.0 (Carlini & Wagner 2017, abstract)"}},
        "published": "CIFAR-10, ResNeXt50: accuracy .79, .35 under Carlini and Wagner's attack, about .51 with "
        "distillation (secondary summary); effective against FGSM, susceptible to C&W (abstract)",
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "student_minus_plain.fgsm.0.1": ("Under FGSM at 0.1, gain by distillation", "accuracy"),
        "student_minus_plain.fgsm-margin.0.1": ("The same step on a loss that does not saturate", "accuracy"),
        "student_minus_plain.pgd-margin.0.1": ("Under PGD at 0.1, gain by distillation", "accuracy"),
        "student.accuracy.fgsm.0.1": ("Distilled network, under FGSM at 0.1", "accuracy"),
        "plain.accuracy.fgsm.0.1": ("Undefended network, under FGSM at 0.1", "accuracy"),
        "student.accuracy.pgd-margin.0.1": ("Distilled network, under PGD at 0.1", "accuracy"),
        "student.cw.success": ("Carlini-Wagner attack on the distilled network", "success rate"),
        "student.masking.0.1.zero_gradients": (
            "Images whose gradient is exactly zero, distilled network",
            "share of images",
        ),
        "student.cw.median_l2": ("Median l2 of that attack, distilled network", "l2 distance"),
        "plain.cw.median_l2": ("Median l2 of that attack, undefended network", "l2 distance"),
    }
    differs: ClassVar[Sequence[str]] = (
        "Small networks on Fashion-MNIST in the place of ResNeXt50 on CIFAR-10 (--data cifar10).",
        "FGSM at a larger eps counts what fooled at a smaller one.",
    )
    data: ClassVar[str] = "fashion-mnist"
    model: ClassVar[str] = SMALL
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {"gradients": {"largest": "double", "gap": "double"}}

    train: PositiveInt = Field(12_000, description="training images, a stratified subset")
    test: PositiveInt = Field(1000, description="test images for clean accuracy, those to attack among them")
    attacked: PositiveInt = Field(300, description="images of linf attacks")
    nearest: PositiveInt = Field(100, description="images of Carlini and Wagner's attack")
    epochs: PositiveInt = Field(4, description="of the undefended network's training")
    longer: PositiveInt = Field(5, description="of the teacher's and the student's")
    temperature: PositiveFloat = Field(40.0, description="T of teacher and student, and of the tempered loss")
    lr: PositiveFloat = Field(0.1, description="largest learning rate of all three")
    cw_steps: PositiveInt = Field(150, description="steps of Adam in each run of Carlini and Wagner's attack")
    cw_searches: PositiveInt = Field(5, description="its runs, each with another weight c")
    cw_step_size: PositiveFloat = Field(0.1, description="its step size, in tanh space")
    cw_initial_c: PositiveFloat = Field(1e-3, description="its first weight c")

    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        """See `rule`."""
        gains = {e: f["value"] for e, f in measured["student_minus_plain"]["fgsm"].items()}
        words = ", ".join(f"{gain:+.3f} at {e}" for e, gain in gains.items())
        success = measured[STUDENT]["cw"]["success"]
        found = 0.0 if success is None else success["value"]
        return [
            Check(
                f"student minus undefended under FGSM: {words} ({HIDDEN} needed once)", max(gains.values()) >= HIDDEN
            ),
            Check(f"C&W succeeds on {found:.3f} of the student's images ({BROKEN} needed)", found >= BROKEN),
        ]

    def remark(self, measured: Mapping[str, Any]) -> str:
        """Why FGSM fails."""
        middle = f"{RADII[1]:g}"
        reasons = measured[STUDENT]["masking"][middle]["reasons"] or "none"
        return (
            f"The distilled network's logit gap is {measured['logit_gap_ratio']} times the undefended one's. Signs of "
            f"masked gradients in it at eps {middle}: {reasons}."
        )
