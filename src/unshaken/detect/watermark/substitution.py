"""Model substitution: a classifier that learned marked from clean is attacked in the place of an unknown detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.losses import CrossEntropy
from unshaken.attack.engine.problem import Problem, ProblemSearch
from unshaken.attack.gradient.pgd import PGD
from unshaken.core.classifier import Classifier, evaluating, predict
from unshaken.core.descent import descend
from unshaken.core.driver import drive
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.oracle import Oracle, required
from unshaken.core.query import Gradient
from unshaken.core.rng import SampleRng

CLEAN, MARKED = 0, 1
"""Classes of a substitute."""
HELD = 5
"""One image in five is held out to measure the substitute."""
Mode = Literal["image", "universal"]


@dataclass(frozen=True, slots=True)
class Substitute:
    """A trained substitute and its accuracy on held-out images.

    Args:
        model: of two classes, clean and marked, in evaluation mode.
        right: of the held-out images.
        held: images held out.
    """

    model: Classifier
    right: int
    held: int


def train_substitute(
    net: nn.Module,
    marked: Tensor,
    clean: Tensor,
    *,
    epochs: int = 10,
    batch_size: int = 64,
    lr: float = 1e-3,
    noise: float = 0.4,
    seed: int = 0,
) -> Substitute:
    """Train a network to tell marked images from clean ones, which need not be the same pictures.

    Args:
        net: from normalised images to two logits; trained in place.
        marked: uint8 `[N, C, H, W]`, as a black-box watermarker gives them.
        clean: uint8 `[M, C, H, W]`.
        epochs: passes over four fifths of the images; the rest is held out.
        batch_size: images a step.
        lr: largest learning rate of Adam.
        noise: deviation of the noise in training, in units of each channel's deviation over the images, so that 0.4 is
            about 0.1 in [0, 1] pixel units.
        seed: of the split, the order and the noise.

    Raises:
        DataError: images are no bytes, or of different sizes, or too few.
        RunError: the loss is no number any more.
    """
    for images in (marked, clean):
        if images.dtype != torch.uint8 or images.shape[1:] != marked.shape[1:] or len(images) < HELD:
            raise DataError(
                f"marked and clean images must be uint8 [N, C, H, W] of one size, at least {HELD} each, not "
                f"{images.dtype} of {tuple(images.shape)}"
            )
    images, labels = (
        torch.cat([clean, marked]),
        torch.arange(2).repeat_interleave(torch.tensor([len(clean), len(marked)])),
    )
    order = SampleRng.of(seed, "substitute/split", ("split",)).uniform(len(images))[0].argsort()
    held, training = order[: len(order) // HELD], order[len(order) // HELD :]
    sample = images[training[:5000]].float() / 255
    mean, std = sample.mean((0, 2, 3)), sample.std((0, 2, 3)).clamp(min=1e-3)
    model = Classifier(
        net, mean=mean.tolist(), std=std.tolist(), classes=("clean", "marked"), name="substitute"
    ).train()

    def loss(rows: Tensor, rng: SampleRng) -> Tensor:
        rows = training[rows]
        drawn = noise * std.view(-1, 1, 1) * rng.fold("noise").noise(*images.shape[1:])
        return F.cross_entropy(model(images[rows].float() / 255 + drawn), labels[rows])

    steps = max(1, epochs * (len(training) // min(batch_size, len(training))))
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    descend(optimizer, loss, len(training), steps=steps, batch_size=batch_size, seed=seed, name="substitute")
    with evaluating(model):
        found = predict(Oracle(model).exact(images[held].float() / 255))
    return Substitute(model.eval(), int((found == labels[held]).sum()), len(held))


def transferred(
    model: Classifier,
    images: Tensor,
    toward: int,
    *,
    eps: float,
    mode: Mode = "image",
    steps: int = 100,
    rel_stepsize: float = 0.05,
    seed: int = 0,
) -> Tensor:
    """Images that a substitute takes for another class, as surely as the budget allows, to be shown to the detector.

    All steps are made, also once the substitute is wrong: what fools it by far is likelier to fool another. Evasion
    pushes marked images towards clean, spoofing the reverse. With the detector itself as the model the attack is
    white-box.

    Args:
        model: of two classes, with gradients.
        images: `[N, C, H, W]` in [0, 1].
        toward: the class to be taken for.
        eps: largest change of a pixel, in [0, 1] units.
        mode: `image` searches for each image from a start of its own (`pgd`); `universal` makes one change for all of
            them, of the batch's mean gradient, which in the publication follows nearly from going on with the noise of
            the image before.
        steps: gradient steps.
        rel_stepsize: as a share of eps.
        seed: of random starts.

    Returns:
        Images in [0, 1], within eps of those given.

    Raises:
        ParameterError: a number is not allowed.
        ModelError: the model gives no gradients.

    Source:
        Saberi et al. 2024, arXiv:2310.00076.
    """
    if not 0 <= eps <= 1 or steps < 1 or toward not in (CLEAN, MARKED) or mode not in ("image", "universal"):
        raise ParameterError(
            f"eps={eps!r} must be within [0, 1], steps={steps} at least 1, toward={toward} {CLEAN} or {MARKED}, "
            f"mode={mode!r} 'image' or 'universal'"
        )
    target = torch.full((len(images),), toward, device=images.device)
    ball = Ball.of(images, torch.full((len(images),), eps, device=images.device), "linf")
    rng = SampleRng.of(seed, "substitution", [str(i) for i in range(len(images))]).to(images.device)
    with evaluating(model):
        oracle = Oracle(model)
        if mode == "universal":
            return _universal(oracle, ball, target, rng, steps, rel_stepsize * eps)
        problem = Problem(ball, target, True, oracle.exact(images))
        search = PGD(steps=steps, rel_stepsize=rel_stepsize)
        return drive(ProblemSearch(search, early=False), problem, oracle, rng).result.x


def _universal(oracle: Oracle, ball: Ball, target: Tensor, rng: SampleRng, steps: int, step: float) -> Tensor:
    """One change d for all: `d <- clip(d - a sign(mean gradient))`."""
    eps, shape = float(ball.eps[0]), ball.clean.shape[1:]
    change = rng[:1].fold("start").uniform(*shape, low=-eps, high=eps)[0]
    of = CrossEntropy(target, -1)
    for _ in range(steps):
        answer = oracle.ask(Gradient(ball.project(ball.clean + change), of=of))
        mean = required(answer.gradient).mean(0, keepdim=True)
        change = (change + step * ball.steepest(mean, ball.clean)[0]).clamp(-eps, eps)
    return ball.project(ball.clean + change)
