"""Training for the experiment with rRCM: encoders pretrained in several ways, tuned alike on few labels; a denoiser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unshaken.core.classifier import Classifier
from unshaken.generate.edm import EDM
from unshaken.generate.fit import Fitting
from unshaken.generate.fit import fit as fit_diffusion
from unshaken.generate.unet import UNet, UNetSettings
from unshaken.harden.defences.denoise import DenoisingClassifier
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.pretraining.rrcm import RepresentationConsistency
from unshaken.harden.recipes.pretraining.rrcm_tune import RepresentationTuning
from unshaken.models.networks.timed_cnn import TimedCNN
from unshaken.papers._tract_nets import Pictures
from unshaken.papers._training import cached_weights

TIMED = "timed-cnn"
BATCH = 256
HELD = 20
CURVES = ("contrast", "consistency", *(f"consistency_quarter{q}" for q in range(1, 5)))
ARMS: Mapping[str, Mapping[str, float] | None] = {
    "scratch": None,
    "contrast": {"consistency": 0.0},
    "full": {},
    "consistency": {"contrast": 0.0},
}
"""What is pretrained; None for nothing."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is trained.

    Args:
        epochs: of pretraining.
        steps: of tuning, of which a fifth are the head's own.
        per_class: labelled images of each class.
    """

    epochs: int
    steps: int
    per_class: int


@dataclass(slots=True)
class Workshop:
    """Makes networks, or finds them in the cache.

    Args:
        arch: of the encoder.
        pictures: images; all but a few are shown without labels.
        sizes: how much is trained.
        cached: whether all came from the cache so far.
    """

    arch: str
    pictures: Pictures
    sizes: Sizes
    cached: bool = True

    def start(self, seed: int) -> Classifier:
        """Fresh weights, the same for every arm of a seed."""
        images, classes = self.pictures.images, self.pictures.classes
        if self.arch != TIMED:
            return fresh(self.arch, images, classes=classes, seed=seed)
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
            net = TimedCNN(classes, images.shape[1], images.shape[2])
        return Classifier(net, mean=[0.5] * images.shape[1], std=[0.5] * images.shape[1])

    def pretrained(self, arm: str, seed: int) -> tuple[Classifier, dict[str, list[float]]]:
        """The encoder of an arm, and the curves of its pretraining; none where there was no pretraining."""
        model, own = self.start(seed), ARMS[arm]
        if own is None:
            return model, {}
        recipe = RepresentationConsistency(seed=seed, **own)
        training = self._training(self.sizes.epochs, 2e-3, seed, batch_size=BATCH, schedule="one-cycle", clip=2.0)
        model = recipe.rebuild(model)

        def make() -> dict[str, Tensor]:
            images, labels = self.pictures.images, self.pictures.labels
            done = fit(model, images, labels, [recipe], training, classes=self.pictures.classes)
            told = {k: [c.get(k, float("nan")) for c in done.progress.curves] for k in CURVES}
            told["seconds"] = [done.progress.seconds]
            return {**done.last.net.state_dict(), **{f"curve.{k}": torch.tensor(v) for k, v in told.items()}}

        kept = self._cached({"arm": arm, **dict(own), **training.model_dump(mode="json")}, make)
        curves = {k: kept.pop(f"curve.{k}").tolist() for k in (*CURVES, "seconds")}
        model.net.load_state_dict(kept)
        return model, curves

    def tuned(self, model: Classifier, arm: str, seed: int, sigma: float, *, probe: bool = False) -> Classifier:
        """A classifier for one level of noise from few labels; a probe learns the head alone, on plain noise.

        Args:
            model: pretrained; changed.
            arm: its name.
            seed: of the order, the noise and the choice of the labelled images.
            sigma: in [0, 1] pixel units.
            probe: the head alone.
        """
        steps = self.sizes.steps
        recipe = (
            RepresentationTuning(sigma=sigma, lbd=0, eta=0, head_steps=10**9, seed=seed)
            if probe
            else RepresentationTuning(sigma=sigma, lbd=5, eta=0.5, head_steps=steps // 5, seed=seed)
        )
        training = self._tuning(1e-2 if probe else 1e-3, seed, steps // 2 if probe else steps)
        key = {"arm": arm, "pretraining": self.sizes.epochs, "tuning": recipe.model_dump(mode="json")}
        key |= training.model_dump(mode="json")
        return self._made(model, [recipe], training, key, seed)

    def denoised(self, seed: int, sigma: float, steps: int) -> Classifier:
        """A denoiser that learned from all images, in front of the same network, tuned on the same few clean ones."""
        training = self._tuning(1e-3, seed, self.sizes.steps)
        key = {"arm": "clean", **training.model_dump(mode="json")}
        clean = self._made(self.start(seed), [], training, key, seed)
        images = self.pictures.images
        _, channels, height, width = images.shape
        halves = next(h for h in (4, 2, 1) if height % h == width % h == 0)  # what the sides can be divided by
        levels, patch = ((1, 2) if halves == 4 else (1,)), min(halves, 2)
        settings = UNetSettings(image=(channels, height, width), width=16, attention=False, levels=levels, patch=patch)
        denoiser, fitting = EDM(UNet(settings, seed=seed)), Fitting(steps=steps, seed=seed)

        def make() -> dict[str, Tensor]:
            return fit_diffusion(denoiser, images, None, fitting).model.state_dict()

        kept = self._cached({"arm": "denoiser", **settings.model_dump(), **fitting.model_dump()}, make)
        denoiser.load_state_dict(kept)
        return Classifier(DenoisingClassifier(denoiser, sigma, clean)).eval()

    def labelled(self, seed: int) -> tuple[Tensor, Tensor]:
        """The few labelled images, over and over: about 1300, so that an epoch is ten steps."""
        labels = self.pictures.labels
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
        rows = torch.cat([order[labels[order] == c][: self.sizes.per_class] for c in range(self.pictures.classes)])
        times = max(1, -(-1300 // len(rows)))
        return self.pictures.images[rows].repeat(times, 1, 1, 1), labels[rows].repeat(times)

    def _made(
        self, model: Classifier, recipes: list[Recipe], training: Training, key: Mapping[str, Any], seed: int
    ) -> Classifier:
        for recipe in recipes:
            model = recipe.rebuild(model)

        def make() -> dict[str, Tensor]:
            images, labels = self.labelled(seed)
            return fit(model, images, labels, recipes, training, classes=self.pictures.classes).last.net.state_dict()

        model.net.load_state_dict(self._cached({**key, "per_class": self.sizes.per_class}, make))
        return model.eval()

    def _tuning(self, lr: float, seed: int, steps: int) -> Training:
        return self._training(max(1, steps // 10), lr, seed, batch_size=128, schedule="constant")

    def _training(self, epochs: int, lr: float, seed: int, **more: Any) -> Training:
        plain: dict[str, Any] = {"optimizer": "adamw", "weight_decay": 1e-4, "warmup": 0.1, "select": "last"}
        plain |= {"held_out": HELD, "check_images": 2, "check_every": epochs}
        return Training(epochs=epochs, lr=lr, seed=seed, **plain, **more)

    def _cached(self, key: Mapping[str, Any], make: Any) -> dict[str, Tensor]:
        whole = {"rrcm": 1, "arch": self.arch, **self.pictures.key, **key}
        kept, found = cached_weights(whole, make)
        self.cached = self.cached and found
        return kept
