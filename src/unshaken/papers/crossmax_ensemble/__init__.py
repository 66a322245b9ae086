"""`crossmax-ensemble`: CrossMax, attacked carelessly and honestly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from unshaken.core.registry import register
from unshaken.papers.frame import Check, Paper, pilot, seeds_in

FIVE = "five-cnns"
VOTES = ("mean", "crossmax", "median", "no-second")
EPS = {"8": 8 / 255, "25.5": 0.1}
"""Radii by their size in steps of 8-bit pixels."""


@register("crossmax-ensemble", reference="Fort & Lakshminarayanan 2024, arXiv:2408.05446")
class CrossMaxPaper(Paper):
    """Is a vote by CrossMax more robust than the mean of the same networks, and does that hold under transfer?

    Five small networks on Fashion-MNIST, each with training images of its own, two seeds; PGD with 50 steps on the mean
    and on CrossMax, each judged on the examples of both. With networks of one's own, given as `A|B|C`, these instead.
    """

    title: ClassVar[str] = "Ensemble everything everywhere: Multi-scale aggregation for adversarial robustness"
    claim: ClassVar[str] = (
        "An ensemble that votes by CrossMax is far more robust than the mean of the same networks when both are "
        "attacked directly; by the follow-up (Zhang et al. 2024) this is gradient masking, and examples made on the "
        "mean undo it."
    )
    summary: ClassVar[str] = "CrossMax voting looks far more robust than the mean of the networks, by hiding gradients."
    rule: ClassVar[str] = (
        "Reproduced if, in every seed and at both radii (8/255 and 0.1): (1) CrossMax attacked directly is right more "
        "often than the mean attacked directly, and (2) on the examples made on the mean it keeps at most half of that "
        "advantage."
    )
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "ten networks at 6/255, targeted PGD (Jordan): on CrossMax, CrossMax 77.8 and mean 78.4; on "
        "the mean, CrossMax 2.2 and mean 2.4. Abstract: 72 and 48 on CIFAR-10 and CIFAR-100 by AutoAttack, 11 and 14 "
        "by the adaptive attack of the follow-up, all in %",
        **pilot(
            "clean.mean 0.913, clean.crossmax 0.923, eps-8.direct.mean 0.627, eps-8.direct.crossmax 0.837, "
            "eps-8.crossmax_on_examples_of_mean 0.637, eps-8.mean_on_examples_of_crossmax 0.84, eps-8.direct.median "
            "0.563, eps-8.direct.no-second 0.607, eps-25.5.direct.mean 0.033, eps-25.5.direct.crossmax 0.757, "
            "eps-25.5.crossmax_on_examples_of_mean 0.047, eps-25.5.mean_on_examples_of_crossmax 0.757, "
            "eps-25.5.direct.median 0.027, eps-25.5.direct.no-second 0.033",
            "seed0",
        ),
        **pilot(
            "clean.mean 0.91, clean.crossmax 0.927, eps-8.direct.mean 0.647, eps-8.direct.crossmax 0.84, "
            "eps-8.crossmax_on_examples_of_mean 0.643, eps-8.mean_on_examples_of_crossmax 0.84, eps-8.direct.median "
            "0.557, eps-8.direct.no-second 0.617, eps-25.5.direct.mean 0.053, eps-25.5.direct.crossmax 0.733, "
            "eps-25.5.crossmax_on_examples_of_mean 0.053, eps-25.5.mean_on_examples_of_crossmax 0.737, "
            "eps-25.5.direct.median 0.04, eps-25.5.direct.no-second 0.05",
            "seed1",
        ),
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "seed*.eps-25.5.advantage_direct": ("Advantage of CrossMax at 0.1, each vote attacked directly", "accuracy"),
        "seed*.eps-25.5.advantage_transfer": ("What is left of it on examples made on the mean", "accuracy"),
        "seed*.eps-25.5.direct.crossmax": ("CrossMax at 0.1, attacked directly", "accuracy"),
        "seed*.eps-25.5.direct.mean": ("Mean at 0.1, attacked directly", "accuracy"),
        "seed*.eps-25.5.crossmax_under.adaptive": ("CrossMax at 0.1, best of all attacks", "accuracy"),
        "seed*.eps-8.advantage_direct": ("Advantage of CrossMax at 8/255, attacked directly", "accuracy"),
        "seed*.eps-8.advantage_transfer": ("What is left of it on examples made on the mean", "accuracy"),
        "seed*.eps-8.crossmax_under.adaptive": ("CrossMax at 8/255, best of all attacks", "accuracy"),
        "seed*.clean.crossmax": ("CrossMax, clean images", "accuracy"),
        "seed*.clean.mean": ("Mean, clean images", "accuracy"),
    }
    differs: ClassVar[Sequence[str]] = (
        "Five small networks on Fashion-MNIST vote. The multi-resolution input and the heads on layers are part of "
        "the package, not of this experiment.",
        "Reproduced means that the vote looks robust and is not: the follow-up's claim is tried with the paper's.",
    )
    data: ClassVar[str] = "fashion-mnist"
    model: ClassVar[str] = FIVE
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "logit_gradients": {"logits": "int32", "reached": "int32", "tied": "bool"}
    }

    photos: PositiveInt = Field(300, description="test images, from the first")
    epochs: PositiveInt = Field(3, description="of each network's training")
    images: PositiveInt = Field(15000, description="training images of each network")
    seeds: PositiveInt = Field(2, description="seeds of training")
    steps: PositiveInt = Field(50, description="of PGD, each a tenth of the radius")

    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        """See `rule`."""
        checks = []
        for name, part in seeds_in(measured):
            for label, eps in EPS.items():
                at = part[f"eps-{label}"]
                mean, cross = (at["direct"][vote]["value"] for vote in ("mean", "crossmax"))
                where = f"{name}, eps {eps:.3f}"
                words = f"{where}: attacked directly, CrossMax {cross:.3f}, mean {mean:.3f}"
                checks.append(Check(words, cross > mean))
                direct, kept = (at[f"advantage_{how}"]["value"] for how in ("direct", "transfer"))
                words = (
                    f"{where}: of an advantage of {direct:+.3f}, {kept:+.3f} is left on the examples made on the mean"
                )
                checks.append(Check(words, direct > 0 and kept <= direct / 2))
        return checks

    def remark(self, measured: Mapping[str, Any]) -> str:
        """How far gradients reach."""
        reach = [part["gradients"]["clean"] for _, part in seeds_in(measured)]
        counts = ", ".join(f"{r['logits_reached']['value']:.1f} of {r['of']}" for r in reach)
        return f"Logits that CrossMax passes a gradient to, on clean images: {counts}."
