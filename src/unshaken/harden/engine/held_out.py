"""`HeldOut`: forward passes of cross-validated networks over the parts that they were kept from, in shards."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.device import device_of, widen
from unshaken.core.oracle import Oracle
from unshaken.harden.engine.recipe import Recipe
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
