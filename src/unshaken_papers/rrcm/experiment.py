"""Encoders pretrained in several ways and tuned alike on few labels; and what a certificate costs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unshaken.certify.smoothing.smoothing import Smoothing
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.oracle import Oracle, required
from unshaken.core.progress import track
from unshaken.core.rng import SampleRng
from unshaken.generate.edm import EDM
from unshaken.generate.fitting import Fitting
from unshaken.generate.fitting import fit as fit_diffusion
from unshaken.generate.unet import UNet, UNetSettings
from unshaken.harden.defences.denoise import DenoisingClassifier
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.augmentation.gaussian_augmented import with_noise
from unshaken.harden.recipes.pretraining.rrcm import RepresentationConsistency
from unshaken.harden.recipes.pretraining.rrcm_tune import RepresentationTuning
from unshaken.papers.context import Context
from unshaken.papers.datasets import Parts, Split
from unshaken.papers.networks import Net, Statistics, plan_training, untrained
from unshaken_papers.rrcm import ARMS, CURVES, KINDS, TIMED, RRCMPaper

BATCH, HELD = 256, 20


def run(paper: RRCMPaper, context: Context) -> None:
    """All arms, all seeds; then the costs."""
    parts = context.datasets.parts(paper.unlabelled, paper.test)
    seeds = list(context.seeds(paper.seeds))
    with track("arms", len(paper.arms) * len(seeds)) as task:
        for seed in seeds:
            for arm in paper.arms:
                Experiment(paper, context, parts, seed).evaluate(arm)
                task.advance()
    for seed in seeds:
        Experiment(paper, context, parts, seed).certify(paper.sigmas[0])


@dataclass(frozen=True, slots=True)
class Experiment:
    """One seed.

    Args:
        paper: the sizes.
        context: of the experiment.
        parts: images; all but a few are shown without labels.
        seed: of weights, order, noise and the choice of the labelled images.
    """

    paper: RRCMPaper
    context: Context
    parts: Parts
    seed: int

    def evaluate(self, arm: str) -> None:
        """Rows of an arm: its losses, and its accuracy at every noise level, tuned and as a frozen probe."""
        encoder = self.pretrained(arm)
        for sigma in self.paper.sigmas:
            for kind in KINDS:
                net = self.tuned(encoder, arm, sigma, probe=kind == "probe")
                self.predict(net.model, f"{arm}.s{sigma:g}.seed{self.seed}.{kind}", sigma)
        label = f"{arm}.seed{self.seed}"
        if not isinstance(encoder, Net) or self.context.has(label, "pretraining"):
            return
        epochs = list(range(1, len(encoder.curves) + 1))
        columns: dict[str, Any] = {"id": [str(i) for i in epochs], "arm": arm, "seed": self.seed, "epoch": epochs}
        columns |= {"batch": min(BATCH, len(self.parts.training) - HELD), "seconds": encoder.seconds}
        columns |= {k: [c.get(k) for c in encoder.curves] for k in CURVES}
        self.context.write("pretraining", label, columns)

    @property
    def statistics(self) -> Statistics:
        """Images on the scale of [-1, 1] for the network that knows the noise."""
        channels = self.parts.training.images.shape[1]
        return ([0.5] * channels, [0.5] * channels) if self.context.model == TIMED else "data"

    def pretrained(self, arm: str) -> Net | Classifier:
        """The encoder of an arm; fresh weights, the same for every arm, where there is no pretraining."""
        options, arch = ARMS[arm], self.context.model
        if options is None:
            return untrained(arch, self.parts.training, self.seed, self.statistics)
        training = self.training(self.paper.epochs, 2e-3, batch_size=BATCH, schedule="one-cycle", clip=2.0)
        recipe = RepresentationConsistency(seed=self.seed, **options)
        name = f"{arm}.seed{self.seed}.pretrained"
        return self.context.net(name, arch, self.parts.training, training, [recipe], statistics=self.statistics)

    def tuned(self, encoder: Net | Classifier, arm: str, sigma: float, *, probe: bool = False) -> Net:
        """A classifier for one level of noise from few labels; a probe learns the head alone, on plain noise.

        Args:
            encoder: of the arm.
            arm: its name.
            sigma: in [0, 1] pixel units.
            probe: the head alone.
        """
        steps = self.paper.steps
        options = (
            {"lbd": 0, "eta": 0, "head_steps": 10**9} if probe else {"lbd": 5, "eta": 0.5, "head_steps": steps // 5}
        )
        recipe = RepresentationTuning(sigma=sigma, seed=self.seed, **options)
        training = self.tuning(1e-2 if probe else 1e-3, steps // 2 if probe else steps)
        name = f"{arm}.s{sigma:g}.seed{self.seed}.{KINDS[probe]}"
        return self.context.net(name, encoder, self.labelled(), training, [recipe])

    def denoised(self, sigma: float) -> Classifier:
        """A denoiser that learned from all images, in front of the same network, tuned on the same few clean ones.

        A denoiser is no classifier: `unshaken.generate` trains it.
        """
        clean = self.context.net(
            f"clean.seed{self.seed}", self.context.model, self.labelled(), self.tuning(1e-3, self.paper.steps),
            statistics=self.statistics,
        )  # fmt: skip
        images = self.parts.training.images
        _, channels, height, width = images.shape
        halves = next(h for h in (4, 2, 1) if height % h == width % h == 0)  # what the sides can be divided by
        levels, patch = ((1, 2) if halves == 4 else (1,)), min(halves, 2)
        settings = UNetSettings(image=(channels, height, width), width=16, attention=False, levels=levels, patch=patch)
        denoiser = EDM(UNet(settings, seed=self.seed))
        fitting = Fitting(steps=self.paper.denoiser_steps, seed=self.seed)

        def make() -> dict[str, Tensor]:
            return fit_diffusion(denoiser, images, None, fitting).model.state_dict()

        options = {"net": settings.model_dump(mode="json"), "fitting": fitting.model_dump(mode="json")}
        key = {"data": self.parts.training.digest, **options}
        weights = self.context.weights(f"denoiser.seed{self.seed}", key, make, [fit_diffusion, EDM, UNet])
        denoiser.load_state_dict(weights)
        return Classifier(DenoisingClassifier(denoiser, sigma, clean.model)).eval()

    def labelled(self) -> Split:
        """The few labelled images, over and over: about 1300, so that an epoch is ten steps."""
        data = self.parts.training
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(self.seed))
        own = (order[data.labels[order] == c][: self.paper.per_class] for c in range(data.classes))
        rows = torch.cat(list(own))
        return data[rows.repeat(max(1, -(-1300 // len(rows))))]

    def tuning(self, lr: float, steps: int) -> Training:
        """Options of tuning."""
        return self.training(max(1, steps // 10), lr, batch_size=128, schedule="constant")

    def training(self, epochs: int, lr: float, **more: Any) -> Training:
        """Options of all training here."""
        same = {"optimizer": "adamw", "weight_decay": 1e-4, "warmup": 0.1, "held_out": HELD, "check_images": 2}
        return plan_training(epochs, self.seed, lr=lr, **same, **more)

    def predict(self, model: Classifier, label: str, sigma: float) -> None:
        """Predictions for every test image under one noise, the same for all systems of a seed."""
        batch = self.parts.testing.batch()
        noisy = with_noise(batch.images, sigma, SampleRng.of(self.seed, "rrcm-test", batch.ids))
        self.context.predict(label, model, batch.with_images(noisy), method="noise")

    def certify(self, sigma: float) -> None:
        """Certify a few images with the full arm, and with a denoiser before a classifier."""
        ours = self.tuned(self.pretrained("full"), "full", sigma).model
        theirs = self.denoised(sigma)
        self.predict(theirs, f"denoised.s{sigma:g}.seed{self.seed}.tuned", sigma)
        batch = self.parts.testing.batch()[slice(0, self.paper.images)]
        for system, model in (("rrcm", ours), ("denoised", theirs)):
            name = f"{system}.seed{self.seed}"
            if self.context.has(name, "certification_cost"):
                continue
            with evaluating(model), counted(model) as passes:
                method = Smoothing(sigma=sigma, n=self.paper.n, n0=100)
                found = method.certify(Oracle(model, limit=256), batch, seed=self.seed)
            columns = {
                "id": list(batch.ids),
                "sigma": sigma,
                "label": required(batch.labels),
                "prediction": found.prediction,
                "abstained": found.abstained,
                "radius": found.radius,
                "votes": found.tally.forwards,
                "passes": sum(passes) / len(batch),
                "parameters": sum(p.numel() for p in model.parameters()),
                "seconds": found.tally.seconds,
            }
            self.context.write("certification_cost", name, columns)


@contextmanager
def counted(model: Classifier) -> Iterator[list[int]]:
    """Images through each network of a system: one where the encoder knows the noise, two behind a denoiser."""
    net = model.net
    networks: list[nn.Module] = [net.denoiser.net, net.model] if isinstance(net, DenoisingClassifier) else [net]
    passes: list[int] = []

    def count(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        passes.append(len(given[0]))

    handles = [network.register_forward_pre_hook(count) for network in networks]
    try:
        yield passes
    finally:
        for handle in handles:
            handle.remove()
