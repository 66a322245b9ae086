"""Patch-Fool: Adam on the pixels of the cells that matter most, which may draw attention to themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, PrivateAttr, model_validator
from torch import Tensor, nn
from typing_extensions import override

from unshaken.attack.engine.adam import Adam
from unshaken.attack.engine.ball import TOLERANCE, Ball, distance
from unshaken.attack.engine.base import Candidate
from unshaken.attack.engine.losses import CrossEntropy
from unshaken.attack.engine.problem import Problem
from unshaken.attack.patch.patch import CellAttack, highest_cells
from unshaken.core.batch import Batch
from unshaken.core.classifier import INPUT, Classifier
from unshaken.core.device import widen
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.oracle import Oracle, required
from unshaken.core.query import Answer, Features, Goal, Gradient, Objective, Passes
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State
from unshaken.models.networks.attention import attention_names, attention_of, token_side
from unshaken.stress.patch.patch_corruption import cell_masks, cell_side


class AttentionReader(State):
    """Reads the attention of some layers from what goes into them.

    Args:
        layers: the layers.
        names: of what goes into them, as a query asks for it.
    """

    layers: tuple[nn.Module, ...]
    names: tuple[str, ...]

    @classmethod
    def of(cls, model: Classifier, first: int, end: int) -> AttentionReader:
        """The attention layers `first` to `end - 1` of a model, one at least; the last one where there are fewer.

        Raises:
            ModelError: the model has no attention of a known form.
        """
        names = attention_names(model)
        first = min(first, len(names) - 1)
        chosen = names[first : max(first + 1, end)]
        modules = dict(model.net.named_modules())
        return cls(tuple(modules[n] for n in chosen), tuple(n + INPUT for n in chosen))

    def to_patches(self, answer: Answer, count: int) -> Tensor:
        """Attention of every token to each patch of the image, heads averaged: `[N, L, T, count]`.

        Args:
            answer: with the features of `names`.
            count: number of patches, the last tokens.

        Raises:
            ModelError: the tokens are not those of whole images.
        """
        found = []
        for layer, name in zip(self.layers, self.names, strict=True):
            tokens = (answer.features or {})[name]
            weight = next(layer.parameters())
            maps = attention_of(layer, tokens.to(weight.dtype)).mean(1)
            if tokens.ndim != 3 or maps.shape[-1] < count or len(maps) != len(required(answer.logits)):
                raise ModelError(
                    f"layer {name.removesuffix(INPUT)!r} does not attend to all {count} patches of an image"
                )
            found.append(maps[..., -count:])
        return torch.stack(found, 1)


class AttentionToCells(Objective):
    """The mean log-attention of all tokens to some patches, by layer `[N, L]`, to rise: `mean_q log sum_t A_l[q, t]`.

    Args:
        cells: bool `[N, P]`, the patches.
        reader: of the layers l.
    """

    cells: Tensor
    reader: AttentionReader

    @override
    def __call__(self, answer: Answer) -> Tensor:
        maps = self.reader.to_patches(answer, self.cells.shape[1])
        share = (maps * self.cells[:, None, None].to(maps)).sum(-1)
        return share.clamp_min(torch.finfo(share.dtype).tiny).log().mean(-1)


class GradientWithOthers(Gradient):
    """The gradient of an objective, and in `slopes` those of L others, all from one forward pass.

    Args:
        others: gives `[N, L]` from an answer with features of `layers`.
    """

    others: Objective | None = None

    @override
    def evaluate(self, passes: Passes, goal: Goal | None) -> Answer:
        """A forward pass; then, unless the goal is met for all rows, a backward pass for each objective.

        For a model with randomness of its own all are means of `passes.draws` passes (EoT).
        """
        points = self.points.detach().requires_grad_(True)
        sums: list[Tensor] = []
        stopped: Tensor | None = None
        for draw in range(passes.draws):
            with torch.enable_grad():
                logits, features = passes.forward(points, self.layers)
                if draw == 0 and goal is not None:
                    with passes.method():
                        stopped = goal(self.points, logits.detach()).cpu()
                    if bool(stopped.all()):
                        return self._detached_answer(logits, {}, stopped=stopped, cut=stopped)
                with passes.method():
                    answer = Answer(logits=logits, features=features)
                    value, others = self.of(answer), _given(self.others)(answer)
            gradient = passes.gradient(value, points, keep=True)
            last = others.shape[1] - 1
            slopes = [passes.gradient(others[:, i], points, keep=i < last) for i in range(last + 1)]
            new = [gradient, torch.stack(slopes, 1), value.detach(), logits.detach()]
            sums = [a + b for a, b in zip(sums, new, strict=True)] if sums else new
        gradient, others, value, logits = sums if passes.draws == 1 else [s / passes.draws for s in sums]
        return self._detached_answer(logits, {}, value=value, gradient=gradient, slopes=others, stopped=stopped)


def without_conflict(gradient: Tensor, other: Tensor) -> Tensor:
    """PCGrad: a gradient less its component against another one, where the two conflict.

    `g - (g.o / |o|^2) o` where `g.o < 0`, else g.

    Args:
        gradient: `[N, ...]`.
        other: as `gradient`.

    Source: Yu et al. 2020, arXiv:2001.06782.
    """
    g, o = gradient.flatten(1), other.flatten(1)
    along = (g * o).sum(1, keepdim=True).clamp_max(0) / o.square().sum(1, keepdim=True).clamp_min(1e-30)
    return (g - along * o).view_as(gradient)


def cells_of(mask: Tensor, side: int) -> Tensor:
    """The patches of a transformer that a mask touches, bool `[N, P]`.

    Args:
        mask: bool `[N, 1, H, W]`.
        side: of a patch in pixels.
    """
    return F.max_pool2d(mask.float(), side).flatten(1) > 0


def _given(objective: Objective | None) -> Objective:
    if objective is None:
        raise ModelError("a query for further gradients needs their objective")
    return objective


class SmallPatch(Ball):
    """Pixels under a mask are free as long as the change of the image is of bounded l2 norm, `eps`."""

    @override
    def contains(self, x: Tensor) -> Tensor:
        return super().contains(x) & (distance(x, self.clean, "l2") <= widen(self.eps) * (1 + TOLERANCE))

    @override
    def project(self, x: Tensor) -> Tensor:
        x = super().project(x)
        length = distance(x, self.clean, "l2").to(x)
        share = (self.eps * (1 - TOLERANCE) / length.clamp_min(1e-30)).clamp_max(1).view(-1, 1, 1, 1)
        return super().project(torch.where(share < 1, self.clean + share * (x - self.clean), x))

    @override
    def random_point(self, rng: SampleRng) -> Tensor:
        return self.project(super().random_point(rng))


def patch_ball(clean: Tensor, mask: Tensor, *, linf: float = 0.0, l2: float = 0.0) -> Ball:
    """The images that differ from a clean one under a mask alone.

    Args:
        clean: `[N, C, H, W]` in [0, 1].
        mask: bool `[N, 1, H, W]`.
        linf: largest change of a pixel; 0 for any.
        l2: largest l2 norm of the change; 0 for any.
    """
    free = Ball.region(clean, mask)
    if linf:
        near = Ball.of(clean, clean.new_full((len(clean),), linf), "linf")
        return free.replace(lower=torch.where(mask, near.lower, clean), upper=torch.where(mask, near.upper, clean))
    if l2:
        return SmallPatch(clean, clean.new_full((len(clean),), l2), free.lower, free.upper, "region")
    return free


MASK_RATE = 0.01
"""Adam's step size for the scores of pixels, in the sparse variant."""


class PatchFoolState(State):
    """One row a sample.

    Args:
        problem: its task.
        mask: bool `[N, 1, H, W]`, the pixels of the patch.
        delta: the clean image with the patch in it.
        x: the same with the patch where `chosen` alone.
        adam: moments of the patch.
        scores: `[N, 1, H, W]`; the sparse variant changes the pixels of the highest.
        score_adam: moments of the scores.
        chosen: bool `[N, 1, H, W]`, the pixels that are changed.
        tokens: bool `[N, P]`, the transformer's patches under the mask.
        step: steps made.
    """

    problem: Problem
    mask: Tensor
    delta: Tensor
    x: Tensor
    adam: Adam
    scores: Tensor
    score_adam: Adam
    chosen: Tensor
    tokens: Tensor
    step: Tensor


@register("patch-fool", reference="Fu et al. 2022, arXiv:2203.08392")
class PatchFool(CellAttack[PatchFoolState]):
    """Patch-Fool: Adam on the pixels of the cells that matter most, one patch per image.

    The cells are those with the largest gradient, those that a vision transformer attends to most, or random ones.
    With `attention` above 0 (published: 0.002) the patch also draws the transformer's attention: for each layer l of
    the first half but the first, the gradient of `mean_q log A_l[q, patch]`, less what conflicts with that of the
    cross-entropy (PCGrad), is added with this weight. `pixels` is the sparse variant, which learns which pixels of the
    cells to change (straight-through, `delta - x` as the slope of a pixel's score); `linf` and `l2` are the mild ones.

    The published step size is 0.22 in units of ImageNet's deviation, about 0.05 of the pixel range, and its l2 bound
    holds for each channel; here it holds for the image.
    """

    choose: Literal["saliency", "attention", "random"] = Field(
        default="saliency", description="which cells to attack; attention needs a vision transformer"
    )
    layer: NonNegativeInt = Field(
        default=4, description="for choose=attention: attention layer, from 0; the last one where there are fewer"
    )
    attention: NonNegativeFloat = Field(
        default=0.0, description="weight of the attention to the patch; above 0 it needs a vision transformer"
    )
    steps: NonNegativeInt = Field(default=250, description="steps of Adam; 0 leaves the start as it is")
    step_size: PositiveFloat = Field(default=0.05, description="first step size, in [0, 1] pixel units")
    decay: float = Field(
        default=0.95, gt=0, le=1, description="factor of the step size after every `decay_steps` steps"
    )
    decay_steps: PositiveInt = Field(default=10, description="steps between two decays of the step size")
    pixels: NonNegativeInt = Field(default=0, description="number of pixels to change; 0 for all of the cells")
    mask_steps: PositiveInt = Field(default=200, description="for pixels above 0: steps in which they are chosen")
    linf: float = Field(default=0.0, ge=0, le=1, description="largest change of a pixel; 0 for any")
    l2: NonNegativeFloat = Field(default=0.0, description="largest l2 norm of the change; 0 for any")
    _importance: Tensor | None = PrivateAttr(None)
    _reader: AttentionReader | None = PrivateAttr(None)
    _token_side: int = PrivateAttr(0)

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if self.linf and self.l2:
            raise ValueError(f"linf={self.linf} and l2={self.l2} are two bounds of one patch; give one of them")
        return self

    @override
    def prepare(self, oracle: Oracle, batch: Batch, targeted: bool) -> Self:
        ready, images = self.model_copy(), batch.images
        if self.attention or self.choose == "attention":
            ready._token_side = token_side(oracle.model)
        if self.attention:
            ready._reader = AttentionReader.of(oracle.model, 1, len(attention_names(oracle.model)) // 2)
        if self.choose == "saliency":
            query = Gradient(images, of=CrossEntropy(required(batch.labels), -1 if targeted else 1))
            ready._importance = required(oracle.ask(query).gradient).abs().sum(1, keepdim=True)
        elif self.choose == "attention":
            ready._importance = self._attended(oracle, images, ready._token_side)
        return ready

    def _attended(self, oracle: Oracle, images: Tensor, side: int) -> Tensor:
        """The mean attention of all tokens to the patch that each pixel lies in, `[N, 1, H, W]`."""
        reader = AttentionReader.of(oracle.model, self.layer, self.layer + 1)
        shape = [length // side for length in images.shape[2:]]
        found = []
        for part in torch.split(images, oracle.limit):
            maps = reader.to_patches(oracle.ask(Features(part, reader.names)), shape[0] * shape[1])
            found.append(maps.mean((1, 2)).view(-1, 1, *shape))
        return torch.cat(found).repeat_interleave(side, 2).repeat_interleave(side, 3)

    @override
    def ball(self, clean: Tensor, eps: Tensor, norm: str, rng: SampleRng) -> Ball:
        side = self._token_side if self._token_side and not self.size else cell_side(self.size, *clean.shape[2:])
        if self.pixels > self.cells * side**2:
            raise ParameterError(
                f"patch-fool: pixels={self.pixels} are more than the {self.cells * side**2} of {self.cells} cells of "
                f"{side} x {side}; choose fewer pixels, or more cells"
            )
        if self.choose == "random":
            mask = cell_masks(rng, *clean.shape[2:], side=side, cells=self.cells, offset=self.offset)
        else:
            mask = highest_cells(required(self._importance), side=side, cells=self.cells, offset=self.offset)
        return patch_ball(clean, mask.to(clean.device), linf=self.linf, l2=self.l2)

    @override
    def start(self, problem: Problem, rng: SampleRng) -> PatchFoolState:
        ball, rng = problem.ball, rng.fold(self._run)
        mask = (ball.upper > ball.lower).any(1, keepdim=True)
        delta = ball.random_point(rng)
        scores = rng.fold("pixels").uniform(1, *mask.shape[2:]).to(delta)
        chosen = self._highest(scores, mask)
        tokens = cells_of(mask, self._token_side) if self._reader is not None else mask.flatten(1)[:, :0]
        x = torch.where(chosen, delta, ball.clean)
        return PatchFoolState(
            problem, mask, delta, x, Adam.of(delta), scores, Adam.of(scores), chosen, tokens,
            torch.zeros_like(problem.labels),
        )  # fmt: skip

    @override
    def ask(self, state: PatchFoolState) -> Gradient:
        if self._reader is None:
            return Gradient(state.x, of=state.problem.loss)
        others = AttentionToCells(state.tokens, self._reader)
        return GradientWithOthers(state.x, of=state.problem.loss, layers=self._reader.names, others=others)

    @override
    def tell(self, state: PatchFoolState, answer: Answer) -> PatchFoolState:
        ball, count = state.problem.ball, state.step + 1
        adam = state.adam.add(self._combined(answer, lambda g: g * state.chosen))
        rate = self.step_size * self.decay ** (state.step // self.decay_steps).to(state.x)
        delta = ball.project(state.delta + rate.view(-1, 1, 1, 1) * adam.direction(count))
        scores, score_adam, chosen = state.scores, state.score_adam, state.chosen
        if self.pixels:
            change = (state.delta - ball.clean) * state.mask
            score_adam = score_adam.add(self._combined(answer, lambda g: (g * change).sum(1, keepdim=True)))
            still = (state.step < self.mask_steps).view(-1, 1, 1, 1)
            scores = torch.where(still, scores + MASK_RATE * score_adam.direction(count), scores)
            chosen = self._highest(scores, state.mask)
        return state.replace(
            delta=delta,
            x=torch.where(chosen, delta, ball.clean),
            adam=adam,
            scores=scores,
            score_adam=score_adam,
            chosen=chosen,
            step=count,
        )

    @override
    def done(self, state: PatchFoolState) -> Tensor:
        return state.step >= self.steps

    @override
    def result(self, state: PatchFoolState) -> Candidate:
        return Candidate(state.x)

    @override
    def cost(self, classes: int) -> tuple[int, int]:
        layers = 0 if self._reader is None else len(self._reader.names)
        return self.steps + (self.choose != "random"), self.steps * (1 + layers) + (self.choose == "saliency")

    def _combined(self, answer: Answer, by: Callable[[Tensor], Tensor]) -> Tensor:
        """The gradient by some parameters: of the cross-entropy, and of the attention where the two do not conflict.

        `by` makes the gradient by the parameters of one by the image.
        """
        first = by(required(answer.gradient))
        if answer.slopes is None:
            return first
        others = (without_conflict(by(answer.slopes[:, i]), first) for i in range(answer.slopes.shape[1]))
        return first + self.attention * torch.stack(list(others)).sum(0)

    def _highest(self, scores: Tensor, mask: Tensor) -> Tensor:
        """The `pixels` of the highest scores under a mask, all of it where there is no number."""
        if not self.pixels:
            return mask
        top = scores.masked_fill(~mask, -torch.inf).flatten(1).topk(self.pixels, dim=1).indices
        return torch.zeros_like(mask).flatten(1).scatter(1, top, value=True).view_as(mask)
