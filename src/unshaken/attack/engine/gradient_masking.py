"""Check for masked gradients: compare losses that saturate and do not, and attacks without gradients."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.losses import CrossEntropy
from unshaken.attack.engine.problem import Problem, ProblemSearch
from unshaken.attack.gradient.fgsm import FGSM
from unshaken.attack.gradient.pgd import PGD
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating, predict
from unshaken.core.driver import drive
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import Oracle, required
from unshaken.core.query import Gradient
from unshaken.core.rng import SampleRng
from unshaken.measure.robustness.gradient_masking import Masking, gradient_masking

AIM = 5.0
"""Logits between the first and the second class that a temperature, where none is given, brings the median gap to."""


def gradient_sizes(oracle: Oracle, batch: Batch) -> Tensor:
    """The largest entry of the cross-entropy's gradient by each image, `[N]`, in float32; 0 where it is gone.

    Args:
        oracle: runs the model and counts its passes.
        batch: labelled images.
    """
    loss = CrossEntropy(required(batch.labels))
    gradient = required(oracle.ask(Gradient(batch.images, of=loss)).gradient)
    return gradient.flatten(1).abs().amax(1)


def transfer_end_points(
    oracle: Oracle,
    batch: Batch,
    surrogate: Classifier,
    *,
    eps: float,
    norm: str = "linf",
    steps: int = 20,
    seed: int = 0,
) -> Tensor:
    """Run PGD on a surrogate's margin and return its end points `[N, C, H, W]`, inside the balls and [0, 1].

    Args:
        oracle: runs the model and counts its passes; its meter counts the surrogate's passes.
        batch: labelled images.
        surrogate: another model of the same classes.
        eps: radius, in [0, 1] pixel units under the norm.
        norm: `linf`, `l2` or `l1`.
        steps: of PGD.
        seed: the run seed.
    """
    radii = torch.full((len(batch),), eps, device=batch.images.device)
    rng = SampleRng.of(seed, "transferred", batch.ids).to(batch.images.device)
    with evaluating(surrogate):
        counted = oracle.share_meter(surrogate)
        ball = Ball.of(batch.images, radii, norm)
        problem = Problem(ball, required(batch.labels), False, counted.exact(batch.images), surrogate.reject)
        search = PGD(steps=steps, rel_stepsize=2.5 / steps, loss="margin")
        return drive(ProblemSearch(search, early=False), problem, counted, rng, whole=True).result.x


def probe_gradient_masking(
    oracle: Oracle,
    batch: Batch,
    *,
    eps: float,
    norm: str = "linf",
    temperature: float | None = None,
    steps: int = 20,
    surrogate: Classifier | None = None,
    seed: int = 0,
) -> Masking:
    """Attack a model in ways that distinguish masked gradients from true robustness.

    One step along the cross-entropy, along the same at a temperature, and along the margin of logits; PGD on the
    margin; PGD without a bound; where a surrogate is given, what fools it.

    Args:
        oracle: runs the model and counts its passes; the model in evaluation mode.
        batch: labelled images, 100 or more for a verdict.
        eps: radius of the steps, in [0, 1] pixel units under the norm.
        norm: `linf`, `l2` or `l1`.
        temperature: of a distilled model the one it was trained at. None for a fifth of the median gap between the
            first two logits, and at least 1.
        steps: of PGD.
        surrogate: another model of the same classes, trained without the defence.
        seed: the run seed.

    Returns:
        The verdict; see `unshaken.measure.robustness.gradient_masking`.

    Raises:
        ParameterError: eps is not above 0, or the batch is empty.
        ModelError: the model gives no gradients.
    """
    if not (eps > 0 and len(batch)):
        raise ParameterError(f"gradient masking: eps={eps:g} must be above 0, and there must be images ({len(batch)})")
    clean = oracle.exact(batch.images)
    if temperature is None:
        top = clean.topk(2, dim=1).values
        temperature = max(1.0, float((top[:, 0] - top[:, 1]).median()) / AIM)
    reach = {"linf": 1.0, "l2": math.sqrt(batch.images[0].numel()), "l1": float(batch.images[0].numel())}

    def left(attack: FGSM | PGD, radius: float = eps) -> list[bool]:
        (found,), _ = attack.attack(oracle, batch, norm=norm, eps=[radius], seed=seed, clean=clean)
        return (~found.fooled).tolist()

    searched = PGD(steps=steps, rel_stepsize=2.5 / steps, loss="margin")
    blind: dict[str, list[bool]] = {}
    if surrogate is not None:
        moved = transfer_end_points(oracle, batch, surrogate, eps=eps, norm=norm, steps=steps, seed=seed)
        blind["transfer"] = (predict(oracle.exact(moved)) == required(batch.labels)).tolist()
    return gradient_masking(
        (gradient_sizes(oracle, batch) == 0).tolist(),
        left(FGSM()),
        {
            f"fgsm at temperature {temperature:.3g}": left(FGSM(temperature=temperature)),
            "fgsm on the margin": left(FGSM(loss="margin")),
        },
        gradients={"pgd on the margin": left(searched)},
        blind=blind,
        unbounded=left(PGD(steps=5 * steps, rel_stepsize=2.5 / steps), reach[norm]),
        classes=clean.shape[1],
    )
