"""UAP: one perturbation for all images, fitted on other images by DeepFool."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field, PositiveInt, PrivateAttr
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.attack_run import AttackContext, Phase
from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.base import Attack, Candidate
from unshaken.attack.engine.example_images import example_images
from unshaken.attack.engine.problem import Problem
from unshaken.attack.minimal_norm.deepfool import DeepFool
from unshaken.core.boxes import boxed
from unshaken.core.classifier import predict
from unshaken.core.errors import ParameterError
from unshaken.core.flag import Flag
from unshaken.core.oracle import Oracle
from unshaken.core.query import Answer, Logits
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State


def fooling_rate(oracle: Oracle, images: Tensor, perturbation: Tensor) -> float:
    """The share of images whose predicted class one perturbation changes, `mean[k(x + v) != k(x)]`.

    Args:
        oracle: runs the model.
        images: `[N, C, H, W]` in [0, 1].
        perturbation: v `[1, C, H, W]`; x + v is clipped to [0, 1].
    """
    changed = predict(oracle.exact(boxed(images + perturbation))) != predict(oracle.exact(images))
    return int(changed.sum()) / len(images)


def fit_perturbation(
    oracle: Oracle, images: Tensor, *, norm: str, eps: float, search: DeepFool, passes: int, rate: float, seed: int
) -> Tensor:
    """Algorithm 1 of the paper: `v <- P(v + r_i)`, where DeepFool's r_i moves x_i + v out of the class of x_i.

    Args:
        oracle: runs the model and counts its passes.
        images: `[N, C, H, W]` in [0, 1].
        norm: `linf` or `l2`, of the ball that P projects to.
        eps: its radius, in [0, 1] pixel units.
        search: finds r_i, of the least l2 norm.
        passes: over the images at most.
        rate: share of images, above which no further pass is made.
        seed: of the order of the images in each pass.

    Returns:
        v, `[1, C, H, W]`.
    """
    classes = predict(oracle.exact(images))
    v = torch.zeros_like(images[:1])
    stream = SampleRng.of(seed, "uap/fit", ("order",)).to(images.device)
    for number in range(passes):
        for i in stream.fold(number).fresh(len(images))[0].argsort(stable=True).tolist():
            x = boxed(images[i : i + 1] + v)
            logits = oracle.exact(x)
            if bool(predict(logits) != classes[i]):
                continue
            problem = Problem(Ball.of(x, x.new_full((1,), math.inf), "l2"), classes[i : i + 1], False, logits)
            state = search.start(problem, stream)
            while not bool(search.done(state).all()):
                state = search.tell(state, oracle.ask(search.ask(state)))
            if bool(state.fooled):
                v = v + state.x - x
                v = v.clamp(-eps, eps) if norm == "linf" else v * (eps / v.norm().clamp_min(1e-30)).clamp_max(1.0)
        if fooling_rate(oracle, images, v) > rate:
            break
    return v


@dataclass(frozen=True, slots=True)
class UniversalPerturbation:
    """A perturbation.

    Args:
        v: `[1, C, H, W]`.
        eps: of the ball that it was fitted in.
        fitted_on: pixels of the images that it was fitted on and that must not be measured.
    """

    v: Tensor
    eps: float
    fitted_on: frozenset[bytes]


class UAPState(State):
    """One row a sample: the image with the perturbation."""

    x: Tensor


@register("uap", title="UAP", reference="Moosavi-Dezfooli et al. 2017, arXiv:1610.08401")
class UAP(Attack[UAPState]):
    """UAP: one universal perturbation for all images, `x <- P(x + v)`, fitted on other images by DeepFool.

    v is fitted in the largest budget, on the first images of `fit`, which must not be among those that are
    measured, and scaled to smaller budgets; labels are not used. It goes through these images one after the
    other: where x + v is still of the class of x, v grows by DeepFool's least l2 move out of it, and is
    projected to the ball. Without `fit` it is fitted on the run's first samples (outside a run on the samples
    themselves), which are then measured too and so do not show how well it generalises. The passes of the fit
    count in the run's cost and not in that of samples. Of images that are classified rightly the fooling rate
    is `1 - robust accuracy / clean accuracy`; `fooling_rate` takes all.
    """

    norms: ClassVar[tuple[str, ...]] = ("linf", "l2")
    reaches_targets: ClassVar[bool] = False

    fit: str = Field(default="", description="SPEC of images to fit on, other than the measured; empty for the run's")
    images: PositiveInt = Field(default=500, description="number of images to fit on, the first ones")
    passes: PositiveInt = Field(default=10, description="maximum number of passes over them")
    fooling_rate: float = Field(
        default=0.8, gt=0, le=1, description="share of them to change the class of, above which the fit ends"
    )
    steps: PositiveInt = Field(default=50, description="maximum number of steps of DeepFool for one image")
    overshoot: float = Field(default=0.02, ge=0, description="relative overshoot of DeepFool")
    _fitted: UniversalPerturbation | None = PrivateAttr(default=None)

    @override
    def phases(self, context: AttackContext) -> tuple[Sequence[Phase], Sequence[Flag]]:
        copy = self.model_copy()
        key = ("uap", self.model_dump_json(), context.norm, context.eps)
        copy._fitted = context.once(key, lambda: self._fit(context))
        why = f"fitted on {self.fit}" if self.fit else "fitted on the run's first samples, which are measured too"
        return [Phase(copy, "uap", why=why)], []

    def _fit(self, context: AttackContext) -> UniversalPerturbation:
        images = example_images(context, self.fit, "uap: fit", self.images)
        search = DeepFool(steps=self.steps, overshoot=self.overshoot, candidates=min(10, context.classes))
        v = fit_perturbation(
            context.oracle, images, norm=context.norm, eps=context.eps, search=search, passes=self.passes,
            rate=self.fooling_rate, seed=context.seed,
        )  # fmt: skip
        return UniversalPerturbation(v, context.eps, frozenset(map(_pixels, images)) if self.fit else frozenset())

    @override
    def start(self, problem: Problem, rng: SampleRng) -> UAPState:
        if self._fitted is None:
            raise ParameterError("uap: it is fitted by attack(), not searched for one sample at a time")
        ball, fitted_on = problem.ball, self._fitted.fitted_on
        if fitted_on and any(_pixels(image) in fitted_on for image in ball.clean):
            raise ParameterError(
                f"uap: fit={self.fit!r} has images that are measured too: give others, such as another split"
            )
        return UAPState(ball.project(ball.clean + self._fitted.v * (ball.radius / self._fitted.eps)))

    @override
    def ask(self, state: UAPState) -> Logits:
        return Logits(state.x)

    @override
    def tell(self, state: UAPState, answer: Answer) -> UAPState:
        return state

    @override
    def done(self, state: UAPState) -> Tensor:
        return torch.ones(len(state.x), dtype=torch.bool, device=state.x.device)

    @override
    def result(self, state: UAPState) -> Candidate:
        return Candidate(state.x)

    @override
    def cost(self, classes: int) -> tuple[int, int]:
        return 0, 0


def _pixels(image: Tensor) -> bytes:
    return image.cpu().contiguous().numpy().tobytes()
