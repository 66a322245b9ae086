"""A small vision transformer, and four continuations of its training, with and without what the row tries."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unshaken.core.classifier import Classifier
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.architecture.tap import TAP
from unshaken.harden.recipes.augmentation.crop_flip import CropFlip
from unshaken.harden.recipes.losses.adl import ADL
from unshaken.papers._mae_nets import Split
from unshaken.papers._training import cached, cached_weights

SMALL = "small-vit"
COMMON: Mapping[str, Any] = {"optimizer": "adamw", "weight_decay": 0.05, "select": "last", "held_out": 100}


@dataclass(frozen=True, slots=True)
class Arms:
    """One network before, and its continuations.

    Args:
        split: images.
        own: the user's own network; None for a small one, trained here first.
        seed: of weights, order and augmentation.
        epochs: of the small one's training before.
        tune: epochs of each continuation.
        rate: largest learning rate of the continuations.
        weight: of the penalty.
        threshold: of the penalty.
        identity: added to the logit of the token itself, so that pooling begins near the trained network.
    """

    split: Split
    own: Classifier | None
    seed: int
    epochs: int
    tune: int
    rate: float
    weight: float
    threshold: float
    identity: float

    def recipes(self) -> dict[str, list[Recipe]]:
        """What each continuation learns with, beside crops and mirror images."""
        tap = TAP(identity=self.identity, seed=self.seed)
        adl = ADL(weight=self.weight, threshold=self.threshold)
        return {"plain": [], "tap": [tap], "adl": [adl], "tap+adl": [tap, adl]}

    def base(self) -> tuple[Classifier, bool]:
        """The network before, and whether it was there."""
        if self.own is not None:
            return self.own, True
        training = self._training(self.epochs, 2e-3)

        def make() -> Classifier:
            start = fresh(SMALL, self.split.images, classes=self.split.classes, seed=self.seed)
            return self._fitted(start, [], training)

        return cached(self._key(training), SMALL, make)

    def arm(self, name: str, base: Classifier) -> tuple[Classifier, bool]:
        """A continuation, and whether it was there."""
        recipes, training = self.recipes()[name], self._training(self.tune, self.rate)
        start = copy.deepcopy(base)
        for recipe in recipes:
            start = recipe.rebuild(start)
        told = {type(r).__name__: r.model_dump(mode="json") for r in recipes}
        before = self._key(self._training(self.epochs, 2e-3)) if self.own is None else {"own": base.name}
        key = {"before": before, "recipes": told, **self._key(training)}

        def make() -> Mapping[str, Any]:
            return self._fitted(copy.deepcopy(start), recipes, training).net.state_dict()

        weights, old = cached_weights(key, make)
        start.net.load_state_dict(weights)
        return start.eval(), old

    def _fitted(self, model: Classifier, recipes: Sequence[Recipe], training: Training) -> Classifier:
        images, labels = self.split.images, self.split.labels
        return fit(model, images, labels, [CropFlip(), *recipes], training, classes=self.split.classes).last

    def _training(self, epochs: int, rate: float) -> Training:
        return Training(epochs=epochs, lr=rate, check_every=epochs, seed=self.seed, **COMMON)

    def _key(self, training: Training) -> dict[str, Any]:
        return {"data": self.split.fingerprint, "train": len(self.split.images), **training.model_dump(mode="json")}
