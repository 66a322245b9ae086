"""The experiment with rRCM as rows: accuracy under noise, curves of pretraining, and what a certificate costs."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from torch import Tensor, nn

from unshaken.certify.smoothing.smoothing import Smoothing
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.oracle import Oracle
from unshaken.core.progress import track
from unshaken.core.rng import SampleRng
from unshaken.harden.defences.denoise import DenoisingClassifier
from unshaken.harden.recipes.augmentation.gaussian_augmented import with_noise
from unshaken.papers._rrcm_nets import BATCH, CURVES, HELD, Workshop
from unshaken.papers.base import Bench
from unshaken.run.rows import SCHEMAS, Condition, Part, outcomes

SCHEMAS["pretraining"] = pa.schema(
    [("condition", pa.string()), ("arm", pa.string()), ("seed", pa.int64()), ("epoch", pa.int64())]
    + [(name, pa.float64()) for name in CURVES]
    + [("batch", pa.int64()), ("seconds", pa.float64())]
)
"""One row an epoch of a pretraining: its losses; that of consistency also by quarters of the grid, most noise first."""
SCHEMAS["certification_cost"] = pa.schema(
    [
        ("id", pa.string()),
        ("condition", pa.string()),
        ("sigma", pa.float64()),
        ("label", pa.int64()),
        ("prediction", pa.int64()),
        ("abstained", pa.bool_()),
        ("radius", pa.float64()),
        ("votes", pa.int64()),
        ("passes", pa.float64()),
        ("parameters", pa.int64()),
        ("seconds", pa.float64()),
    ]
)
"""One row an image of a system that is certified: passes are those of all its networks."""
SYSTEMS = ("rrcm", "denoised")


@dataclass(frozen=True, slots=True)
class Experiment:
    """What is compared.

    Args:
        bench: where the rows go.
        workshop: makes the networks.
        arms: names.
        seeds: runs of each.
        sigmas: levels of noise, in [0, 1] pixel units.
    """

    bench: Bench
    workshop: Workshop
    arms: tuple[str, ...]
    seeds: tuple[int, ...]
    sigmas: tuple[float, ...]

    def run(self) -> None:
        """All rows of accuracy that are not there yet."""
        with track("arms", len(self.arms) * len(self.seeds)) as task:
            for seed in self.seeds:
                for arm in self.arms:
                    if not self.bench.run.has_rows("pretraining", f"{arm}.seed{seed}", 0):
                        self._arm(arm, seed)
                    task.advance()

    def cost(self, images: int, n: int, denoiser_steps: int) -> None:
        """Certify a few images with the full arm's first network, and with a denoiser before a classifier."""
        sigma, seed = self.sigmas[0], self.seeds[0]
        if self.bench.run.has_rows("certification_cost", SYSTEMS[-1], 0):
            return
        ours = self.workshop.tuned(self.workshop.pretrained("full", seed)[0], "full", seed, sigma)
        theirs = self.workshop.denoised(seed, sigma, denoiser_steps)
        self._noisy(theirs, f"denoised.s{sigma:g}.seed{seed}.tuned", sigma, seed)
        for name, model in zip(SYSTEMS, (ours, theirs), strict=True):
            self._certify(model, name, sigma, seed, images, n)

    def _arm(self, arm: str, seed: int) -> None:
        encoder, curves = self.workshop.pretrained(arm, seed)
        for sigma in self.sigmas:
            for kind in ("tuned", "probe"):
                model = self.workshop.tuned(copy.deepcopy(encoder), arm, seed, sigma, probe=kind == "probe")
                self._noisy(model, f"{arm}.s{sigma:g}.seed{seed}.{kind}", sigma, seed)
        n = len(curves[CURVES[0]]) if curves else 1
        columns: dict[str, Any] = {
            "arm": [arm] * n,
            "seed": [seed] * n,
            "epoch": list(range(1, n + 1)) if curves else [0],
            "batch": [min(BATCH, len(self.workshop.pictures.images) - HELD)] * n,
            "seconds": (curves.get("seconds") or [0.0]) * n,
        }
        columns |= {k: [None if v != v else v for v in curves[k]] for k in CURVES if curves}
        self.bench.keep([Part("pretraining", Condition(f"{arm}.seed{seed}", arm), columns)], 0)

    def _noisy(self, model: Classifier, name: str, sigma: float, seed: int) -> None:
        """Predictions for every test image under one noise, the same for all systems of a seed."""
        batch = self.workshop.pictures.test
        noisy = with_noise(batch.images, sigma, SampleRng.of(seed, "rrcm-test", batch.ids))
        with evaluating(model):
            logits = Oracle(model, limit=500).exact(noisy)
        self.bench.keep([outcomes(Condition(name, "noise"), batch, logits)], 0)

    def _certify(self, model: Classifier, name: str, sigma: float, seed: int, images: int, n: int) -> None:
        batch: Batch = self.workshop.pictures.test[slice(0, images)]
        method = Smoothing(sigma=sigma, n=n, n0=100)
        with evaluating(model), counted(model) as passes:
            found = method.certify(Oracle(model, limit=256), batch, seed=seed)
        tally = found.tally
        columns: dict[str, Any] = {
            "id": list(batch.ids),
            "sigma": [sigma] * len(batch),
            "label": batch.labels.tolist() if batch.labels is not None else [None] * len(batch),
            "prediction": found.prediction.tolist(),
            "abstained": found.abstained.tolist(),
            "radius": found.radius.tolist(),
            "votes": tally.forwards.tolist(),
            "passes": [sum(passes) / len(batch)] * len(batch),
            "parameters": [sum(p.numel() for p in model.parameters())] * len(batch),
            "seconds": tally.seconds.tolist(),
        }
        self.bench.keep([Part("certification_cost", Condition(name, "smoothing"), columns)], 0)


@contextmanager
def counted(model: Classifier) -> Iterator[list[int]]:
    """Images through each network of a system: one where the encoder knows the noise, two behind a denoiser."""
    net = model.net
    networks: list[nn.Module] = [net.denoiser.net, net.model] if isinstance(net, DenoisingClassifier) else [net]
    passes: list[int] = []

    def look(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        passes.append(len(given[0]))

    handles = [network.register_forward_pre_hook(look) for network in networks]
    try:
        yield passes
    finally:
        for handle in handles:
            handle.remove()
