"""RCAL: training on images and on points of calibrated class Gaussians, for wrong labels in long-tailed classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.errors import ModelError
from unshaken.core.registry import register
from unshaken.harden.engine.layers import last_layer, watched_features
from unshaken.harden.engine.recipe import Memory, Recipe, Setup, Step
from unshaken.harden.recipes.augmentation.mixup import Mixup, batch_generator, mixup_batch
from unshaken.harden.recipes.noisy_labels._two_networks import refuse_processes
from unshaken.labels.engine.representation_calibrator import Covariance, Estimator, RepresentationCalibrator, Weighting
from unshaken.labels.losses import individual_representation

FROZEN, SCALE = "frozen", "scale"
"""Names in the memory: z `[samples, m]`, and the mean of its squared lengths over the training samples."""
MEANS, FACTORS, LACKING, SHARE = "means", "factors", "lacking", "share"
"""mu' `[K, m]`, Cholesky factors of Sigma' `[K, m, m]`, how many points each class lacks `[K]`, and the share of all
these points in the union with the images."""
WIDEST = 1024
"""Numbers of a representation: a covariance takes their square, for each class."""


@register("rcal", reference="Zhang et al. 2023, ICCV, arXiv:2211.10955", group="noisy-labels")
class RCAL(Recipe):
    """RCAL: learns from class Gaussians of the representations that training begins with, beside the images.

    Begin with a network pretrained without labels (`simclr`, `moco`), whose last linear layer alone is untrained. Its
    representations z give each class a Gaussian, outliers dropped; small classes borrow from near large ones. The loss
    is the cross-entropy of mixed images and of points drawn so that all classes count alike, weighed as a union of both
    sets, and `individual |f(x) - z|^2` in units of the mean `|z|^2`. Much of the gain at long tails is the balance:
    `estimator=plain,beta=0` is that alone. Constants that are not published have defaults of this package.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"loss", "targets"})
    refuses: ClassVar[Mapping[str, str]] = {
        "inner": "points of class Gaussians are no images to attack; leave one out",
        "net": "representations are those of the network's own last layer; pretrain first",
    }

    estimator: Estimator = Field(
        default="lof", description="outliers to drop: by local outlier factor, by distance, none"
    )
    share: float = Field(
        default=0.1, ge=0, le=0.5, description="share of each class to drop; the noise rate for trimmed"
    )
    beta: float = Field(default=0.2, ge=0, le=1, description="confidence of small classes in large ones; 0 for none")
    q: PositiveInt = Field(default=2, description="large classes that a small one borrows from")
    alpha: NonNegativeFloat = Field(default=0.0, description="further dispersion of small classes")
    weighting: Weighting = Field(default="size", description="weights of these large classes")
    covariance: Covariance = Field(default="convex", description="formula of a small class's covariance; see the guide")
    gaussians: bool = Field(default=True, description="whether points of the Gaussians are learned from")
    points: PositiveInt = Field(default=256, le=1 << 16, description="points of a step")
    individual: NonNegativeFloat = Field(default=1.0, description="weight of the distance to the first representations")
    mixup: NonNegativeFloat = Field(default=1.0, description="parameter of mixup's Beta distribution; 0 for no mixup")

    @override
    def begin(self, setup: Setup) -> None:
        refuse_processes(self.info.name)
        net, layer = setup.model.net, last_layer(setup.model.net)
        width = cast(nn.Linear, net.get_submodule(layer)).in_features
        if width > WIDEST:
            raise ModelError(
                f"rcal: the last linear layer weighs {width} numbers, and {WIDEST} are the most: take a network that "
                "averages over places, such as small-cnn"
            )

        def read(images: Tensor) -> Tensor:
            with watched_features(net, layer) as found:
                setup.model(images)
            return found[-1].float()

        rows, labels, z = setup.evaluate(read)
        table = torch.zeros(setup.samples, width, device=setup.images.device)
        table[rows] = z
        setup.memory[FROZEN], setup.memory[SCALE] = table, z.square().sum(1).mean().clamp(min=1e-12)
        if self.gaussians:
            self._fit(setup, z, labels)

    def _fit(self, setup: Setup, z: Tensor, labels: Tensor) -> None:
        calibrator = RepresentationCalibrator(
            self.estimator, self.share, self.beta, self.q, self.alpha, self.weighting, self.covariance
        )
        found = calibrator.fit(z.cpu().double().numpy(), labels.cpu().numpy(), setup.classes)
        lacking = found.balancing_counts()
        values = {
            MEANS: found.means, FACTORS: found.factors, LACKING: lacking,
            SHARE: lacking.sum() / (lacking.sum() + len(z)),
        }  # fmt: skip
        setup.memory.update({k: torch.from_numpy(np.asarray(v, np.float32)).to(z) for k, v in values.items()})

    @override
    def loss(self, step: Step) -> Tensor:
        memory, net = step.memory[self.info.name], step.classifier.net
        layer = last_layer(net)
        images, targets = step.images, step.soft_labels
        if self.mixup:
            images, targets = mixup_batch(images, targets, *Mixup(alpha=self.mixup).drawn(step))
        with watched_features(net, layer) as features:
            total = F.cross_entropy(step.model(images).float(), targets)
            if self.individual and self.mixup:
                step.model(step.images)
        if self.gaussians and float(memory[SHARE]):
            points, classes = self.drawn(step, memory)
            head = cast(nn.Linear, net.get_submodule(layer))
            total = torch.lerp(total, F.cross_entropy(head(points), classes), memory[SHARE])
        if self.individual:
            frozen = memory[FROZEN][step.rows.to(images.device)]
            apart = individual_representation(features[-1].float(), frozen) / memory[SCALE]
            step.figures["apart"] = float(apart.detach())
            total = total + self.individual * apart
        return total

    def drawn(self, step: Step, memory: Memory) -> tuple[Tensor, Tensor]:
        """Points `[points, m]` of the class Gaussians, classes in proportion to what they lack, and their classes."""
        rng, counts = batch_generator(step, self.info.name), memory[LACKING].cpu().double().numpy()
        classes = rng.choice(len(counts), self.points, p=counts / counts.sum())
        unit = torch.from_numpy(rng.standard_normal((self.points, memory[MEANS].shape[1]), np.float32))
        labels = torch.from_numpy(classes).to(memory[MEANS].device)
        points = memory[MEANS][labels] + torch.einsum("nij,nj->ni", memory[FACTORS][labels], unit.to(memory[MEANS]))
        return points, labels
