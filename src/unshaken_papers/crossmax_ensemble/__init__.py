"""`crossmax-ensemble`: CrossMax, attacked carelessly and honestly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, decide, pilot, seeds_in
from unshaken.papers.effects import scaled, unpaired, values_of

FIVE = "five-cnns"
VOTES = ("mean", "crossmax", "median", "no-second")
EPS = {"8": 8 / 255, "25.5": 0.1}
"""Radii by their size in steps of 8-bit pixels."""
SYSTEM_EPS = 8 / 255


@register("crossmax-ensemble", reference="Fort & Lakshminarayanan 2024, arXiv:2408.05446")
class CrossMaxPaper(Paper):
    """Is a vote by CrossMax more robust than the mean of the same networks, and does that hold under transfer?

    Five small networks on Fashion-MNIST, each with training images of its own; PGD on the mean and on CrossMax, each
    judged on the examples of both. Then the whole system on CIFAR-10: the multi-resolution input in front of a network
    whose layers vote. With networks of one's own, given as `A|B|C`, these vote instead, and there is no such system.
    """

    title: ClassVar[str] = "Ensemble everything everywhere: Multi-scale aggregation for adversarial robustness"
    claim: ClassVar[str] = (
        "An ensemble that votes by CrossMax is far more robust than the mean of the same networks when both are "
        "attacked directly; by the follow-up (Zhang et al. 2024) this is gradient masking, and examples made on the "
        "mean undo it."
    )
    summary: ClassVar[str] = "CrossMax voting looks far more robust than the mean of the networks, by hiding gradients."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "direct-advantage": ClaimPart(
            statement="Attacked directly, CrossMax is more robust than the mean of the same networks.",
            rule="Shown if, in every seed and at both radii (8/255 and 0.1), the interval of CrossMax's paired "
            "advantage, each vote under its own attack, lies above 0; contradicted where one lies below.",
        ),
        "masking": ClaimPart(
            statement="That is gradient masking: examples made on the mean undo it (follow-up).",
            rule="Shown if, in every seed and at both radii, the advantage on the examples made on the mean is below "
            "half of the direct one, their intervals apart; contradicted where they are apart the other way.",
        ),
        "second-subtraction": ClaimPart(
            statement="It comes from subtracting each class's maximum over the networks (follow-up).",
            rule="Shown if, in every seed and at both radii, CrossMax attacked directly is more accurate than the same "
            "vote without that step attacked directly, by the paired interval; contradicted where it is less.",
            central=False,
        ),
        "adaptive-attack": ClaimPart(
            statement="Under attacks that know of this, CrossMax keeps little of its robustness (follow-up).",
            rule="Radius 0.1, where CrossMax looks robust: shown if, in every seed, the best of all attacks leaves it "
            "less than half of its accuracy under direct attack, by the intervals; contradicted where it leaves more.",
        ),
        "robust-classifier": ClaimPart(
            statement="The whole system (noisy copies at several resolutions, votes of a network's own layers) reaches "
            "high accuracy under AutoAttack without adversarial training, 72 % on CIFAR-10.",
            rule="A small network at 8/255, AutoAttack on repeated draws: shown if over the seeds the system keeps "
            "more than half of its clean accuracy, and more accuracy than a plain network of the same layers does "
            "under APGD; contradicted if less than that network.",
        ),
        "adaptive-system": ClaimPart(
            statement="Adaptive attacks bring that system from 62 to 11 % on CIFAR-10 (follow-up).",
            rule="There: shown if over the seeds the best of all attacks that know of the vote (on the mean of the "
            "heads, each head, without the second subtraction, and refined through the vote, gradients averaged over "
            "draws) leaves less than half of what AutoAttack leaves; contradicted if it leaves more than AutoAttack.",
            central=False,
        ),
        "image-generation": ClaimPart(
            statement="Plain gradient ascent on the classifier makes recognisable images.",
            untried="the publication shows pictures and gives no measure.",
            central=False,
        ),
    }
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
        "seed*.system.clean": ("The whole system, clean images", "accuracy"),
        "seed*.system.autoattack": ("The whole system at 8/255, AutoAttack on repeated draws", "accuracy"),
        "seed*.system.under.adaptive": ("The whole system at 8/255, best of all attacks", "accuracy"),
    }
    differs: ClassVar[Sequence[str]] = (
        "Five small networks on Fashion-MNIST vote. The whole system is a small network of three layers on CIFAR-10, "
        "trained from nothing, in the place of a pretrained ResNet-152.",
        "The follow-up's claim, that the vote looks robust and is not, is tried with the paper's.",
    )
    data: ClassVar[str] = "fashion-mnist"
    model: ClassVar[str] = FIVE
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "logit_gradients": {"logits": "int32", "reached": "int32", "tied": "bool"}
    }

    full: ClassVar[Mapping[str, Any]] = {
        "seeds": 5, "photos": 300, "steps": 50, "system_epochs": 8, "system_photos": 80, "system_steps": 24,
    }  # fmt: skip

    photos: PositiveInt = Field(120, description="test images, from the first")
    epochs: PositiveInt = Field(3, description="of each network's training")
    images: PositiveInt = Field(15000, description="training images of each network")
    seeds: PositiveInt = Field(3, description="seeds of training")
    steps: PositiveInt = Field(30, description="of PGD, each a tenth of the radius")
    system_images: PositiveInt = Field(10_000, description="training images of the whole system")
    system_epochs: PositiveInt = Field(5, description="of its network; its heads have one")
    system_photos: PositiveInt = Field(50, description="test images that it is attacked on, others in each seed")
    system_steps: PositiveInt = Field(12, description="of each attack on it; PGD's are a tenth of the radius")
    draws: PositiveInt = Field(4, description="passes whose gradients each adaptive attack on it averages")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        return [
            check
            for name, part in seeds_in(measured)
            for label, eps in EPS.items()
            for check in _votes(f"{name}, eps {eps:.3f}", part[f"eps-{label}"], adaptive=eps == max(EPS.values()))
        ] + _system([part["system"] for _, part in seeds_in(measured) if "system" in part])

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        reach = [part["gradients"]["clean"] for _, part in seeds_in(measured)]
        counts = ", ".join(f"{r['logits_reached']['value']:.1f} of {r['of']}" for r in reach)
        return f"Logits that CrossMax passes a gradient to, on clean images: {counts}."


def _votes(where: str, at: Mapping[str, Any], *, adaptive: bool) -> list[Check]:
    """The checks of one seed and radius."""
    direct, kept, under = at["advantage_direct"], at["advantage_transfer"], at["crossmax_under"]
    alone, mean, bare = (at["direct"][vote] for vote in ("crossmax", "mean", "no-second"))
    words = f"{where}: CrossMax {alone['value']:.3f}, mean {mean['value']:.3f}, paired advantage"
    checks = [decide("direct-advantage", words, direct)]
    words = f"{where}: advantage of {kept['value']:+.3f} left, below half of {direct['value']:+.3f} by"
    checks.append(decide("masking", words, unpaired(scaled(direct, 0.5), kept)))
    words = f"{where}: CrossMax {alone['value']:.3f}, without the step {bare['value']:.3f}, more by"
    checks.append(decide("second-subtraction", words, at["second_subtraction"]))
    if adaptive:
        best = under["adaptive"]
        words = f"{where}: {best['value']:.3f} under the best attack, below half of {alone['value']:.3f} by"
        checks.append(decide("adaptive-attack", words, unpaired(scaled(alone, 0.5), best)))
    return checks


def _system(seeds: Sequence[Mapping[str, Any]]) -> list[Check]:
    """The checks of the whole system; none where it was not run."""
    if not seeds:
        return []

    of = partial(values_of, seeds)
    left, best, one, other = of("autoattack"), of("under", "adaptive"), "robust-classifier", "adaptive-system"
    half, words = left - of("clean") / 2, "accuracy under AutoAttack minus that under the best attack"
    return [
        decide(one, "the system under AutoAttack, beyond half of its clean accuracy", half, opposed_below=-1),
        decide(one, "the system under AutoAttack minus the plain network under APGD", left - of("plain", "attacked")),
        decide(other, f"half of the {words}", left / 2 - best, opposed_below=-1),
        decide(other, words, left - best),
    ]
