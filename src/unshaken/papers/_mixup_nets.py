"""Networks trained with and without mixup until they know their training labels, from the cache where they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from unshaken.core.classifier import Classifier
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.augmentation.mixup import Mixup
from unshaken.papers._overlap_data import REACH
from unshaken.papers._training import cached_weights

WIDTH = 128


def mlp(dims: int, classes: int, seed: int) -> Classifier:
    """`d - 128 - 128 - K` with ReLU, on points as they were before they became bytes."""
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
        net = nn.Sequential(
            nn.Flatten(),
            nn.Linear(dims, WIDTH),
            nn.ReLU(),
            nn.Linear(WIDTH, WIDTH),
            nn.ReLU(),
            nn.Linear(WIDTH, classes),
        )
    return Classifier(net, mean=[0.5], std=[1 / (2 * REACH)])


def for_photos(arch: str, images: Tensor, classes: int, seed: int) -> Classifier:
    """`mlp`, or an architecture by name, with the images' mean and deviation inside."""
    if arch != "mlp":
        return fresh(arch, images, classes=classes, seed=seed)
    some = images[:5000].float() / 255
    net = mlp(images[0].numel(), classes, seed).net
    return Classifier(net, mean=some.mean((0, 2, 3)).tolist(), std=some.std((0, 2, 3)).clamp(min=1e-3).tolist())


def trained(
    model: Classifier, images: Tensor, labels: Tensor, *, points: int, epochs: int, seed: int, key: Mapping[str, Any]
) -> tuple[Classifier, bool]:
    """Adam at 1e-3, batches of 128, no augmentation and no decay: meant to memorise.

    Args:
        model: as it starts; left untrained where the cache has the weights.
        images: uint8 `[N, C, H, W]`.
        labels: int64 `[N]`.
        points: M of mixup; 1 for plain training (ERM).
        epochs: passes over the images.
        seed: of order and mixing.
        key: what else decides the weights.

    Returns:
        The network in evaluation mode, and whether it came from the cache.
    """
    training = Training(
        epochs=epochs, batch_size=128, lr=1e-3, optimizer="adam", weight_decay=0, schedule="constant", held_out=1,
        select="last", check_every=epochs, channels_last=False, seed=seed, save_every=10**9,
    )  # fmt: skip

    def make() -> Mapping[str, Tensor]:
        recipes = [] if points == 1 else [Mixup(points=points)]
        return fit(model, images, labels, recipes, training, classes=key["classes"]).last.net.state_dict()

    weights, found = cached_weights({**key, "points": points, "epochs": epochs, "seed": seed, "paper": "mixup"}, make)
    model.net.load_state_dict(weights)
    return model.eval(), found
