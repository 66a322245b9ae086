"""Networks for the experiment with mixtures: an accurate one, a robust one, one for noise; trained here, or given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import required
from unshaken.data import load_data, subset
from unshaken.data.resident import Samples
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.adversarial.at import AdversarialTraining
from unshaken.harden.recipes.augmentation.gaussian_augmented import GaussianAugmented
from unshaken.harden.recipes.ensembles.mixing_network import MixingNetwork
from unshaken.models import load_model
from unshaken.papers._tract_nets import read_pictures
from unshaken.papers._training import cached_weights
from unshaken.papers.base import Bench

ARCH = "strided-cnn"
RATE = 0.1


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is trained.

    Args:
        train: images of g, h and the one for noise.
        epochs: of g.
        robust_epochs: of h.
        eps: radius of h's training and of all attacks.
        sigma: noise of the one for votes; 0 for none.
        mixing: images of the mixing network; 0 for none.
        mixing_epochs: of the mixing network.
    """

    train: int
    epochs: int
    robust_epochs: int
    eps: float
    sigma: float
    mixing: int
    mixing_epochs: int


@dataclass(frozen=True, slots=True)
class Pair:
    """The networks of one seed.

    Args:
        accurate: g.
        robust: h.
        noisy: trained with noise, for votes; None for none.
        mixing: a mixture of g and h with a mixing network; None for none.
        cached: whether all came from the cache, or were given.
    """

    accurate: Classifier
    robust: Classifier
    noisy: Classifier | None
    mixing: Classifier | None
    cached: bool


class TrainedPairs:
    """Networks trained here, by seed, and test images.

    Args:
        bench: names the data; it must have the splits train and test.
        sizes: how much is trained.
        test: test images.

    Raises:
        DataError: the data is absent; the message says how to get it.
    """

    def __init__(self, bench: Bench, sizes: Sizes, test: int) -> None:
        self.sizes, self.pictures = sizes, read_pictures(bench, sizes.train, test)
        self.test = self.pictures.test

    def key(self) -> dict[str, Any]:
        """What decides networks and images."""
        return {"arch": ARCH, **self.pictures.key}

    def pair(self, seed: int, *, mixing: bool) -> Pair:
        """The networks of one seed.

        Args:
            seed: of weights and training.
            mixing: whether a mixing network is wanted.
        """
        sizes = self.sizes
        accurate, old = self._trained("accurate", (), sizes.epochs, seed)
        attack = AdversarialTraining(eps=sizes.eps, steps=3, step_size=0.5)
        robust, old_robust = self._trained("robust", (attack,), sizes.robust_epochs, seed)
        found, noisy, gated = [old, old_robust], None, None
        if sizes.sigma:
            noisy, old = self._trained("noisy", (GaussianAugmented(sigma=sizes.sigma),), sizes.epochs, seed)
            found.append(old)
        if sizes.mixing and mixing:
            gated, old = self._gated(accurate, robust, seed)
            found.append(old)
        return Pair(accurate, robust, noisy, gated, all(found))

    def _gated(self, accurate: Classifier, robust: Classifier, seed: int) -> tuple[Classifier, bool]:
        """A mixture with a mixing network, of copies of both."""
        sizes, pictures, recipe = self.sizes, self.pictures, mixing_recipe(self.sizes.eps).beside(robust)
        model = fresh(ARCH, pictures.images, classes=pictures.classes, seed=seed)
        model.net.load_state_dict(accurate.net.state_dict())
        model, rows = recipe.rebuild(model), slice(0, sizes.mixing)
        key = self._key("mixing", (recipe,), sizes.mixing_epochs, seed) | {"images": sizes.mixing, "of": sizes.epochs}
        weights, old = cached_weights(
            key | {"eps": sizes.eps},
            lambda: _fitted(model, pictures.images[rows], pictures.labels[rows], [recipe], key["epochs"], seed,
                            pictures.classes),
        )  # fmt: skip
        model.net.load_state_dict(weights)
        return model.eval(), old

    def _trained(self, name: str, recipes: Sequence[Recipe], epochs: int, seed: int) -> tuple[Classifier, bool]:
        pictures = self.pictures
        model = fresh(ARCH, pictures.images, classes=pictures.classes, seed=seed)
        weights, old = cached_weights(
            self._key(name, recipes, epochs, seed),
            lambda: _fitted(model, pictures.images, pictures.labels, recipes, epochs, seed, pictures.classes),
        )
        model.net.load_state_dict(weights)
        return model.eval(), old

    def _key(self, name: str, recipes: Sequence[Recipe], epochs: int, seed: int) -> dict[str, Any]:
        return {
            "adaptive-smoothing": 1,
            "net": name,
            "arch": ARCH,
            **self.pictures.key,
            "recipes": [[r.info.name, r.model_dump(mode="json")] for r in recipes],
            "epochs": epochs,
            "robust_epochs": self.sizes.robust_epochs,
            "rate": RATE,
            "seed": seed,
        }


def mixing_recipe(eps: float) -> MixingNetwork:
    """The mixing network at a small scale: two attacked copies, attacks of about ten steps."""
    return MixingNetwork(
        eps=eps,
        scale_accurate=1.0,
        scale_robust=1.0,
        alpha_bias=0.7,
        alpha_scale=0.29,
        gate_bias=1.0,
        momentum=0.05,
        widths="32+32+32",
        blocks=1,
        copies=2,
        steps=10,
        c_prod=0.3,
    )


def _fitted(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    recipes: Sequence[Recipe],
    epochs: int,
    seed: int,
    classes: int,
) -> dict[str, Tensor]:
    mixing = any(isinstance(r, MixingNetwork) for r in recipes)
    training = Training(
        epochs=epochs,
        batch_size=32 if mixing else 128,
        lr=0.003 if mixing else RATE,
        optimizer="adamw" if mixing else "sgd",
        clip=10.0 if mixing else None,
        held_out=50,
        check_images=4,
        check_every=epochs,
        select="last",
        seed=seed,
    )
    return fit(model, images, labels, recipes, training, classes=classes).last.net.state_dict()


class GivenPair:
    """The user's own two models, the same for every seed.

    Args:
        bench: names the models as `ACCURATE|ROBUST`, and the data.
        test: test images.

    Raises:
        ParameterError: not two models are named.
    """

    def __init__(self, bench: Bench, test: int) -> None:
        specs = [s.strip() for s in bench.model.split("|")]
        if len(specs) != 2 or not all(specs):
            raise ParameterError(
                f"adaptive-smoothing: model {bench.model!r}: name two, the accurate and the robust one, as in "
                "'run:runs/plain|run:runs/robust'"
            )
        accurate, robust = (load_model(s, download=bench.download).eval() for s in specs)
        data = load_data(bench.data, download=bench.download)
        if data.labels is None:
            raise ParameterError(f"adaptive-smoothing: data {bench.data!r} has no labels: attacks need them")
        samples = Samples(data, accurate.view, len(data.classes) or int(data.labels.max()) + 1)
        usable = set(samples.good.tolist())
        rows = [int(i) for i in subset(data, min(test, len(data)), 0) if int(i) in usable]
        batch = samples.whole(torch.tensor(rows).numpy())
        order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(0))
        self.test: Batch = batch[order]
        self.names, self.fingerprint = specs, data.fingerprint
        self.given = Pair(accurate, robust, None, None, True)

    def key(self) -> dict[str, Any]:
        """What decides networks and images."""
        return {"models": self.names, "data": self.fingerprint, "images": len(required(self.test.labels))}

    def pair(self, seed: int, *, mixing: bool) -> Pair:
        """The two models."""
        return self.given
