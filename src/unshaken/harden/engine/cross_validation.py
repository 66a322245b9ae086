"""`cross_validate`: probabilities of each training image by a network that was trained on the other parts alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.classifier import Classifier
from unshaken.core.progress import track
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.held_out import FOLDER, HeldOut, Shard, load_array, logits_of, save_array
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.engine.training import Training
from unshaken.store.run_dir import RunDir


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


def do_here(held: HeldOut, shards: Sequence[Shard]) -> None:
    """Do the forward passes of shards in this process."""
    for part, shard in shards:
        held.run_shard(part, shard)


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
    do: Callable[[HeldOut, Sequence[Shard]], None] = do_here,
) -> OutOfFold:
    """Train one network a fold, all from the same start, and keep what each says of the images that it has not seen.

    A fold that is finished is kept in `folds/` of the run directory, and read again on resuming; so are the weights
    of a network that is trained, and the shards of its forward passes, until its fold is finished.

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
        do: does the forward passes of shards; by default this process, one shard after another.
    """
    held = HeldOut(run, arch, fold, classes, device, lambda rows: images[torch.from_numpy(rows)], tuple(recipes))
    with track("folds", len(held.parts)) as task:
        for part in held.parts:
            if held.lacks_network(part) or (watch and not run.exists(*_margins_of(part))):
                seen = torch.from_numpy(fold != part)
                _train_fold(held, part, images[seen], labels[seen], training, watch=watch)
            task.advance(1)
    if left := held.left():
        do(held, left)
    found = np.empty((len(labels), classes), np.float32)
    for part in held.parts:
        found[fold == part] = held.finish(part)
    return OutOfFold(found, _watched(run, fold, held.parts) if watch else None)


def _train_fold(held: HeldOut, part: int, images: Tensor, labels: Tensor, training: Training, *, watch: bool) -> None:
    """Train the network of a part on the images of all other parts, and keep it."""
    epochs: list[Tensor] = []

    def note(live: Classifier) -> None:
        epochs.append(margins_of(logits_of(live, images), labels))

    model = fresh(held.arch, images, classes=held.classes, seed=training.seed).to(held.device)
    given = (model, images, labels, held.recipes, training)
    made = fit(*given, classes=held.classes, after_epoch=note if watch else None).model
    if watch:
        save_array(held.run, torch.stack(epochs).numpy(), *_margins_of(part))
    if held.lacks_network(part):
        held.keep_network(part, made)


def _watched(run: RunDir, fold: NDArray[np.int64], parts: Sequence[int]) -> NDArray[np.float32]:
    """Margins of all trainings, `[networks * epochs, N]`."""
    found = []
    for part in parts:
        watched = load_array(run, *_margins_of(part))
        found.append(np.full((len(watched), len(fold)), np.nan, np.float32))
        found[-1][:, fold != part] = watched
    return np.concatenate(found)


def _margins_of(part: int) -> tuple[str, str]:
    return FOLDER, f"margins-{part}.npy"


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
