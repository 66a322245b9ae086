"""HopSkipJump: the nearest example along the decision boundary, from predicted classes alone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt, PrivateAttr
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.attack_run import AttackContext, Phase
from unshaken.attack.engine.base import Attack, Candidate
from unshaken.attack.engine.example_images import example_images
from unshaken.attack.engine.problem import Problem
from unshaken.core.flag import Flag
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Labels
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State

SEEK, NEAR, FEEL, JUMP, END = range(5)
"""Modes: find a start, close in on the boundary, feel for its direction, jump along it, over."""
HALVINGS = 20
"""Most halvings of a search, on the way to the boundary or of a jump."""
FIRST_DELTA = 0.1
"""l2 distance at which the first iteration feels for the direction."""
DELTA = 0.03
"""The same later, as a share of the l2 distance to the clean image."""
FINEST = {"l2": 1e-3, "linf": 1e-4}
"""Share of the way from the clean image at which a search to the boundary ends."""
MOST_EXAMPLES = 500
"""Images from which to start towards a target."""


class HopState(State):
    """State of the search, one row per sample.

    Args:
        problem: its task.
        x: the point asked about.
        near: the nearest point that fools, on the boundary after a search; the clean image before there is one.
        far: the point that fools from which a search to the boundary started.
        low: where the search stands, a share of the way from the clean image to `far`; known not to fool.
        high: as `low`, known to fool.
        signed: sum of directions felt, each with the sign of its answer.
        total: sum of directions felt.
        votes: sum of the answers' signs, `[N]`.
        delta: distance at which directions are felt, `[N]`.
        length: of the next jump, `[N]`.
        mode: one of `SEEK` to `END`, int64 `[N]`.
        count: answers in this mode, int64 `[N]`.
        iteration: iterations begun, int64 `[N]`.
        rng: the sample's stream.
    """

    problem: Problem
    x: Tensor
    near: Tensor
    far: Tensor
    low: Tensor
    high: Tensor
    signed: Tensor
    total: Tensor
    votes: Tensor
    delta: Tensor
    length: Tensor
    mode: Tensor
    count: Tensor
    iteration: Tensor
    rng: SampleRng

    def put(self, rows: Tensor, before: HopState, after: HopState) -> HopState:
        """The same with what changed between `before`, its own rows, and `after`."""
        changed = {}
        for name in [field.name for field in dataclasses.fields(self)]:
            if (new := getattr(after, name)) is not getattr(before, name):
                changed[name] = getattr(self, name).index_copy(0, rows, new)
        return self.replace(**changed)


@register("hop-skip-jump", reference="Chen et al. 2020, arXiv:1904.02144", needs=("labels",))
class HopSkipJump(Attack[HopState]):
    """HopSkipJump: walks along the decision boundary towards the clean image, using only predicted classes.

    An iteration t closes in on the boundary, feels for the direction into the other class with `B0 sqrt(t)` draws of
    length delta, and jumps along it by `d / sqrt(t)`, halved until the point fools; d is the distance to the clean
    image. delta and the searches' end are shares of d, larger than the paper's powers of the number of pixels, so that
    no answer hangs on float32's last bits. It starts from noise; for models to which noise is of the label's own class,
    other draws are blended with the image, or coarse. Towards a target it starts from the nearest image to which the
    model gives that class, of `start_images` or of the run's first samples (of those attacked, outside a run), and from
    noise where there is none.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"labels"})
    norms: ClassVar[tuple[str, ...]] = ("l2", "linf")
    minimal: ClassVar[bool] = True

    steps: PositiveInt = Field(default=20, description="iterations")
    initial_samples: PositiveInt = Field(
        default=100, description="number of random directions B0 in the first iteration's gradient estimate"
    )
    max_samples: PositiveInt = Field(default=10000, description="maximum number of random directions per iteration")
    starts: PositiveInt = Field(default=100, description="maximum number of random starting images to try")
    start_images: str = Field(
        default="", description="SPEC of images to start from towards a target class; empty for the run's first"
    )
    _known: tuple[Tensor, Tensor] | None = PrivateAttr(default=None)
    """Images `[M, C, H, W]` from which to start towards a target, and the model's answers `[M]`."""

    @override
    def phases(self, context: AttackContext) -> tuple[Sequence[Phase], Sequence[Flag]]:
        if not context.targeted:
            return super().phases(context)
        copy = self.model_copy()
        copy._known = context.once((self.info.name, self.start_images), lambda: self._ask_examples(context))
        return [Phase(copy, self.info.name, why=f"from images of {self.start_images or 'the run'}, or noise")], []

    def _ask_examples(self, context: AttackContext) -> tuple[Tensor, Tensor]:
        images = example_images(context, self.start_images, f"{self.info.name}: start_images", MOST_EXAMPLES)
        return images, required(context.oracle.ask(Labels(images)).labels)

    @override
    def start(self, problem: Problem, rng: SampleRng) -> HopState:
        clean, zero = problem.ball.clean, torch.zeros_like(problem.labels)
        none, number = torch.zeros_like(clean), clean.new_zeros(len(clean))
        state = HopState(
            problem, clean, clean, clean, number, number + 1, none, none, number, number, number, zero, zero, zero, rng
        )
        start = self._noise(state)
        if problem.targeted and self._known is not None:
            images, answers = self._known
            for row, (x, target) in enumerate(zip(clean, problem.labels, strict=True)):
                start[row] = _nearest(images[answers == target], x, otherwise=start[row])
        return state.replace(x=start)

    @override
    def ask(self, state: HopState) -> Labels:
        return Labels(state.x)

    @override
    def tell(self, state: HopState, answer: Answer) -> HopState:
        hit = (required(answer.labels) == state.problem.labels) == state.problem.targeted
        steps = {SEEK: self._sought, NEAR: self._neared, FEEL: self._felt, JUMP: self._jumped}
        was = state.mode
        for mode, step in steps.items():
            rows = (was == mode).nonzero().flatten()
            if len(rows) == len(was):
                return step(state, hit)
            if len(rows):
                before = state[rows]
                state = state.put(rows, before, step(before, hit[rows]))
        return state

    @override
    def done(self, state: HopState) -> Tensor:
        return state.mode == END

    @override
    def result(self, state: HopState) -> Candidate:
        return Candidate(torch.where((state.mode == END).view(-1, 1, 1, 1), state.near, state.x))

    @override
    def cost(self, classes: int) -> tuple[int, int]:
        draws = sum(self._samples(t) for t in range(1, self.steps + 1))
        return self.starts + HALVINGS * (1 + 2 * self.steps) + draws, 0

    def _samples(self, iteration: int) -> int:
        return min(int(self.initial_samples * math.sqrt(iteration)), self.max_samples)

    def _sought(self, state: HopState, hit: Tensor) -> HopState:
        """A point of noise that fools is the far end of a search; else the next one, as long as there is one."""
        count = state.count + 1
        missed = torch.where(count < self.starts, SEEK, END)
        noise = state.replace(count=count, mode=torch.where(hit, state.mode, missed))
        noise = noise.replace(x=torch.where(_wide(hit), state.x, self._noise(noise)))
        return self._caught(noise, hit)

    def _caught(self, state: HopState, hit: Tensor) -> HopState:
        """Rows whose point fools start a search between it and the clean image."""
        rows = hit.nonzero().flatten()
        if not len(rows):
            return state
        now = state[rows]
        zero = torch.zeros_like(now.low)
        new = now.replace(far=now.x, low=zero, high=zero + 1, mode=torch.full_like(now.mode, NEAR), count=now.count * 0)
        return state.put(rows, now, new.replace(x=_between(new, zero + 0.5)))

    def _neared(self, state: HopState, hit: Tensor) -> HopState:
        """Half the way that is left; on the boundary, begin the next iteration."""
        middle, count = (state.low + state.high) / 2, state.count + 1
        low, high = torch.where(hit, state.low, middle), torch.where(hit, middle, state.high)
        state = state.replace(low=low, high=high, count=count, x=_between(state, (low + high) / 2))
        rows = ((high - low <= FINEST[state.problem.ball.norm]) | (count >= HALVINGS)).nonzero().flatten()
        if not len(rows):
            return state
        now = state[rows]
        near, iteration = _between(now, now.high), now.iteration + 1
        distance, zero = now.problem.ball.distance(near).to(near), torch.zeros_like(near)
        delta = DELTA * torch.linalg.vector_norm((near - now.problem.ball.clean).flatten(1), dim=1)
        new = now.replace(
            near=near,
            signed=zero,
            total=zero,
            votes=now.votes * 0,
            delta=torch.where(iteration == 1, FIRST_DELTA, delta),
            length=distance / iteration.sqrt(),
            mode=torch.where(iteration > self.steps, END, FEEL),
            count=now.count * 0,
            iteration=iteration,
        )
        return state.put(rows, now, new.replace(x=self._feeler(new)))

    def _felt(self, state: HopState, hit: Tensor) -> HopState:
        """Add to the estimate of the direction; when it is whole, the first jump."""
        sign = torch.where(hit, 1.0, -1.0).to(state.votes)
        felt = (state.x - state.near) / _wide(state.delta)
        state = state.replace(
            signed=torch.addcmul(state.signed, felt, _wide(sign)),
            total=state.total + felt,
            votes=state.votes + sign,
            count=state.count + 1,
        )
        samples = torch.tensor([self._samples(t) for t in range(self.steps + 1)], device=hit.device)
        over = state.count >= samples[state.iteration]
        rows = over.nonzero().flatten()
        if len(rows) < len(over):
            state = state.replace(x=self._feeler(state))
        if not len(rows):
            return state
        now = state[rows]
        mean = now.votes / now.count
        balanced = now.signed - _wide(mean) * now.total
        ball, direction = now.problem.ball, torch.where(_wide(mean.abs() < 1), balanced, now.signed)
        new = now.replace(
            signed=ball.steepest(direction, now.near), mode=torch.full_like(now.mode, JUMP), count=now.count * 0
        )
        return state.put(rows, now, new.replace(x=_jump(new)))

    def _jumped(self, state: HopState, hit: Tensor) -> HopState:
        """A jump that fools is the far end of a search; else half as far, in the end none at all."""
        count = state.count + 1
        state = state.replace(count=count, length=torch.where(hit, state.length, state.length / 2))
        given_up = ~hit & (count >= HALVINGS)
        x = torch.where(_wide(given_up), state.near, torch.where(_wide(hit), state.x, _jump(state)))
        return self._caught(state.replace(x=x), hit | given_up)

    def _noise(self, state: HopState) -> Tensor:
        """The next start: noise, noise blended with the image, noise in four by four coarse blocks, and so on."""
        stream, clean = state.rng.fold(-1 - state.count), state.problem.ball.clean
        noise, kind = stream.uniform(*clean.shape[1:]).to(clean), state.count % 3
        rows, columns = (torch.arange(side, device=clean.device) * 4 // side for side in clean.shape[2:])
        noise = torch.where(_wide(kind == 2), noise[:, :, rows][..., columns], noise)
        share = torch.where(kind == 1, stream.fresh(1)[:, 0], 1.0).to(clean)
        return (clean + _wide(share) * (noise - clean)).clamp_(0, 1)

    def _feeler(self, state: HopState) -> Tensor:
        """A point at distance delta from the boundary point, in a random direction."""
        stream, shape = state.rng.fold(state.iteration * (self.max_samples + 1) + state.count), state.x.shape[1:]
        drawn = stream.normal(*shape) if state.problem.ball.norm == "l2" else stream.uniform(*shape, low=-1, high=1)
        length = state.delta / drawn.to(state.x).flatten(1).norm(dim=1).clamp_min(1e-30)
        return torch.addcmul(state.near, drawn.to(state.x), _wide(length)).clamp_(0, 1)


def _nearest(images: Tensor, x: Tensor, *, otherwise: Tensor) -> Tensor:
    """The nearest to `x` of the images in l2, each resized to it; `otherwise` where there are none."""
    if not len(images):
        return otherwise
    if images.shape[2:] != x.shape[1:]:
        images = F.interpolate(images, x.shape[1:], mode="bilinear", antialias=True).clamp(0, 1)
    apart = (images.to(x).double() - x.double()).flatten(1).norm(dim=1)
    return images[apart.argmin()].to(x)


def _between(state: HopState, share: Tensor) -> Tensor:
    """The point at a share of the way to `far`: on the line (l2), or with the change cut to a share of its size."""
    clean = state.problem.ball.clean
    change = state.far - clean
    if state.problem.ball.norm == "l2":
        return (clean + _wide(share) * change).clamp_(0, 1)
    most = _wide(share * change.flatten(1).abs().amax(1))
    return (clean + change.clamp(-most, most)).clamp_(0, 1)


def _jump(state: HopState) -> Tensor:
    return (state.near + _wide(state.length) * state.signed).clamp_(0, 1)


def _wide(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)
