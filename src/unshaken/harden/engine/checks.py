"""Checks after an epoch: accuracy, signs of overfitting, and the figure that chooses the checkpoint."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from unshaken.attack.gradient.fgsm import FGSM
from unshaken.attack.gradient.pgd import PGD
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating, predict
from unshaken.core.device import device_of, widen
from unshaken.core.errors import ParameterError
from unshaken.core.masks import IGNORED, classes_last, cross_entropy
from unshaken.core.oracle import Oracle, required
from unshaken.core.search_copy import search_copy
from unshaken.harden.engine.recipe import Threat
from unshaken.harden.engine.training import Training

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
        threat, pgd = self.threat, PGD(steps=self.steps, rel_stepsize=2.5 / self.steps)
        with evaluating(kept):
            logits = self._logits(kept, self.held.images)
            labels = required(self.held.labels)
            figures["held_loss"] = float(cross_entropy(logits, labels))
            figures["held_accuracy"] = float(_shares_right(logits, labels).mean())
            if threat is not None:
                figures["held_attacked"] = float(min(self.attacked, len(self.held)))
                figures["held_robust"] = self._robust_share(kept, self.held, pgd, threat)
        if threat is not None:
            with evaluating(live):
                figures["train_fgsm"] = self._robust_share(live, self.trained, FGSM(), threat)
                figures["train_robust"] = self._robust_share(live, self.trained, pgd, threat)
        return figures

    def _logits(self, model: Classifier, images: Tensor) -> Tensor:
        device = device_of(model)
        with torch.no_grad():
            return torch.cat([model(x.to(device)).float().cpu() for x in torch.split(images, PIECE)])

    def _robust_share(self, model: Classifier, batch: Batch, attack: FGSM | PGD, threat: Threat) -> float:
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


CATASTROPHIC_DROP = 0.2
ROBUST_DROP = 0.02


def catastrophic_overfitting(curves: Sequence[dict[str, float]]) -> str | None:
    """A net that single steps no longer fool, while several do, from one check to the next.

    The sign is that accuracy under PGD on training images falls more than 20 points below its best, or below half of
    it, while accuracy under FGSM lies 20 points or more above it.

    Args:
        curves: one record a check, with `epoch`, `train_fgsm` and `train_robust`.

    Returns:
        One line for a person, or None.

    Source:
        Wong et al. 2020, arXiv:2001.03994.
    """
    measured = [c for c in curves if "train_robust" in c]
    if len(measured) < 2:
        return None
    now, best = measured[-1], max(c["train_robust"] for c in measured)
    gap = now["train_fgsm"] - now["train_robust"]
    if now["train_robust"] >= max(best - CATASTROPHIC_DROP, best / 2) or gap < CATASTROPHIC_DROP:
        return None
    return (
        f"catastrophic overfitting at epoch {now['epoch'] + 1:.0f}: on training images {now['train_fgsm']:.1%} "
        f"withstand FGSM but {now['train_robust']:.1%} PGD (best {best:.1%}); take n-fgsm, gradalign, or several steps "
        "(at)"
    )


def robust_overfitting(curves: Sequence[dict[str, float]]) -> str | None:
    """Held-out robust accuracy that falls while robust accuracy on training images goes on rising.

    A fall counts when it is more than 2 points and more than twice its standard error.

    Args:
        curves: one record a check, with `epoch`, `held_robust`, `held_attacked` and `train_robust`.

    Returns:
        One line for a person, or None.

    Source:
        Rice et al. 2020, arXiv:2002.11569.
    """
    measured = [c for c in curves if "held_robust" in c]
    if len(measured) < 3:
        return None
    top = max(measured, key=lambda c: c["held_robust"])
    now = measured[-1]
    last = sum(c["held_robust"] for c in measured[-2:]) / 2  # one check alone is noise
    error = math.sqrt(2 * last * (1 - last) / now["held_attacked"])
    if last > top["held_robust"] - max(ROBUST_DROP, 2 * error) or now["train_robust"] <= top["train_robust"]:
        return None
    return (
        f"robust overfitting at epoch {now['epoch'] + 1:.0f}: held-out robust accuracy fell from "
        f"{top['held_robust']:.1%} (epoch {top['epoch'] + 1:.0f}) to {now['held_robust']:.1%} while on training "
        f"images it rose to {now['train_robust']:.1%}; the checkpoint of the best epoch is kept; take awp or ema, "
        "or fewer epochs"
    )


MONITORS = {"catastrophic-overfitting": catastrophic_overfitting, "robust-overfitting": robust_overfitting}
"""Flag name to monitor."""


Validation = Callable[[Classifier, Batch], float]
"""A figure in [0, 1] of a classifier on held-out images."""
FIGURES = {
    "robust": "held_robust", "clean": "held_accuracy", "last": "held_accuracy", "repair": "held_repaired"
}  # fmt: skip
"""The figure by which each way to select compares checkpoints."""


def selection_of(training: Training, validation: Validation | None, *, threat: bool, labelled: bool) -> str:
    """The figure that chooses the checkpoint, a name in `FIGURES`.

    Args:
        training: what was asked for.
        validation: a figure that takes its place; None for none.
        threat: whether a recipe has a threat that the model can be attacked with.
        labelled: whether the images have labels.

    Raises:
        ParameterError: the figure is not there.
    """
    chosen: str = ("robust" if threat else "clean") if training.select == "auto" else training.select
    if not labelled:
        by_accuracy = {
            f"select={training.select}": training.select in ("robust", "clean"),
            "max_clean_loss": training.max_clean_loss is not None,
            "validation": validation is not None,
        }
        for name, given in by_accuracy.items():
            if given:
                raise ParameterError(
                    f"{name} needs accuracy on held-out images, and the data has no labels: leave it out"
                )
        chosen = "last"
    if chosen == "robust" and not threat:
        raise ParameterError("select=robust needs a recipe with a threat, such as at; choose clean or last")
    return chosen if validation is None else "repair"
