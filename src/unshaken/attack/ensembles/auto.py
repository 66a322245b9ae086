"""Auto: inspects the model first, then chooses the attacks that can break it, the cheapest first."""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt
from torch import Tensor
from typing_extensions import override

from unshaken.attack.black_box.hop_skip_jump import HopSkipJump
from unshaken.attack.black_box.square import Square
from unshaken.attack.black_box.substitution import Substitution
from unshaken.attack.engine.attack_run import ZERO_GRADIENT, AttackContext, Phase
from unshaken.attack.engine.ball import finite_part
from unshaken.attack.engine.base import BudgetedAttack
from unshaken.attack.engine.bpda import SmoothedModel, lead_around
from unshaken.attack.engine.losses import CrossEntropy, Margin
from unshaken.attack.ensembles.autoattack import EOT
from unshaken.attack.gradient.apgd import APGD
from unshaken.attack.minimal_norm.fab import FAB
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.device import widen
from unshaken.core.errors import ParameterError
from unshaken.core.flag import Flag
from unshaken.core.oracle import required
from unshaken.core.query import Gradient
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.trust import RANDOMNESS, answer_gap


@register("auto", reference="Carlini et al. 2019, arXiv:1902.06705", needs=("labels",))
class Auto(BudgetedAttack):
    """Automatic attack: inspects the model, chooses suitable attacks, and stays within a compute budget.

    An inspection on the run's first samples tells whether the model has gradients, whether they are zero, whether its
    answers are random and how many classes there are. Where all is well the phases are those of AutoAttack. Where the
    cross-entropy's gradient vanishes, losses that do not saturate and attacks that ask for no gradient come first;
    where none reaches the images, the backward pass is led around the layer that stops it (BPDA); where gradients of
    neighbouring points disagree, that of the model behind noise is followed; what withstands both is attacked on a
    surrogate that learned the model's answers; a random model is attacked through its
    randomness (EoT); a black box by its scores, then by its decisions; a model that rejects what it doubts also by
    examples far beyond the boundary. The reason of a phase names the trust flag that led to it.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"labels"})

    passes: NonNegativeInt = Field(
        default=0, description="maximum number of forward and backward passes per sample; 0 for no limit"
    )
    seconds: NonNegativeFloat = Field(
        default=0.0,
        description="maximum number of seconds for the whole run, estimated from the first passes; 0 for no limit",
    )
    mode: Literal["strict", "fast"] = Field(
        default="strict", description="strict: float32; fast: search in bfloat16 first"
    )
    steps: int = Field(default=100, ge=1, description="gradient steps of APGD and FAB")
    queries: int = Field(default=5000, ge=1, description="queries of Square")

    @override
    def most_passes(self, classes: int) -> int | None:
        targeted = APGD(loss=_targeted(classes), steps=self.steps)
        searches = (
            APGD(steps=self.steps),
            targeted,
            FAB(targeted=True, steps=self.steps),
            Square(queries=self.queries),
        )
        return self.passes or sum(sum(search.cost(classes)) for search in searches)

    @override
    def phases(self, context: AttackContext) -> tuple[Sequence[Phase], Sequence[Flag]]:
        inspection = inspect_model(context)
        chosen = self._chosen(context, inspection)
        if context.oracle.model.reject is not None and inspection.gradient:
            far = Phase(  # far into another class, whatever alarm is raised on the way
                APGD(loss="margin", steps=self.steps),
                "apgd-far",
                restart=1,
                why="detectors that look for doubt let confident mistakes through",
                draws=chosen[0].draws,
                avoid_rejection=False,
            )
            chosen.insert(1, far)
        if self.mode == "fast" and inspection.gradient and not inspection.random:
            chosen = [s if s.search.needs != {"gradient"} else replace(s, precision="bf16") for s in chosen]
            finish = APGD(loss=_targeted(context.classes), steps=20)
            chosen.append(Phase(finish, "finish", restart=1, why="float32 finish for those who survived bfloat16"))
        return self._within(chosen, self._allowed(context, inspection), context), _doubts(inspection)

    def _chosen(self, context: AttackContext, inspection: Inspection) -> list[Phase]:
        square = Square(queries=self.queries)
        ce, dlr = APGD(steps=self.steps), APGD(loss="dlr" if context.classes >= 3 else "margin", steps=self.steps)
        if inspection.random:
            draws = context.oracle.draws if context.oracle.draws > 1 else EOT
            why = f"{RANDOMNESS.name}: {inspection.words}: answers and gradients averaged over {draws} passes"
            found = [Phase(ce, "apgd-ce", why=why, draws=draws), Phase(dlr, "apgd-dlr", why=why, draws=draws)]
            if not inspection.gradient:
                found = [*self._bridged(inspection, draws), *self._surrogate(context, inspection, draws)]
            fewer = Square(queries=max(1, self.queries // 5))
            return [*found, Phase(fewer, "square", why=why, draws=draws)]
        if not inspection.gradient:
            flag = f"{ZERO_GRADIENT.name}: " if inspection.dead else ""
            found = [Phase(square, "square", why=f"{flag}{inspection.words}: its scores are searched")]
            around = [*self._bridged(inspection), *self._surrogate(context, inspection)]
            return [*around, *found, *self._decisions(context, "and then its decisions alone")]
        targeted = APGD(loss=_targeted(context.classes), steps=self.steps)
        if inspection.masked:
            why = f"{ZERO_GRADIENT.name}: {inspection.words}: a loss that does not saturate"
            found = [Phase(dlr, "apgd-dlr", why=why), Phase(targeted, "apgd-t", why=why)]
            return [
                *found,
                *self._smoothed(context, inspection),
                Phase(square, "square", why="gradients may be masked"),
                *self._decisions(context, "the same"),
            ]
        fab = FAB(targeted=True, steps=self.steps)
        return [
            Phase(ce, "apgd-ce", why=f"{inspection.words}: the cheapest strong attack"),
            Phase(targeted, "apgd-t", why="towards each of the likeliest other classes"),
            *self._smoothed(context, inspection),
            Phase(fab, "fab-t", why="for examples near the boundary that ascent steps over"),
            Phase(square, "square", why="without gradients, lest these mislead"),
        ]

    def _bridged(self, inspection: Inspection, draws: int | None = None) -> list[Phase]:
        """BPDA, where the inspection found a way around what stops the gradient."""
        if inspection.around is None:
            return []
        why = f"{ZERO_GRADIENT.name}: {inspection.words}: the backward pass takes {inspection.around.name}"
        search = APGD(loss="margin", steps=self.steps)
        return [Phase(search, "bpda", why=why, draws=draws, surrogate=inspection.around, same_answers=True)]

    def _smoothed(self, context: AttackContext, inspection: Inspection) -> list[Phase]:
        """The gradient of the model behind noise, where its own is shattered."""
        if not inspection.shattered or context.reference is None:
            return []
        sigma = _per_pixel(context) / 2
        net = SmoothedModel(context.oracle.model, sigma=sigma, patterns=EOT, seed=context.seed)
        surrogate = Classifier(net, name="smoothed", reject=context.oracle.model.reject).eval()
        why = f"{inspection.words}: the gradient of the model behind {EOT} draws of noise of {sigma:.2g}"
        search = APGD(loss="margin", steps=self.steps)
        smooth = Phase(search, "apgd-smooth", restart=2, why=why, draws=EOT, surrogate=surrogate)
        return [smooth, *self._surrogate(context, inspection)]

    def _surrogate(self, context: AttackContext, inspection: Inspection, draws: int | None = None) -> list[Phase]:
        """A network that learns the model's answers once samples get that far; not where the model is a black box."""
        if not context.oracle.model.differentiable:
            return []

        def fit() -> Classifier:
            learner = Substitution(shift=_per_pixel(context))
            trained: tuple[Classifier, float] = context.once((learner, context.seed), lambda: learner.train(context))
            return trained[0]

        why = f"{inspection.words}: a surrogate that learned the model's answers gives the direction"
        return [Phase(APGD(loss="margin", steps=self.steps), "surrogate", restart=3, why=why, draws=draws, fit=fit)]

    def _decisions(self, context: AttackContext, why: str) -> list[Phase]:
        return [Phase(HopSkipJump(), "hop-skip-jump", why=why)] if context.norm in HopSkipJump.info.norms else []

    def _allowed(self, context: AttackContext, inspection: Inspection) -> float:
        """Passes allowed per sample."""
        allowed, reference = float(self.passes or math.inf), context.reference
        samples = context.samples or (0 if reference is None else len(reference))
        if self.seconds and samples:
            allowed = min(allowed, self.seconds / samples / inspection.seconds_a_pass)
        return allowed

    def _within(self, phases: list[Phase], allowed: float, context: AttackContext) -> list[Phase]:
        """The phases, those that would exceed the budget marked as left out."""
        left, found = allowed, []
        costs = [(phase.draws or 1) * sum(phase.search.cost(context.classes)) for phase in phases]
        for phase, most in zip(phases, costs, strict=True):
            if most > left:
                why = f"left out: up to {most:,} passes a sample, {int(left):,} are left of the budget"
                found.append(replace(phase, why=why, skip=True, whole=sum(costs)))
            else:
                left -= most
                found.append(phase)
        if all(phase.skip for phase in found):
            place, short = _shortened(phases, allowed, context.classes)
            found[place] = replace(short, whole=sum(costs))
        return found


def _shortened(phases: Sequence[Phase], allowed: float, classes: int) -> tuple[int, Phase]:
    """The first phase of which the whole budget pays for a part, with as many steps or queries as that is."""
    for place, phase in enumerate(phases):
        length, asked = _length(phase), int(getattr(phase.search, _length(phase)))
        if count := bisect_right(range(1, asked + 1), allowed, key=partial(_cost, phase, classes=classes)):
            search = phase.search.model_copy(update={length: count})
            why = f"shortened to {count} of {asked} {length}: the budget pays for no more"
            return place, replace(phase, search=search, why=why)
    least = min(_cost(phase, 1, classes) for phase in phases)
    raise ParameterError(
        f"the budget, {int(allowed):,} passes a sample, pays for no attack: the cheapest takes {least:,}"
    )


def _length(phase: Phase) -> str:
    return "queries" if "queries" in type(phase.search).model_fields else "steps"


def _cost(phase: Phase, count: int, classes: int) -> int:
    """Passes per sample of a phase of `count` steps or queries."""
    return (phase.draws or 1) * sum(phase.search.model_copy(update={_length(phase): count}).cost(classes))


def _doubts(inspection: Inspection) -> list[Flag]:
    if not inspection.dead:
        return []
    text = f"auto: {inspection.words}: attacks that follow it are blind; see what the attacks without it broke"
    return [ZERO_GRADIENT.flag(text, inspection.dead)]


def _targeted(classes: int) -> Literal["dlr-targeted", "margin-targeted"]:
    return "dlr-targeted" if classes >= 4 else "margin-targeted"


RANDOM = 1e-4
"""Largest gap between normalised logits of the same image that is put down to rounding."""
VANISHING = 0.01
"""Share of samples without a gradient from which it counts as masked."""
NEIGHBOUR_NOISE = 0.01
"""Standard deviation of the noise, in [0, 1] pixel units, between an image and the point beside it."""
SHATTERED = 0.75
"""Median cosine of the gradients at an image and beside it, below which they are shattered. Over ten parts of 16 demo
images it is 0.87 to 0.95 on `demo:standard`, also with scaled logits, and on `demo:robust`; 0.21 to 0.68 on
`museum:anti_adversary` and `detector`, and behind waves of height 0.01 and period 0.031 or less."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """Result of inspecting a model.

    Args:
        gradient: some gradient comes through.
        random: the same image gets different answers.
        masked: the cross-entropy's gradient is zero for more than 1 % of the samples.
        words: the same for a person.
        seconds_a_pass: wall time of one image's pass.
        dead: samples whose cross-entropy has a zero gradient.
        shattered: the gradients at an image and beside it point elsewhere.
        around: where no gradient comes through, a surrogate with the same answers and one that does; None without.
    """

    gradient: bool
    random: bool
    masked: bool
    words: str
    seconds_a_pass: float
    dead: tuple[str, ...] = ()
    shattered: bool = False
    around: Classifier | None = None


def inspect_model(context: AttackContext) -> Inspection:
    """Inspect a model by some forward and two backward passes on the run's first samples.

    Raises:
        ParameterError: there are no samples.
    """
    batch, oracle = context.reference, context.oracle
    if batch is None or not len(batch):
        raise ParameterError("auto: there are no samples to inspect the model with")
    few = batch.images[:16]
    gap = answer_gap(oracle, few)
    random = gap > RANDOM
    began = time.perf_counter()
    oracle.exact(batch.images)
    seconds = (time.perf_counter() - began) / len(batch)
    if not oracle.model.differentiable:
        return Inspection(False, random, False, "the model gives no gradients", seconds)
    labels = required(batch.labels)
    gradients = [
        finite_part(required(oracle.ask(Gradient(batch.images, of=loss)).gradient)).flatten(1)
        for loss in (CrossEntropy(labels), Margin(labels, False))
    ]
    dead, blocked = (gradient.abs().amax(1) == 0 for gradient in gradients)
    share, some = float(widen(dead).mean()), not bool(blocked.all())
    around, cosine = None, 1.0
    if not some:
        around = context.once(("auto", "bpda", context.seed), lambda: lead_around(oracle, batch, context.seed))
    elif not random:
        cosine = _gradient_agreement(context, batch[slice(0, 16)], gradients[1][:16])
    if random:
        words = f"answers to the same image differ by up to {gap:.2g}"
    elif not some:
        words = "no gradient reaches the images: something on the way has none"
    elif share > VANISHING:
        words = f"the gradient of the cross-entropy is zero on {share:.0%} of the samples"
    elif cosine < SHATTERED:
        words = f"gradients at an image and beside it disagree (cosine {cosine:.2f})"
    else:
        words = "gradients come through"
    ids = tuple(name for name, gone in zip(batch.ids, dead.tolist(), strict=True) if gone)
    return Inspection(some, random, share > VANISHING, words, seconds, ids, cosine < SHATTERED, around)


def _gradient_agreement(context: AttackContext, batch: Batch, gradient: Tensor) -> float:
    """Median cosine of the margin's gradients at images, `[N, D]`, and at points beside them.

    These are so near whatever the budget is: further away the gradient of any model is another.
    """
    noise = SampleRng.of(context.seed, "auto", batch.ids).to(batch.images.device).normal(*batch.images.shape[1:])
    points = (batch.images + min(NEIGHBOUR_NOISE, _per_pixel(context) / 4) * noise).clamp(0, 1)
    loss = Margin(required(batch.labels), False)
    neighbour = finite_part(required(context.oracle.ask(Gradient(points, of=loss)).gradient))
    return float(torch.cosine_similarity(gradient, neighbour.flatten(1)).median())


def _per_pixel(context: AttackContext) -> float:
    """The budget as a change of every pixel alike; under l2 and l1 one of the same norm."""
    pixels = required(None if context.reference is None else context.reference.images)[0].numel()
    return context.eps / {"linf": 1.0, "l2": math.sqrt(pixels), "l1": float(pixels)}[context.norm]
