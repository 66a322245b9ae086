"""Metrics of maps beside those of Quantus 0.6, on the same net, images, maps and random draws.

    python benchmarks/map_metric_parity.py

Printed: for each metric the largest difference of the values, which must be below 1e-5. The network is small, with
weights from a seed; the images are noise. Where Quantus draws, it gets our draws. What it computes differently is left
out, and said in `docs/explain/metrics.md`. A few seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import quantus
import torch
from torch import Tensor, nn

from unshaken.core.classifier import Classifier
from unshaken.core.rng import SampleRng
from unshaken.explain import make_case
from unshaken.explain.engine.metric import Case
from unshaken.explain.engine.probed_metric import area_under_curve
from unshaken.explain.metrics.deletion import Deletion
from unshaken.explain.metrics.infidelity import Infidelity
from unshaken.explain.metrics.max_sensitivity import MaxSensitivity
from unshaken.explain.metrics.pointing_game import PointingGame
from unshaken.explain.metrics.road import impute
from unshaken.explain.metrics.sensitivity_n import SensitivityN

MAPS = "input-x-gradient:channels=sum"
N, SIDE, CLASSES, RUNS = 6, 16, 5, 20
PLAIN = {"abs": False, "normalise": False, "disable_warnings": True, "display_progressbar": False}


def build() -> tuple[Classifier, Tensor]:
    """A small net and grey images, away from 0 and 1 so that noise is not cut."""
    torch.manual_seed(3)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, CLASSES),
    )  # fmt: skip
    return Classifier(net).eval(), 0.2 + 0.6 * torch.rand(N, 1, SIDE, SIDE)


def asked(metric: Any, case: Case, **options: Any) -> np.ndarray:
    """The values of a metric of Quantus."""
    found = metric(
        model=case.model, x_batch=case.images.numpy(), y_batch=case.classes.numpy(),
        a_batch=case.maps[:, None].numpy(), device="cpu", **options,
    )  # fmt: skip
    return np.asarray(found, float)


def pointing(case: Case) -> tuple[Tensor, np.ndarray]:
    """Hits inside a box."""
    masks = case.truth[:, None].numpy()
    return PointingGame().judge(case).value, asked(quantus.PointingGame(**PLAIN), case, s_batch=masks)


def deletion(case: Case) -> tuple[Tensor, np.ndarray]:
    """The area under the curve of pixel flipping; Quantus leaves out the clean point, which is put in here."""
    step = SIDE * SIDE // 16
    metric = quantus.PixelFlipping(features_in_step=step, perturb_baseline=0.0, **PLAIN)
    curve = torch.from_numpy(asked(metric, case, softmax=True))
    clean = case.model(case.images).softmax(1).gather(1, case.classes[:, None]).double().detach()
    return Deletion(steps=16, substrate="black").judge(case).value, area_under_curve(
        torch.cat([clean, curve], 1)
    ).numpy()


def sensitivity(case: Case) -> tuple[Tensor, np.ndarray]:
    """Quantus' FaithfulnessCorrelation with our sets of pixels."""
    own = SensitivityN(share=0.2, samples=RUNS, substrate="black")
    n, rng = round(0.2 * SIDE * SIDE), SampleRng.of(0, "explain sensitivity-n", case.ids)
    sets = [
        rng.fold(torch.full((N,), i)).uniform(SIDE * SIDE).topk(n, largest=False).indices for i in range(1, RUNS + 1)
    ]
    given = iter([row.numpy() for one in sets for row in one])
    metric = quantus.FaithfulnessCorrelation(
        nr_runs=RUNS, subset_size=n, perturb_baseline=0.0, return_aggregate=False, **PLAIN
    )
    with mock.patch("numpy.random.choice", side_effect=given):
        return own.judge(case).value, asked(metric, case, softmax=False)


def infidelity(case: Case) -> tuple[Tensor, np.ndarray]:
    """One square that covers a white image: Quantus weighs the map by the change of pixels, which is 1 there."""
    white = make_case(case.model, torch.ones_like(case.images), MAPS, classes=case.classes)[0]
    own = Infidelity(scaled=False, side=1.0, samples=1, substrate="black").judge(white).value
    metric = quantus.Infidelity(perturb_baseline=0.0, perturb_patch_sizes=[SIDE], n_perturb_samples=1, **PLAIN)
    return own, asked(metric, white, softmax=False)


def max_sensitivity(case: Case) -> tuple[Tensor, np.ndarray]:
    """With our noise and our maps."""
    rng = SampleRng.of(0, "explain max-sensitivity", case.ids)
    noise = iter([rng.fold(i).uniform(1, SIDE, SIDE, low=-0.02, high=0.02) for i in range(RUNS)])

    def changed(arr: np.ndarray, **_: Any) -> np.ndarray:
        return arr + next(noise).numpy().reshape(arr.shape)

    def explain(model: Any, inputs: np.ndarray, targets: np.ndarray, **_: Any) -> np.ndarray:
        return case.again(torch.from_numpy(inputs), None, None).maps[:, None].numpy()

    metric = quantus.MaxSensitivity(
        nr_samples=RUNS, perturb_func=changed, return_nan_when_prediction_changes=False, **PLAIN
    )
    own = MaxSensitivity(samples=RUNS).judge(case).value
    return own, asked(metric, case, explain_func=explain)


def imputation(case: Case) -> tuple[Tensor, np.ndarray]:
    """The pixels that ROAD puts in, without noise; Quantus then asks for accuracy, we for the probability."""
    missing = case.maps.flatten(1).argsort(dim=1, descending=True, stable=True)[:, :100]
    mask = torch.zeros(N, SIDE * SIDE, dtype=torch.bool).scatter_(1, missing, value=True).view(N, SIDE, SIDE)
    own = torch.stack([impute(image, one) for image, one in zip(case.images.double(), mask, strict=True)])
    peer = quantus.functions.perturb_func.noisy_linear_imputation
    found = [
        peer(image.double().numpy(), one.numpy(), noise=0.0) for image, one in zip(case.images, missing, strict=True)
    ]
    return own.flatten(), np.stack(found).ravel()


ROWS: tuple[tuple[str, str, Callable[[Case], tuple[Tensor, np.ndarray]]], ...] = (
    ("pointing-game", "PointingGame", pointing),
    ("deletion", "PixelFlipping", deletion),
    ("sensitivity-n", "FaithfulnessCorrelation", sensitivity),
    ("infidelity", "Infidelity", infidelity),
    ("max-sensitivity", "MaxSensitivity", max_sensitivity),
    ("road", "noisy_linear_imputation", imputation),
)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of Quantus."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def main() -> None:
    """Print a line a metric."""
    net, images = build()
    truth = torch.zeros(N, SIDE, SIDE, dtype=torch.bool)
    truth[:, 2:11, 3:12] = True
    case, _ = make_case(net, images, MAPS, truth=truth)
    for name, peer, compare in ROWS:
        with quiet():
            own, other = compare(case)
        difference = np.abs(own.numpy() - other).max()
        print(f"{name:16} {peer:24} largest difference {difference:.1e} over {len(other)} values")
        assert difference < 1e-5, (name, own, other)


if __name__ == "__main__":
    main()
