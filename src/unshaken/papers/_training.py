"""A plain training loop for the small networks of experiments, and a cache of what it made."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import platformdirs
import torch
import torch.nn.functional as F
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from unshaken.core.classifier import Classifier
from unshaken.core.progress import track
from unshaken.models import load_model, save_model
from unshaken.models.networks.architectures import build
from unshaken.run.store import RunDir

Stop = Callable[[Classifier, float], bool]
"""From the network in evaluation mode and the epochs made to whether they are enough."""
Augment = Callable[[Tensor, np.random.Generator], Tensor]
"""From a batch `[N, C, H, W]` in [0, 1] and a source of randomness to what the network is shown."""

RECIPE = 1
"""Part of the cache's key: raise it when the loop changes what it makes."""


def train_classifier(
    images: Tensor,
    labels: Tensor,
    *,
    arch: str,
    side: int,
    augment: Augment,
    epochs: int,
    seed: int,
    batch_size: int = 128,
    rate: float = 0.2,
    optimizer: Literal["sgd", "adamw"] = "sgd",
    weight_decay: float = 5e-4,
    smoothing: float = 0.05,
    stop: Stop | None = None,
    asks: int = 1,
) -> Classifier:
    """Train under `one_cycle` rates, on the CPU; the same seed gives the same network.

    Args:
        images: uint8 `[N, C, H, W]`, all in memory.
        labels: int64 `[N]`, from 0.
        arch: as in `unshaken.models.networks.architectures`.
        side: height and width in pixels of what `augment` gives.
        augment: see `Augment`.
        epochs: passes over the images.
        seed: of the weights, the order and the augmentation.
        batch_size: images a step.
        rate: the largest learning rate.
        optimizer: `sgd` with Nesterov momentum of 0.9, or `adamw`.
        weight_decay: of the optimizer.
        smoothing: of the labels, in [0, 1).
        stop: see `Stop`; None for all epochs.
        asks: times an epoch that `stop` is asked.

    Returns:
        The network in evaluation mode, with the mean and deviation of the images' channels inside.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    sample = images[: min(len(images), 5000)].float() / 255
    with _drawn(seed):
        net = build(arch, classes=int(labels.max()) + 1, channels=images.shape[1], side=side)
    mean, std = sample.mean((0, 2, 3)).tolist(), sample.std((0, 2, 3)).clamp(min=1e-3).tolist()
    model = Classifier(net, mean=mean, std=std).train()
    steps = max(1, len(images) // batch_size)
    total = epochs * steps
    descent = _optimizer(optimizer, net, rate, weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(descent, lambda step: one_cycle(step, total))
    last = sorted({round((i + 1) * steps / asks) for i in range(asks)})
    with track("training", total) as task:
        for epoch in range(epochs):
            order = np.array_split(rng.permutation(len(images))[: steps * batch_size], steps)
            for step, rows in enumerate(order, 1):
                chosen = torch.from_numpy(rows)
                shown = augment(images[chosen].float() / 255, rng)
                loss = F.cross_entropy(model(shown), labels[chosen], label_smoothing=smoothing)
                descent.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                descent.step()
                schedule.step()
                task.advance()
                if stop is not None and step in last:
                    if stop(model.eval(), epoch + step / steps):
                        return model
                    model.train()
    return model.eval()


def _optimizer(name: str, net: nn.Module, rate: float, weight_decay: float) -> torch.optim.Optimizer:
    if name == "adamw":
        return torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=weight_decay)
    return torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9, weight_decay=weight_decay, nesterov=True)


def one_cycle(step: int, total: int) -> float:
    """The learning rate of a step, as a share of the largest: linear up for a quarter, then half a cosine down to 0.

    >>> [round(one_cycle(step, 8), 2) for step in range(8)]
    [0.5, 1.0, 1.0, 0.93, 0.75, 0.5, 0.25, 0.07]
    """
    rise = max(1, total // 4)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))


def cache_dir() -> Path:
    """Where trained networks are kept: `$UNSHAKEN_CACHE`, else the user's cache folder."""
    own = os.environ.get("UNSHAKEN_CACHE")
    return Path(own).expanduser() if own else Path(platformdirs.user_cache_dir("unshaken"))


def cached(key: Mapping[str, Any], arch: str, make: Callable[[], Classifier]) -> tuple[Classifier, bool]:
    """A network from the cache, else made and put there.

    Args:
        key: all that decides it: the data's fingerprint, the recipe's parameters, the seed.
        arch: as in `save_model`.
        make: trains it.

    Returns:
        The network, and whether it came from the cache.
    """
    text = _key(key, arch=arch)
    folder = cache_dir() / "papers" / hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    found = (folder / "model.json").is_file()
    if not found:
        save_model(make(), folder, arch=arch)
    return load_model(f"run:{folder}"), found


def cached_weights(key: Mapping[str, Any], make: Callable[[], Mapping[str, Tensor]]) -> tuple[dict[str, Tensor], bool]:
    """Weights from the cache, else made and put there, for what has no architecture of its own.

    Args:
        key: all that decides them: the data's fingerprint, recipes and their parameters, the seed.
        make: trains, and gives the state dict.

    Returns:
        The weights, and whether they came from the cache.
    """
    text = _key(key)
    folder = RunDir(cache_dir() / "papers")
    name = f"{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}.safetensors"
    found = folder.exists(name)
    if not found:
        folder.write(save_tensors({k: v.detach().cpu().contiguous().clone() for k, v in make().items()}), name)
    return load_tensors(folder.read(name)), found


def _key(key: Mapping[str, Any], **more: Any) -> str:
    """The text that stands for what decides a network.

    Raises:
        ValueError: the caller's key says otherwise what is filled in here.
    """
    own = {**more, "recipe": RECIPE}
    if taken := sorted(k for k in own if k in key and key[k] != own[k]):
        raise ValueError(f"cache key {', '.join(taken)} is filled in by the cache: name it otherwise")
    return json.dumps({**key, **own}, sort_keys=True)


@contextmanager
def _drawn(seed: int) -> Iterator[None]:
    """Weights drawn from a seed; the caller's random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
        yield
