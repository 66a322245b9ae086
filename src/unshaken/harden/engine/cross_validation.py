"""`cross_validate`: probabilities of each training image by a network that was trained on the other parts alone."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.device import device_of, widen
from unshaken.core.oracle import Oracle
from unshaken.core.progress import track
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.engine.training import Training
from unshaken.models.networks.architectures import build
from unshaken.store.run_dir import RunDir
from unshaken.store.tensor_file import TensorFile

FOLDER = "folds"
"""Folder of the run directory."""
SHARD = 512
"""Images in a shard, and in a pass."""
NET = "net."
"""Before the names of the network's tensors, beside the mean and the deviation that it normalises with."""

Shard = tuple[int, int]
"""A part, and the number of a shard of its images."""


@dataclass(frozen=True)
class HeldOut:
    """The passes of a cross-validation; each shard is a pure function of the network and its images.

    Args:
        run: the run directory, where networks, shards and finished folds are kept.
        arch: of the networks.
        fold: of each image the part that it belongs to, int `[N]`.
        classes: number of classes K.
        device: to compute on.
        images: from places int `[n]` of images to these, uint8 `[n, C, H, W]`.
        recipes: that the networks are trained by.
    """

    run: RunDir
    arch: str
    fold: NDArray[np.int64]
    classes: int
    device: torch.device
    images: Callable[[NDArray[np.int64]], Tensor]
    recipes: tuple[Recipe, ...] = ()

    @cached_property
    def parts(self) -> list[int]:
        """All parts that have an image."""
        return [int(part) for part in np.unique(self.fold)]

    @cached_property
    def _networks(self) -> dict[int, Classifier]:
        """The network that was used last."""
        return {}

    def lacks_network(self, part: int) -> bool:
        """Whether a part's network is still to be trained."""
        return not (self.run.exists(*_finished(part)) or self.run.exists(*_network(part)))

    def keep_network(self, part: int, model: Classifier) -> None:
        """Keep a network until its part is finished."""
        tensors = {NET + name: value.clone() for name, value in model.net.state_dict().items()}  # clone: none is shared
        if model.mean is not None and model.std is not None:
            tensors |= {"mean": model.mean, "std": model.std}
        self.run.write_tensors(TensorFile(tensors), *_network(part))

    def left(self) -> list[Shard]:
        """The shards that are not there yet, of parts that are not finished."""
        unfinished = [part for part in self.parts if not self.run.exists(*_finished(part))]
        shards = [(part, shard) for part in unfinished for shard in range(self._count(part))]
        return [one for one in shards if not self.run.exists(*_passes(*one))]

    def size(self, part: int, shard: int) -> int:
        """The number of images in a shard."""
        return len(self._rows(part, shard))

    def run_shard(self, part: int, shard: int) -> None:
        """Write the probabilities of one shard's images, unless they are there."""
        if self.run.exists(*_passes(part, shard)):
            return
        images = self.images(self._rows(part, shard))
        logits = logits_of(self._load(part, images), images)
        save_array(self.run, widen(logits).softmax(1).float().numpy(), *_passes(part, shard))

    def finish(self, part: int) -> NDArray[np.float32]:
        """Probabilities `[n, K]` of all images of a part, whose shards are there; its network is dropped."""
        if not self.run.exists(*_finished(part)):
            shards = [load_array(self.run, *_passes(part, shard)) for shard in range(self._count(part))]
            save_array(self.run, np.concatenate(shards), *_finished(part))
        for place in (_network(part), *(_passes(part, shard) for shard in range(self._count(part)))):
            self.run.remove(*place)
        return load_array(self.run, *_finished(part))

    def _count(self, part: int) -> int:
        return -(-int((self.fold == part).sum()) // SHARD)

    def _rows(self, part: int, shard: int) -> NDArray[np.int64]:
        return np.flatnonzero(self.fold == part)[shard * SHARD : (shard + 1) * SHARD]

    def _load(self, part: int, images: Tensor) -> Classifier:
        if part not in self._networks:
            tensors = self.run.read_tensors(*_network(part)).tensors
            net = build(self.arch, classes=self.classes, channels=images.shape[1], side=images.shape[2])
            mean, std = (tensors[name].flatten().tolist() if name in tensors else None for name in ("mean", "std"))
            model = Classifier(net, mean=mean, std=std)
            for recipe in self.recipes:
                model = recipe.rebuild(model)
            model.net.load_state_dict({k.removeprefix(NET): v for k, v in tensors.items() if k.startswith(NET)})
            self._networks.clear()
            self._networks[part] = model.to(self.device)
        return self._networks[part]


def _network(part: int) -> tuple[str, str]:
    return FOLDER, f"network-{part}.safetensors"


def _passes(part: int, shard: int) -> tuple[str, str]:
    return FOLDER, f"passes-{part}-{shard:05d}.npy"


def _finished(part: int) -> tuple[str, str]:
    return FOLDER, f"fold-{part}.npy"


def logits_of(model: Classifier, images: Tensor) -> Tensor:
    """Logits `[N, K]` of images in memory, on the CPU.

    Args:
        model: in any mode; evaluated in evaluation mode.
        images: uint8 `[N, C, H, W]`.
    """
    device = device_of(model)
    with evaluating(model), torch.no_grad():
        oracle = Oracle(model)
        return torch.cat([oracle.forward(x.to(device).float() / 255)[0].cpu() for x in torch.split(images, SHARD)])


def save_array(run: RunDir, values: NDArray[np.float32], *place: str) -> None:
    """Write an array as a `.npy` file of a run directory."""
    file = io.BytesIO()
    np.save(file, values)
    run.write(file.getvalue(), *place)


def load_array(run: RunDir, *place: str) -> NDArray[np.float32]:
    """The array of a `.npy` file of a run directory."""
    found: NDArray[np.float32] = np.load(io.BytesIO(run.read(*place)), allow_pickle=False)
    return found


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """Predictions of networks that were each trained without one part of the images.

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
    """Train one network a fold, all from the same start, and keep its outputs for images that it did not see.

    A fold that is finished is kept in `folds/` of the run directory, and read again on resuming; so are the weights
    of a network that is trained, and the shards of its forward passes, until its fold is finished.

    Args:
        arch: of the networks, as in `unshaken.models.networks.architectures`.
        images: uint8 `[N, C, H, W]`.
        labels: int64 `[N]`.
        fold: of each image, int `[N]`.
        training: of each network.
        recipes: of each network.
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
                others = torch.from_numpy(fold != part)
                _train_fold(held, part, images[others], labels[others], training, watch=watch)
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
