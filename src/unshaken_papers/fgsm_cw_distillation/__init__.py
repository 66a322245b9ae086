"""`fgsm-cw-distillation`: what defensive distillation stops, and what it only hides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, in_every_seed, row, seeds_in
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
BROKEN = 0.95
ZERO, REST = 0.01, 0.05
"""Share of gradients that are exactly zero, and of accuracy that is left between losses, without masked gradients."""
NEAR = 0.8
"""Ratio of two distances that hardly differ, either way round."""
MIDDLE = f"{RADII[1]:g}"


@row(__file__)
class DistillationPaper(Paper):
    """Does defensive distillation blunt FGSM, and does Carlini and Wagner's attack go past it?

    An undefended network, a teacher trained at T = 40 and a student distilled from it at the same T, on Fashion-MNIST;
    `--data cifar10` for the publication's. FGSM on the cross-entropy stands beside the same step at a temperature, on
    the margin, and PGD. With models of one's own, given as `UNDEFENDED|DISTILLED`, two trained networks are compared.
    """

    seeds: PositiveInt = Field(description="networks of each kind")
    train: PositiveInt = Field(description="training images, a stratified subset")
    test: PositiveInt = Field(description="test images for clean accuracy, those to attack among them")
    attacked: PositiveInt = Field(description="images of linf attacks")
    nearest: PositiveInt = Field(description="images of Carlini and Wagner's attack")
    epochs: PositiveInt = Field(description="of the undefended network's training")
    longer: PositiveInt = Field(description="of the teacher's and the student's")
    temperature: PositiveFloat = Field(description="T of teacher and student, and of the tempered loss")
    lr: PositiveFloat = Field(description="largest learning rate of all three")
    cw_steps: PositiveInt = Field(description="steps of Adam in each run of Carlini and Wagner's attack")
    cw_searches: PositiveInt = Field(description="its runs, each with another weight c")
    cw_step_size: PositiveFloat = Field(description="its step size, in tanh space")
    cw_initial_c: PositiveFloat = Field(description="its first weight c")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        return [*super().judge(measured), *in_every_seed(measured, self._of_one_seed)]

    def _of_one_seed(self, measured: Mapping[str, Any]) -> list[Check]:
        gains, masking = measured["student_minus_plain"], measured[STUDENT]["masking"][MIDDLE]
        checks = [self._broken(measured[STUDENT]["cw"]["success"])]
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
