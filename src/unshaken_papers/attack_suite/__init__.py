"""`attack-suite`: an ensemble of attacks against PGD alone, what it costs, and what warns of gradients that mislead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, row
from unshaken.papers.effects import complement

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
SHARE = 0.2


@row(__file__)
class AttackSuitePaper(Paper):
    """Does an ensemble of attacks without parameters find what PGD alone does not, and at which cost?

    Small networks on CIFAR-10, standard and adversarially trained, and three defences that mislead gradients.
    """

    seeds: int = Field(ge=2, description="networks of each kind")
    images: PositiveInt = Field(description="training images")
    epochs: PositiveInt = Field(description="of training")
    attacked: PositiveInt = Field(description="test images to attack")
    steps: PositiveInt = Field(description="of PGD, and of APGD and FAB in AutoAttack")
    queries: PositiveInt = Field(description="of Square in AutoAttack")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        checks, saved = super().judge(measured), complement(measured["spent"]["standard"])
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
