"""`cross_validate`: probabilities of each training image by a network that was trained on the other parts alone."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.oracle import Oracle
from unshaken.core.progress import track
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.engine.training import Training
from unshaken.run.store import RunDir

PIECE = 512
"""Images in a pass."""


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """What networks say that were each trained without one part of the images.

    Args:
        probabilities: of each image by the network that was trained without its part, `[N, K]`.
        margins: where trainings were watched: of the given label's logit to the largest other one, by every other
            network after each of its epochs, `[networks * epochs, N]`; NaN for the part that a network was kept from.
    """

    probabilities: NDArray[np.float32]
    margins: NDArray[np.float32] | None = None


def cross_validate(
    arch: str,
    images: Tensor,
    labels: Tensor,
    fold: NDArray[np.int64],
    training: Training,
    recipes: Sequence[Recipe] = (),
    *,
    classes: int,
    device: torch.device,
    run: RunDir,
    watch: bool = False,
) -> OutOfFold:
    """Train one network a fold, all from the same start, and keep what each says of the images that it has not seen.

    A fold that is finished is kept in `folds/` of the run directory, and read again on resuming.

    Args:
        arch: of the networks, as in `unshaken.models.networks.architectures`.
        images: uint8 `[N, C, H, W]`.
        labels: int64 `[N]`.
        fold: of each image, int `[N]`.
        training: of each network.
        recipes: likewise.
        classes: number of classes K.
        device: to train on.
        run: the run directory; its settings must be those of the folds that are there.
        watch: record margins after each epoch; costs a forward pass of the training images.
    """
    found = np.empty((len(labels), classes), np.float32)
    margins: list[NDArray[np.float32]] = []
    parts = np.unique(fold).tolist()
    with track("folds", len(parts)) as task:
        for part in parts:
            apart, place = torch.from_numpy(fold == part), ("folds", f"fold-{part}.npy")
            seen, beside = ~apart, ("folds", f"margins-{part}.npy")
            if not run.exists(*place) or (watch and not run.exists(*beside)):
                model = fresh(arch, images[seen], classes=classes, seed=training.seed).to(device)
                epochs: list[Tensor] = []

                def note(live: Classifier, seen: Tensor = seen, epochs: list[Tensor] = epochs) -> None:
                    epochs.append(margins_of(logits_of(live, images[seen]), labels[seen]))

                shown = (model, images[seen], labels[seen], recipes, training)
                made = fit(*shown, classes=classes, after_epoch=note if watch else None).model
                if watch:
                    _save(run, torch.stack(epochs).numpy(), beside)
                _save(run, logits_of(made, images[apart]).double().softmax(1).float().numpy(), place)
            found[apart.numpy()] = _load(run, place)
            if watch:
                watched = _load(run, beside)
                margins.append(np.full((len(watched), len(labels)), np.nan, np.float32))
                margins[-1][:, seen.numpy()] = watched
            task.advance(1)
    return OutOfFold(found, np.concatenate(margins) if watch else None)


def logits_of(model: Classifier, images: Tensor) -> Tensor:
    """Logits `[N, K]` of images in memory, on the CPU.

    Args:
        model: in any mode; evaluated in evaluation mode.
        images: uint8 `[N, C, H, W]`.
    """
    device = next(model.parameters()).device
    with evaluating(model), torch.no_grad():
        oracle = Oracle(model)
        return torch.cat([oracle.forward(x.to(device).float() / 255)[0].cpu() for x in torch.split(images, PIECE)])


def margins_of(logits: Tensor, labels: Tensor) -> Tensor:
    """The label's logit less the largest other one, `[N]`.

    Args:
        logits: `[N, K]`.
        labels: int64 `[N]`.

    >>> margins_of(torch.tensor([[1.0, 3.0, 2.0]]), torch.tensor([1])).tolist()
    [1.0]
    """
    own = logits.gather(1, labels[:, None])
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return own[:, 0] - others.amax(1)


def _save(run: RunDir, values: NDArray[np.float32], place: tuple[str, str]) -> None:
    file = io.BytesIO()
    np.save(file, values)
    run.write(file.getvalue(), *place)


def _load(run: RunDir, place: tuple[str, str]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = np.load(io.BytesIO(run.read(*place)), allow_pickle=False)
    return found
