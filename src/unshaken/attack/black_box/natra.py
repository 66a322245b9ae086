"""NaTra: the worst natural edit of an image, along directions of a generator's latent code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Protocol, Self

import torch
from pydantic import Field, PositiveFloat, PositiveInt, PrivateAttr
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.attack_run import AttackContext, Phase
from unshaken.attack.engine.base import Attack, Candidate
from unshaken.attack.engine.problem import Problem
from unshaken.core.consent import is_code
from unshaken.core.errors import ParameterError
from unshaken.core.flag import Flag, FlagKind
from unshaken.core.query import Answer, Gradient, Logits, Query
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State
from unshaken.generate.latent.inversion import Inversion
from unshaken.generate.latent.loading import generator_files, load_edits
from unshaken.generate.latent.natural_edits import NaturalEdits

UNFILTERED = FlagKind(
    "unfiltered-directions",
    "natural edits were searched along directions that nobody has checked to keep the class",
    "Do not count what they fool as errors: filter the directions by a reference classifier (generate directions), "
    "and look at its grid.",
)


class NaTraState(State):
    """State of the search, one row per sample.

    Args:
        problem: its task.
        codes: w, `[N, d]`.
        base: `G(w)`, `[N, C, H, W]`.
        step: edits tried, int64 `[N]`.
        amounts: a of the edit that is queried next, `[N, k]`.
        best: a of the edit of largest loss so far, `[N, k]`; 0 for the image itself.
        value: that loss, `[N]`.
        rng: the sample's stream.
    """

    problem: Problem
    codes: Tensor
    base: Tensor
    step: Tensor
    amounts: Tensor
    best: Tensor
    value: Tensor
    rng: SampleRng


@register("natra", reference="Jiang et al. 2021, arXiv:2105.04070", needs=("logits",))
class NaTra(Attack[NaTraState]):
    """NaTra: searches for a natural edit, along directions of a generator's code, that changes the prediction.

    An image x of code w becomes `clip(x + G(w + d) - G(w))` with `d = sum_j a_j sigma_j n_j` and `|a_j|` at most the
    amplitude, so that no edit is the image itself, and what the generator cannot make stays. Directions come from
    `unshaken generate directions`, which leaves out those that change the class; without a file they are not filtered,
    and a flag says so.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"logits"})
    norms: ClassVar[tuple[str, ...]] = ()

    generator: str = Field(
        default="",
        description="file of 'generate fit', diffusers:DIR or py:FILE:FACTORY; empty for principal components",
    )
    directions: str = Field(default="", description="file of 'generate directions'; empty to find them, unfiltered")
    k: PositiveInt = Field(default=8, description="directions to find where no file is named")
    amplitude: PositiveFloat = Field(
        default=1.5, description="largest edit, in deviations of the training codes", le=100
    )
    search: Literal["candidates", "coordinates", "gradient"] = Field(
        default="candidates", description="random edits, ends of each direction in turn, or gradient steps"
    )
    draws: PositiveInt = Field(default=10, description="random edits tried per sample")
    rounds: PositiveInt = Field(default=1, description="times that each direction is tried, for coordinates")
    steps: PositiveInt = Field(default=5, description="gradient steps, for gradient")
    inversion_steps: PositiveInt = Field(
        default=300, description="steps of Adam to a code, for a generator without an encoder"
    )
    _edits: NaturalEdits | None = PrivateAttr(None)
    _codes: Tensor | None = PrivateAttr(None)

    @property
    @override
    def further_models(self) -> tuple[str, ...]:
        return (self.generator,) if is_code(self.generator) else ()

    @property
    @override
    def further_files(self) -> tuple[str, ...]:
        return (*generator_files(self.generator), *([self.directions] if self.directions else []))

    @property
    def edits(self) -> NaturalEdits:
        """The generator and directions that move the images.

        Raises:
            ParameterError: they are not loaded.
        """
        if self._edits is None:
            raise ParameterError("natra: its generator is loaded by attack(), or given to it by with_edits")
        return self._edits

    def with_edits(self, edits: NaturalEdits, codes: Tensor | None = None) -> Self:
        """The same search with a generator and directions that are loaded.

        Args:
            edits: both.
            codes: `[N, d]` of the very images that will be searched, in one batch; None to find them.
        """
        copy = self.model_copy()
        copy._edits, copy._codes = edits, codes
        return copy

    def load(self, images: Tensor, seed: int) -> NaturalEdits:
        """The generator and directions that are named.

        Args:
            images: `[N, C, H, W]` in [0, 1], some of the data.
            seed: of codes that are drawn.

        Raises:
            ModelError: they cannot be used, or are for other images.
            DataError: no generator is named, and there are too few images for principal components.
        """
        inversion = Inversion(steps=self.inversion_steps)
        return load_edits(self.generator, self.directions, images, self.k, seed=seed, inversion=inversion)

    @override
    def phases(self, context: AttackContext) -> tuple[Sequence[Phase], Sequence[Flag]]:
        if context.classes < 2:
            raise ParameterError("natra: the model has one class, which no edit changes: use a model of two or more")
        if self.search == "gradient" and not context.oracle.model.differentiable:
            raise ParameterError("natra: search=gradient needs a model with gradients: use search=candidates")
        reference = context.reference
        if reference is None:
            raise ParameterError("natra: it needs some images to start from")
        edits = self._edits or context.once(
            ("natra", self), lambda: self.load(reference.images.float().to(context.oracle.device), context.seed)
        )
        flag = UNFILTERED.flag(f"natra: {edits.count} directions of the generator {edits.generator.name}, unfiltered")
        return [
            Phase(self.with_edits(edits.to(context.oracle.device)), "natra")
        ], [] if self.directions or self._edits else [flag]

    @override
    def start(self, problem: Problem, rng: SampleRng) -> NaTraState:
        edits = self.edits
        clean = problem.ball.clean
        codes = edits.encode(clean) if self._codes is None else self._codes
        zero = codes.new_zeros(len(clean), edits.count)
        with torch.no_grad():
            base = edits.rebuild(codes)
        value = problem.loss(Answer(logits=problem.logits))
        step = torch.zeros_like(problem.labels)
        state = NaTraState(problem, codes, base, step, zero, zero, value, rng)
        return state.replace(amounts=self._solver.next(self, state, None))

    @override
    def ask(self, state: NaTraState) -> Query:
        points = self._image(state, state.amounts)
        return Gradient(points, of=state.problem.loss) if self.search == "gradient" else Logits(points)

    @override
    def tell(self, state: NaTraState, answer: Answer) -> NaTraState:
        value = state.problem.loss(answer) if answer.value is None else answer.value
        better = value > state.value
        state = state.replace(
            step=state.step + 1,
            best=torch.where(better[:, None], state.amounts, state.best),
            value=torch.where(better, value, state.value),
        )
        return state.replace(amounts=self._solver.next(self, state, answer))

    @override
    def done(self, state: NaTraState) -> Tensor:
        return state.step >= self._solver.count(self, self.edits.count)

    @override
    def result(self, state: NaTraState) -> Candidate:
        return Candidate(self._image(state, torch.where(self.done(state)[:, None], state.best, state.amounts)))

    @override
    def cost(self, classes: int) -> tuple[int, int]:
        count = self._solver.count(self, self.k if self._edits is None else self._edits.count)
        return count, count if self.search == "gradient" else 0

    @property
    def _solver(self) -> Solver:
        return SOLVERS[self.search]

    def _image(self, state: NaTraState, amounts: Tensor) -> Tensor:
        with torch.no_grad():
            return self.edits.edit(state.problem.ball.clean, state.codes, amounts, state.base)


class Solver(Protocol):
    """A way to the worst edit."""

    def count(self, attack: NaTra, k: int) -> int:
        """Number of queries in all."""

    def next(self, attack: NaTra, state: NaTraState, answer: Answer | None) -> Tensor:
        """Amounts `[N, k]` of the edit of number `state.step`, given the answer to the one before."""


class Candidates:
    """Random amounts, uniform in the box."""

    def count(self, attack: NaTra, k: int) -> int:
        """Number of draws."""
        return attack.draws

    def next(self, attack: NaTra, state: NaTraState, answer: Answer | None) -> Tensor:
        """Amounts drawn by the number of the query alone: a longer search tries all that a shorter one does."""
        return attack.edits.draw(state.rng.fold(state.step), attack.amplitude).to(state.codes)


class Coordinates:
    """Each direction, one after the other, to both its ends, the others where the loss was largest."""

    def count(self, attack: NaTra, k: int) -> int:
        """Two queries per direction and round."""
        return 2 * k * attack.rounds

    def next(self, attack: NaTra, state: NaTraState, answer: Answer | None) -> Tensor:
        """The best amounts, with one of them at an end."""
        k = state.best.shape[1]
        end = torch.where(state.step % 2 == 0, -attack.amplitude, attack.amplitude).to(state.best)
        return state.best.scatter(1, (state.step // 2 % k)[:, None], end[:, None])


class SignGradient:
    """Steps of a third of the amplitude along the sign of the gradient by the amounts, from no edit."""

    def count(self, attack: NaTra, k: int) -> int:
        """The steps, and the point from which they start."""
        return attack.steps + 1

    def next(self, attack: NaTra, state: NaTraState, answer: Answer | None) -> Tensor:
        """The next amounts, cut to the box."""
        if answer is None or answer.gradient is None:
            return torch.zeros_like(state.best)
        with torch.enable_grad():
            amounts = state.amounts.detach().requires_grad_(True)
            images = attack.edits.edit(state.problem.ball.clean, state.codes, amounts, state.base)
            (slope,) = torch.autograd.grad(images, amounts, grad_outputs=answer.gradient.to(images))
        step = attack.amplitude / 3 * slope.sign()
        return (state.amounts + step).clamp(-attack.amplitude, attack.amplitude)


SOLVERS: Mapping[str, Solver] = {
    "candidates": Candidates(), "coordinates": Coordinates(), "gradient": SignGradient()
}  # fmt: skip
