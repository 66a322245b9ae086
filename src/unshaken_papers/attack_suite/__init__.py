"""`attack-suite`: an ensemble of attacks against PGD alone, what it costs, and what warns of gradients that mislead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, decide

EPS = 8 / 255
NETS = ("standard", "robust")
MASKED = ("bit_depth", "cold")
"""Defences before the standard network whose gradients are exactly zero, on all images or on most."""
EXPECTED: Mapping[str, tuple[str, ...]] = {
    "standard": (),
    "robust": (),
    "bit_depth": ("zero-gradient",),
    "noise": ("randomness",),
}
"""Network to the warnings that it must raise, and no other of `WARNINGS`."""
WARNINGS = ("zero-gradient", "randomness")
GAP, SHARE = 0.1, 0.2


@register("attack-suite", reference="Croce & Hein 2020, arXiv:2003.01690")
class AttackSuitePaper(Paper):
    """Does an ensemble of attacks without parameters find what PGD alone does not, and at which cost?

    Small networks on CIFAR-10, standard and adversarially trained, and three defences that mislead gradients.
    """

    title: ClassVar[str] = (
        "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free Attacks"
    )
    claim: ClassVar[str] = (
        "AutoAttack, an ensemble of attacks without parameters to tune, leaves networks less accuracy than PGD does, "
        "and reveals defences that PGD takes for robust because their gradients mislead it."
    )
    summary: ClassVar[str] = "AutoAttack leaves less accuracy than PGD, and reveals masked gradients."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "stronger": ClaimPart(
            statement="On an adversarially trained network it leaves less accuracy than PGD.",
            rule="Shown if the accuracy under PGD with as many steps at 8/255 is higher than under AutoAttack, by the "
            "interval over the seeds; contradicted if it is lower.",
        ),
        "masked": ClaimPart(
            statement="It breaks defences that PGD takes for robust because they mask gradients.",
            rule=f"Shown if PGD leaves each of two such defences more than {GAP} of accuracy above AutoAttack, by the "
            "intervals over the seeds; contradicted if it leaves one less.",
        ),
        "cheap": ClaimPart(
            statement="Samples leave when they are fooled, which saves most of the passes on a standard network.",
            rule=f"Shown if AutoAttack spends less than {SHARE:.0%} of its passes on the standard network, by the "
            "interval over the seeds; contradicted if it spends all.",
            central=False,
        ),
        "same-verdict": ClaimPart(
            statement="Leaving when fooled changes no verdict.",
            rule="Shown if every sample that PGD fools at the end of all its steps is fooled by it, too, where fooled "
            "samples leave, on the standard and the robust network of every seed; contradicted if one is not.",
            central=False,
        ),
        "warnings": ClaimPart(
            statement="Zero gradients and randomness are noticed.",
            rule="Shown if in every seed rounded input raises the warning of zero gradients, input with noise that of "
            "randomness, and standard and robust networks neither; contradicted if one is raised without cause.",
            central=False,
        ),
        "peers": ClaimPart(
            statement="The reference implementation gives the same verdicts.",
            untried="it is not installed with this package; `benchmarks/attack_peers.py` compares the two.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "a defence reported at 71.2 % on CIFAR-10 falls to 1.4 %; a robust WideResNet on CIFAR-100 from "
        "37.7 to 36.9 %",
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "gap.robust": ("Adversarially trained: accuracy under PGD minus AutoAttack", "accuracy"),
        "gap.bit_depth": ("Input rounded to 3 bits: accuracy under PGD minus AutoAttack", "accuracy"),
        "gap.cold": ("Logits times 1000: accuracy under PGD minus AutoAttack", "accuracy"),
        "accuracy.robust.clean": ("Adversarially trained, clean", "accuracy"),
        "accuracy.robust.pgd": ("Adversarially trained, PGD", "accuracy"),
        "accuracy.robust.autoattack": ("Adversarially trained, AutoAttack", "accuracy"),
        "accuracy.bit_depth.autoattack": ("Input rounded to 3 bits, AutoAttack", "accuracy"),
        "accuracy.cold.autoattack": ("Logits times 1000, AutoAttack", "accuracy"),
        "spent.standard": ("Standard: passes spent of those of all steps", "share"),
        "spent.robust": ("Adversarially trained: passes spent of those of all steps", "share"),
    }
    differs: ClassVar[Sequence[str]] = (
        "Networks of 52,110 parameters on CIFAR-10; the robust one is trained by N-FGSM.",
        "PGD, APGD and FAB have 20 steps and Square 300 queries, in the place of 100 and 5,000; at the full scale 50 "
        "and 1,000.",
        "Each seed has its own networks, all attacked on the same images.",
    )
    data: ClassVar[str] = "cifar10"
    model: ClassVar[str] = "small-cnn"
    full: ClassVar[Mapping[str, Any]] = {
        "images": 8000, "epochs": 6, "attacked": 100, "steps": 50, "queries": 1000,
    }  # fmt: skip
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {"warnings": {"raised": "bool"}}

    seeds: int = Field(3, ge=2, description="networks of each kind")
    images: PositiveInt = Field(3000, description="training images")
    epochs: PositiveInt = Field(4, description="of training")
    attacked: PositiveInt = Field(40, description="test images to attack")
    steps: PositiveInt = Field(20, description="of PGD, and of APGD and FAB in AutoAttack")
    queries: PositiveInt = Field(300, description="of Square in AutoAttack")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        gap, spent = measured["gap"], measured["spent"]["standard"]
        words = "adversarially trained: accuracy under PGD minus AutoAttack"
        checks = [decide("stronger", words, gap["robust"])]
        for name in MASKED:
            words = f"{name}: accuracy under PGD minus AutoAttack"
            checks.append(decide("masked", words, gap[name], above=GAP, opposed_below=0.0))
        saved = {"value": 1 - spent["value"], **_saved(spent)}
        words = "standard network: share of AutoAttack's passes that is saved"
        checks.append(decide("cheap", words, saved, above=1 - SHARE, opposed_below=0.0))
        for net in NETS:
            lost = measured["lost"][net]
            words = f"{net}: {lost} samples are fooled after all steps and not where fooled samples leave"
            checks.append(Check(words, not lost, "same-verdict", opposed=bool(lost)))
        return checks + self._warnings(measured["warned"])

    def _warnings(self, warned: Mapping[str, Any]) -> list[Check]:
        """Whether each network raises what it must, and nothing else."""
        checks = []
        for net, expected in EXPECTED.items():
            for name in WARNINGS:
                share, due = warned[net][name], name in expected
                words = f"{net}: {name} raised in a share of {share:g} of the seeds, {'all' if due else 'none'} wanted"
                checks.append(Check(words, share == float(due), "warnings", opposed=share > 0 and not due))
        return checks


def _saved(spent: Mapping[str, Any]) -> dict[str, float | None]:
    """The interval of what is saved, from that of what is spent."""
    low, high = spent["low"], spent["high"]
    return {"low": None if high is None else 1 - high, "high": None if low is None else 1 - low}
