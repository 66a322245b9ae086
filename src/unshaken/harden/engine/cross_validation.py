"""`cross_validate`: probabilities of each training image by a network that was trained on the other parts alone."""

from __future__ import annotations

import io
from collections.abc import Sequence

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
) -> NDArray[np.float32]:
    """Train one network a fold, all from the same start, and keep what each says of the images that it has not seen.

    A fold that is finished is kept as `folds/fold-I.npy` of the run directory, and read again on resuming.

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

    Returns:
        Probabilities `[N, K]`.
    """
    found = np.empty((len(labels), classes), np.float32)
    parts = np.unique(fold).tolist()
    with track("folds", len(parts)) as task:
        for part in parts:
            apart, place = torch.from_numpy(fold == part), ("folds", f"fold-{part}.npy")
            if not run.exists(*place):
                model = fresh(arch, images[~apart], classes=classes, seed=training.seed).to(device)
                made = fit(model, images[~apart], labels[~apart], recipes, training, classes=classes).model
                file = io.BytesIO()
                np.save(file, probabilities_of(made, images[apart]))
                run.write(file.getvalue(), *place)
            found[apart.numpy()] = np.load(io.BytesIO(run.read(*place)), allow_pickle=False)
            task.advance(1)
    return found


def probabilities_of(model: Classifier, images: Tensor) -> NDArray[np.float32]:
    """Softmax probabilities `[N, K]` of images in memory.

    Args:
        model: in any mode; evaluated in evaluation mode.
        images: uint8 `[N, C, H, W]`.
    """
    device = next(model.parameters()).device
    with evaluating(model), torch.no_grad():
        oracle = Oracle(model)
        logits = [oracle.forward(part.to(device).float() / 255)[0].cpu() for part in torch.split(images, PIECE)]
    probabilities: NDArray[np.float32] = torch.cat(logits).double().softmax(1).float().numpy()
    return probabilities
