"""Small perceptrons of two classes, trained with and without PGD and with remedies against imbalance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unshaken.attack.gradient.pgd import PGD
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.oracle import Oracle
from unshaken.core.progress import Task
from unshaken.core.search_copy import search_copy
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.imbalance import imbalanced
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.adversarial.at import AdversarialTraining
from unshaken.harden.recipes.losses.class_balanced import ClassBalanced
from unshaken.harden.recipes.losses.worst_class import WorstClass
from unshaken.papers._disparity_run import FEWER, Pair, classwise
from unshaken.papers._training import cached_weights
from unshaken.papers.base import Bench
from unshaken.run.rows import Condition

WIDTH = 200
BUDGETS = (0, 2, 4)
"""Radii in 255ths, linf."""
REMEDIES: Mapping[str, Recipe] = {"class-balanced": ClassBalanced(), "worst-class": WorstClass(eta=0.5)}
STEP = 0.25


class Networks:
    """Perceptrons with 200 hidden units.

    Args:
        bench: where the rows go.
        task: advances by one for each network.
        pair: two classes.
        largest: images of the majority.
        epochs: of each training.
    """

    def __init__(self, bench: Bench, task: Task, pair: Pair, largest: int, epochs: int) -> None:
        self.bench, self.task, self.pair, self.largest, self.epochs = bench, task, pair, largest, epochs
        self.cached: list[bool] = []

    def run(self, seed: int) -> None:
        """All ratios and radii, and the remedies at the largest of both."""
        for ratio in FEWER:
            for budget in BUDGETS:
                last = ratio == max(FEWER) and budget == max(BUDGETS)
                for remedy in (None, *REMEDIES) if last else (None,):
                    label = f"s{seed}.nets-{ratio}-{budget}{'' if remedy is None else f'.{remedy}'}"
                    if not self.bench.run.has_rows("classwise", label, 0):
                        self.judged(label, self.trained(seed, ratio, budget, remedy), budget)
                    self.task.advance()

    def trained(self, seed: int, ratio: int, budget: int, remedy: str | None) -> Classifier:
        """One network."""
        x, y = self.pair.train
        rows = torch.from_numpy(imbalanced(y.numpy(), ratio=ratio, classes=(0, 1), largest=self.largest, seed=seed))
        model = perceptron(x, seed)
        recipes: Sequence[Recipe] = [] if remedy is None else [REMEDIES[remedy]]
        if budget:
            recipes = [*recipes, AdversarialTraining(eps=budget / 255, steps=10, step_size=STEP)]
        training = Training(
            epochs=self.epochs, batch_size=128, lr=0.02, weight_decay=0, held_out=1, select="last", check_images=2,
            check_every=self.epochs, channels_last=False, seed=seed, save_every=10**9,
        )  # fmt: skip
        key: dict[str, Any] = {
            "paper": "disparity", "data": self.pair.fingerprint, "classes": self.pair.name, "seed": seed,
            "ratio": ratio, "budget": budget, "remedy": remedy, "largest": self.largest, "epochs": self.epochs,
        }  # fmt: skip
        weights, found = cached_weights(
            key, lambda: fit(model, x[rows], y[rows], recipes, training, classes=2).last.net.state_dict()
        )
        self.cached.append(found)
        model.net.load_state_dict(weights)
        return model.eval()

    def judged(self, label: str, model: Classifier, budget: int) -> None:
        """Rows of one network on the balanced test set."""
        images, truth = self.pair.test
        eps = budget / 255
        clean, robust = outcomes_of(model, images, truth, eps, self.bench.seed)
        condition = Condition(label, "at" if budget else "erm", eps=eps, norm="linf")
        self.bench.keep([classwise(condition, truth.numpy() == 1, clean, robust)], 0)


def perceptron(images: Tensor, seed: int) -> Classifier:
    """`d - 200 - 2` with ReLU, the images' mean and deviation inside."""
    some = images[:5000].float() / 255
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
        net = nn.Sequential(nn.Flatten(), nn.Linear(images[0].numel(), WIDTH), nn.ReLU(), nn.Linear(WIDTH, 2))
    return Classifier(net, mean=some.mean((0, 2, 3)).tolist(), std=some.std((0, 2, 3)).clamp(min=1e-3).tolist())


def outcomes_of(
    model: Classifier, images: Tensor, labels: Tensor, eps: float, seed: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Who is right, and who stays right under PGD of 20 steps.

    Args:
        model: in evaluation mode.
        images: uint8 `[N, C, H, W]`.
        labels: int64 `[N]`.
        eps: linf radius; 0 for none.
        seed: of the attack.
    """
    batch = Batch(images.float() / 255, labels, tuple(str(i) for i in range(len(labels))))
    with evaluating(model):
        oracle = Oracle(model, limit=500, search_copy=search_copy(model, batch.images[:2]))
        right = (oracle.exact(batch.images).argmax(1) == labels).numpy()
        if not eps:
            return right, right
        (found,), _ = PGD(steps=20, step_size=0.125).attack(oracle, batch, norm="linf", eps=[eps], seed=seed)
    return right, right & ~found.fooled.numpy()
