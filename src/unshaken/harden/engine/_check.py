"""What is measured after an epoch, on images that training does not see and on some that it does."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from unshaken.attack.gradient.fgsm import FGSM
from unshaken.attack.gradient.pgd import PGD
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.device import device_of, widen
from unshaken.core.masks import IGNORED, classes_last, cross_entropy
from unshaken.core.oracle import Oracle, required
from unshaken.core.prediction import predict
from unshaken.core.search_copy import search_copy
from unshaken.harden.engine.recipe import Threat

PIECE = 256


class Check:
    """Clean and robust accuracy on fixed images; of masks the mean over images of the share of right pixels.

    Args:
        held: held out.
        trained: some of those trained on.
        threat: what to attack with; None for clean accuracy alone.
        attacked: images of each that are attacked, at most.
        steps: of PGD; a step is 2.5 radii over `steps`.
        seed: the run seed.
    """

    def __init__(
        self, held: Batch, trained: Batch, threat: Threat | None, *, attacked: int, steps: int, seed: int
    ) -> None:
        self.held, self.trained, self.threat = held, trained, threat
        self.attacked, self.steps, self.seed = attacked, steps, seed

    def __call__(self, live: Classifier, kept: Classifier) -> dict[str, float]:
        """Figures of the weights to be kept (`held_*`), and of the live ones on training images (`train_*`)."""
        figures: dict[str, float] = {}
        threat, pgd = self.threat, PGD(steps=self.steps, step_size=2.5 / self.steps)
        with evaluating(kept):
            logits = self._logits(kept, self.held.images)
            labels = required(self.held.labels)
            figures["held_loss"] = float(cross_entropy(logits, labels))
            figures["held_accuracy"] = float(_shares_right(logits, labels).mean())
            if threat is not None:
                figures["held_attacked"] = float(min(self.attacked, len(self.held)))
                figures["held_robust"] = self._under(kept, self.held, pgd, threat)
        if threat is not None:
            with evaluating(live):
                figures["train_fgsm"] = self._under(live, self.trained, FGSM(), threat)
                figures["train_robust"] = self._under(live, self.trained, pgd, threat)
        return figures

    def _logits(self, model: Classifier, images: Tensor) -> Tensor:
        device = device_of(model)
        with torch.no_grad():
            return torch.cat([model(x.to(device)).float().cpu() for x in torch.split(images, PIECE)])

    def _under(self, model: Classifier, batch: Batch, attack: FGSM | PGD, threat: Threat) -> float:
        """Share of the images that the attack does not break."""
        device = device_of(model)
        some = batch[slice(0, self.attacked)].to(device)
        oracle = Oracle(model, limit=PIECE, search_copy=search_copy(model, some.images[:2]))
        (found,), _ = attack.attack(oracle, some, norm=threat.norm, eps=[threat.eps], seed=self.seed)
        return 1 - float(widen(found.fooled).mean())


def _shares_right(logits: Tensor, labels: Tensor) -> Tensor:
    """Whether each image is right, or the share of its pixels that are, `[N]`."""
    right = predict(classes_last(logits)).eq(labels)
    if labels.ndim == 1:
        return widen(right)
    known = labels != IGNORED
    return widen((right & known).flatten(1).sum(1)) / known.flatten(1).sum(1).clamp(min=1)


def moved(model: Classifier, weights: Mapping[str, Tensor]) -> Classifier:
    """A copy of a classifier with other weights in its net."""
    other = copy.deepcopy(model)
    other.net.load_state_dict(dict(weights))
    return other
