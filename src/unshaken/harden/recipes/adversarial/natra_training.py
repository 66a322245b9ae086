"""NaTra's training: learn from images and from their worst natural edits, along directions of a generator's code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveInt, PrivateAttr
from torch import Tensor
from typing_extensions import override

from unshaken.attack.black_box.natra import NaTra
from unshaken.attack.engine.losses import SoftCrossEntropy
from unshaken.core.consent import is_code
from unshaken.core.errors import ParameterError
from unshaken.core.registry import register
from unshaken.generate.latent.inversion import Inversion
from unshaken.generate.latent.loading import generator_files, load_edits
from unshaken.generate.latent.natural_edits import NaturalEdits
from unshaken.harden.engine.recipe import Memory, Recipe, Setup, Step

SHOWN = 1000
"""Training images whose codes tell the scale of each direction."""


def natra_loss(clean: Tensor, edited: Tensor, targets: Tensor, beta: float, gamma: float) -> Tensor:
    """`(1 - beta) CE(f(x), y) + beta CE(f(x~), y) + gamma KL(f(x) || f(x~))`, means over the batch.

    Args:
        clean: logits `[N, K]` of the images.
        edited: logits `[N, K]` of the edited images.
        targets: class probabilities `[N, K]`, or int64 `[N]`.
        beta: share of the edited images.
        gamma: weight of the KL divergence.
    """
    loss = (1 - beta) * F.cross_entropy(clean, targets) + beta * F.cross_entropy(edited, targets)
    if not gamma:
        return loss
    kl = F.kl_div(edited.log_softmax(1), clean.log_softmax(1), reduction="batchmean", log_target=True)
    return loss + gamma * kl


@register("natra-training", reference="Jiang et al. 2021, arXiv:2105.04070")
class NaTraTraining(Recipe):
    """NaTra's training: learns from images and from those natural edits of them that hurt the classifier most.

    A generator must be one of the training images alone. Where it has an encoder, codes are those of the images as they
    are shown; else every training image is inverted once, before the first step, and other recipes should not move it.
    The other kinds of edit are the comparisons that tell what the search itself gains.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"inner", "loss"})

    generator: str = Field(
        default="",
        description="file of 'generate fit', diffusers:DIR or py:FILE:FACTORY; empty for principal components",
    )
    directions: str = Field(default="", description="file of 'generate directions'; empty to find them, unfiltered")
    k: PositiveInt = Field(default=8, description="directions to find where no file is named")
    amplitude: float = Field(default=1.5, description="largest edit, in deviations of the training codes", ge=0, le=100)
    edit: Literal["worst", "random", "mixed", "rebuilt"] = Field(
        default="worst", description="worst edit, a random one, one towards another image, or the generator's own image"
    )
    search: Literal["candidates", "coordinates", "gradient"] = Field(
        default="candidates", description="how the worst edit is sought; see the attack natra"
    )
    draws: PositiveInt = Field(default=4, description="random edits tried per image")
    steps: PositiveInt = Field(default=5, description="gradient steps, for gradient")
    mode: Literal["online", "offline"] = Field(
        default="online", description="edit every image anew in every epoch, or once, when it is first shown"
    )
    beta: float = Field(default=0.5, description="share of the loss on edited images", ge=0, le=1)
    gamma: NonNegativeFloat = Field(
        default=0.0, description="weight of the KL divergence of both predictions, 1 to 6 if used"
    )
    inversion_steps: PositiveInt = Field(
        default=300, description="steps of Adam to a code, for a generator without an encoder"
    )
    _edits: NaturalEdits | None = PrivateAttr(None)

    def with_edits(self, edits: NaturalEdits) -> Self:
        """The same recipe with a generator and directions that are loaded."""
        copy = self.model_copy()
        copy._edits = edits
        return copy

    @property
    @override
    def further_models(self) -> tuple[str, ...]:
        return (self.generator,) if is_code(self.generator) else ()

    @property
    @override
    def further_files(self) -> tuple[str, ...]:
        return (*generator_files(self.generator), *([self.directions] if self.directions else []))

    @property
    def is_plain(self) -> bool:
        """Whether nothing is edited, or nothing learned from it: then training is the standard one, step by step."""
        still = self.amplitude == 0 and self.edit != "rebuilt"
        return still or (self.beta == 0 and self.gamma == 0)

    @override
    def begin(self, setup: Setup) -> None:
        if setup.classes < 2:
            raise ParameterError("natra-training: the data has one class: give data of two or more")
        if self.is_plain:
            return
        images = setup.sample(SHOWN)[0]
        if self._edits is None:
            self._edits = load_edits(
                self.generator, self.directions, images, self.k, seed=setup.seed,
                inversion=Inversion(steps=self.inversion_steps),
            )  # fmt: skip
        edits = self._edits.to(images.device)
        edits.generator.check_images(images)
        with torch.no_grad():
            has_encoder = edits.generator.encode(images[:1]) is not None
        if not has_encoder:
            rows, _, codes = setup.evaluate(edits.encode)
            table = codes.new_zeros(setup.samples, edits.generator.latents)
            setup.memory["codes"] = table.index_copy(0, rows.to(table.device), codes)
        if self.mode == "offline":
            setup.memory["edited"] = torch.zeros(setup.samples, *edits.generator.image, dtype=torch.uint8)
            setup.memory["known"] = torch.zeros(setup.samples, dtype=torch.bool)

    @override
    def inner(self, step: Step) -> Tensor | None:
        if self.is_plain:
            return None
        memory, rows = step.memory[self.info.name], step.rows.cpu()
        if self.mode == "offline" and bool(memory["known"][rows].all()):
            return memory["edited"][rows].to(step.images) / 255
        edits = self._loaded
        codes = memory["codes"][step.rows.to(memory["codes"].device)] if "codes" in memory else None
        codes = edits.encode(step.images) if codes is None else codes.to(step.images)
        with torch.no_grad():
            found = EDITS[self.edit](self, step, codes)
        return self._stored(found, memory, rows) if self.mode == "offline" else found

    @override
    def loss(self, step: Step) -> Tensor | None:
        if self.is_plain:
            return None
        edited, wanted = step.model(step.shown), step.labels if step.targets is None else step.targets
        if self.beta == 1 and not self.gamma:
            return F.cross_entropy(edited, wanted)
        return natra_loss(step.model(step.images), edited, wanted, self.beta, self.gamma)

    @staticmethod
    def _stored(found: Tensor, memory: Memory, rows: Tensor) -> Tensor:
        """Edits `[N, C, H, W]` in 8 bits as they stay: of images that were shown before the earlier ones."""
        new = ~memory["known"][rows]
        memory["edited"][rows[new]] = found.mul(255).round().to("cpu", torch.uint8)[new]
        memory["known"][rows] = True
        return memory["edited"][rows].to(found) / 255

    @property
    def _loaded(self) -> NaturalEdits:
        if self._edits is None:
            raise ParameterError("natra-training: the generator is loaded when training begins; call begin first")
        return self._edits


def find_worst(recipe: NaTraTraining, step: Step, codes: Tensor) -> Tensor:
    """The edit of largest loss that the attack finds, the image itself among its candidates."""
    attack = NaTra(amplitude=recipe.amplitude, search=recipe.search, draws=recipe.draws, steps=recipe.steps)
    objective = None if step.targets is None else SoftCrossEntropy(step.targets)
    return step.inner.find(
        attack.with_edits(recipe._loaded, codes), step.images, step.labels, step.rng.fold("natra"), norm="linf",
        eps=float("inf"), objective=objective,
    )  # fmt: skip


def draw_random(recipe: NaTraTraining, step: Step, codes: Tensor) -> Tensor:
    """One edit at random, uniform in the box."""
    amounts = recipe._loaded.draw(step.rng.fold("natra"), recipe.amplitude).to(codes)
    return recipe._loaded.edit(step.images, codes, amounts)


def mix_codes(recipe: NaTraTraining, step: Step, codes: Tensor) -> Tensor:
    """Half of the amounts, at random, as another image of the batch has them, within the amplitude.

    Source:
        Gowal et al. 2020, arXiv:1912.03192, who mix codes of an encoder.
    """
    edits, rng = recipe._loaded, step.rng.fold("natra").to(codes.device)
    partner = codes[rng.fold("partner").fresh(1)[:, 0].argsort()]
    amounts = (partner - codes) @ edits.directions.T / edits.scales.clamp(min=1e-12)
    chosen = rng.fold("chosen").fresh(edits.count) < 0.5
    return edits.edit(step.images, codes, (amounts * chosen).clamp(-recipe.amplitude, recipe.amplitude))


def rebuild(recipe: NaTraTraining, step: Step, codes: Tensor) -> Tensor:
    """The image that the generator makes of the code, without the residual and without an edit."""
    return recipe._loaded.rebuild(codes).clamp(0, 1)


EDITS: Mapping[str, Callable[[NaTraTraining, Step, Tensor], Tensor]] = {
    "worst": find_worst, "random": draw_random, "mixed": mix_codes, "rebuilt": rebuild,
}  # fmt: skip
