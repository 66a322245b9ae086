"""Substitution: a small network learns the model's answers, and is attacked in its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.attack_run import AttackContext, Phase
from unshaken.attack.engine.base import BudgetedAttack
from unshaken.attack.gradient.apgd import APGD
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.descent import descend
from unshaken.core.device import widen
from unshaken.core.errors import ParameterError
from unshaken.core.flag import Flag, FlagKind
from unshaken.core.oracle import required
from unshaken.core.query import Labels
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng, seeded
from unshaken.models.networks.small import SmallCNN

LEAST_AGREEMENT = 0.5
"""Share of the training images on which a substitute must answer as the model does, for its attack to say much."""
WEAK_SUBSTITUTE = FlagKind(
    "weak-substitute",
    "the substitute network did not learn the model's answers, so its adversarial examples say little",
    "Do not read survival of this attack as robustness. Train longer (epochs, rounds), or attack a better surrogate.",
)


@register("substitution", reference="Papernot et al. 2017, arXiv:1602.02697", needs=("labels",))
class Substitution(BudgetedAttack):
    """Substitution attack: trains a substitute on the model's answers, attacks it, and tries the examples on the model.

    The model is asked for classes alone: of the run's first images, and after each round of training of as many images
    more, moved along the sign of the substitute's gradient at the model's class, which is where answers change soonest.
    All samples share one substitute. For a surrogate that is there already see `transfer`.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"labels"})

    rounds: NonNegativeInt = Field(
        default=3, le=10, description="number of times that the images asked about are doubled"
    )
    epochs: PositiveInt = Field(default=20, description="passes over the images in each round of training")
    shift: PositiveFloat = Field(default=0.1, le=1, description="step to new images, in [0, 1] pixel units")
    lr: PositiveFloat = Field(default=3e-3, description="largest learning rate of Adam")
    steps: PositiveInt = Field(default=100, description="gradient steps on the substitute, for each loss")
    loss: Literal["ce", "margin", "both"] = Field(default="both", description="loss to maximise on the substitute")

    @override
    def most_passes(self, classes: int) -> int | None:
        return len(self._losses) * sum(APGD(steps=self.steps).cost(classes))

    @property
    def _losses(self) -> list[Literal["ce", "margin"]]:
        return ["ce", "margin"] if self.loss == "both" else [self.loss]

    @override
    def phases(self, context: AttackContext) -> tuple[Sequence[Phase], Sequence[Flag]]:
        substitute, share = context.once((self, context.seed), lambda: self.train(context))
        why = f"on a substitute that agrees with the model on {share:.0%} of its training images"
        phases = [
            Phase(APGD(loss=one, steps=self.steps), f"substitution-{one}", why=f"{one} {why}", surrogate=substitute)
            for one in self._losses
        ]
        text = f"substitution: the substitute agrees with the model on {share:.0%} of the images it was trained on"
        return phases, [WEAK_SUBSTITUTE.flag(text)] if share < LEAST_AGREEMENT else []

    def train(self, context: AttackContext) -> tuple[Classifier, float]:
        """Train the substitute by Jacobian-based augmentation.

        Returns:
            It, in evaluation mode, and the share of its training images on which it answers as the model does.

        Raises:
            ParameterError: there are no images to ask about.
        """
        if context.reference is None or not len(context.reference):
            raise ParameterError(f"{self.info.name}: there are no images to ask the model about")
        by_id = sorted(range(len(context.reference)), key=context.reference.ids.__getitem__)
        images = context.reference.images[by_id].float()
        answers = required(context.oracle.ask(Labels(images)).labels)
        substitute = self._network(images, context)
        for number in range(self.rounds + 1):
            if number:
                images = torch.cat([images, self._moved(substitute, images, answers)])
                new = images[len(answers) :]
                answers = torch.cat([answers, required(context.oracle.ask(Labels(new)).labels)])
            with context.oracle.meter.method():
                self._fit(substitute, images, answers, context.seed, number)
        with context.oracle.meter.method(), torch.no_grad():
            right = substitute(images).argmax(1) == answers
        return substitute.requires_grad_(False), float(widen(right).mean())

    def _network(self, images: Tensor, context: AttackContext) -> Classifier:
        with seeded(context.seed):
            net = SmallCNN(context.classes, images.shape[1])
        mean, std = images.mean((0, 2, 3)), images.std((0, 2, 3)).nan_to_num(1.0).clamp(min=1e-3)
        made = Classifier(net, mean=mean.tolist(), std=std.tolist(), name="substitute")
        return made.to(context.oracle.device).eval()

    def _fit(self, substitute: Classifier, images: Tensor, answers: Tensor, seed: int, number: int) -> None:
        """One round of training, in batches of 32."""

        def loss(rows: Tensor, rng: SampleRng) -> Tensor:
            at = rows.to(images.device)
            return F.cross_entropy(substitute(images[at]), answers[at])

        size = min(32, len(images))
        optimizer = torch.optim.Adam(substitute.net.parameters(), lr=self.lr)
        substitute.train()
        with torch.enable_grad():
            descend(
                optimizer,
                loss,
                len(images),
                steps=max(1, self.epochs * (len(images) // size)),
                batch_size=size,
                seed=seed,
                name=f"substitute-{number}",
                title="training a substitute",
            )
        substitute.eval()

    def _moved(self, substitute: Classifier, images: Tensor, answers: Tensor) -> Tensor:
        """New images `x + l sign(dF_y(x)/dx)`, y the model's class."""
        with evaluating(substitute), torch.enable_grad():
            x = images.clone().requires_grad_(True)
            chosen = substitute(x).gather(1, answers[:, None]).sum()
            (gradient,) = torch.autograd.grad(chosen, x)
        return (images + self.shift * gradient.sign()).clamp(0, 1)
