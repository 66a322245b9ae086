"""VIAT: training on objects seen from the viewpoints that the model fails from."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.attack.viewpoint.base import BOXES, Objects
from unshaken.attack.viewpoint.gmvfool import GMVFool
from unshaken.attack.viewpoint.mixture import ViewMixture
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.numbers import shorten
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.data import load_data
from unshaken.data.spec import divide, with_option
from unshaken.data.viewpoint.object_set import ObjectSet, require_objects
from unshaken.harden.engine.recipe import FirstTry, Memory, Recipe, Setup, Step
from unshaken.models.align import ModelClasses, aligned
from unshaken.models.class_names import ClassNames

IMAGES, LABELS = "viat.images", "viat.labels"
RENDERED = 512
"""Images of one pass of the search at most."""


@lru_cache(maxsize=2)
def open_objects(spec: str) -> ObjectSet:
    """The objects of a SPEC, opened once.

    Raises:
        DataError: it holds pictures, or no classes.
    """
    dataset = require_objects(load_data(spec), "viat")
    if dataset.labels is None:
        raise DataError(f"viat: data {spec!r} has no labels: put meshes into a folder a class")
    return dataset


@register("viat", reference="Ruan et al. 2023, arXiv:2307.10235")
class VIAT(Recipe):
    """VIAT: trains on photos together with objects seen from the viewpoints that the model fails from.

    Before the first epoch GMVFool learns a mixture of viewpoints for each object; then, every epoch, goes on for one
    object of each class, with a few iterations. Each step adds `batch_size` pictures, their objects drawn evenly over
    classes, to one common cross-entropy. With probability `sharing` a picture's viewpoint is drawn from the mixture of
    another object of the class.

    Controls with as many pictures: `views=random` draws viewpoints evenly from the box, `natural` as photos have them.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"loss"})
    first_try: ClassVar[FirstTry] = FirstTry(parameters={"objects": "solids:1"})

    objects: str = Field(
        default="", description="data SPEC of the objects, such as meshes:DIR, with classes of the model"
    )
    fingerprint: str = Field(default="", description="fingerprint that the objects must have; default any")
    views: Literal["adversarial", "random", "natural"] = Field(
        default="adversarial", description="viewpoints to learn from: searched ones, or a control"
    )
    batch_size: PositiveInt = Field(default=16, le=4096, description="number of rendered pictures per step")
    sharing: float = Field(
        default=0.5, ge=0, le=1, description="share of viewpoints drawn from another object of the class"
    )
    components: PositiveInt = Field(default=5, le=64, description="K, Gaussians of a mixture; 1 is ViewFool's")
    pairs: PositiveInt = Field(default=25, le=5000, description="antithetic pairs of a step of the search")
    steps: PositiveInt = Field(default=10, le=10_000, description="steps of the first search")
    warm_steps: NonNegativeInt = Field(default=10, le=10_000, description="steps of a search that goes on")
    entropy: NonNegativeFloat = Field(default=0.05, description="weight of the mixtures' entropy")
    lr: PositiveFloat = Field(default=0.2, description="learning rate of the mixtures' means")
    region: Literal["natural", "upright", "whole"] = Field(
        default="upright", description="box of viewpoints; see gmvfool"
    )

    @property
    @override
    def further_data(self) -> tuple[str, ...]:
        return (self.objects,) if self.objects else ()

    @override
    def begin(self, setup: Setup) -> None:
        if not self.objects:
            raise ParameterError("viat: name objects to render, as in viat:objects=meshes:DIR")
        open_objects.cache_clear()  # of an earlier training: files may have changed since
        channels, height, width = setup.images.shape[1:]
        if height != width or channels not in (1, 3):
            raise ParameterError(f"viat: it renders squares of 1 or 3 channels, not {channels} x {height} x {width}")
        objects = self._open(channels, height)
        if self.fingerprint not in ("", objects.fingerprint):
            raise DataError(
                f"viat: objects {shorten(self.objects)} have the fingerprint {objects.fingerprint}, not "
                f"{shorten(self.fingerprint)}"
            )
        classes = ModelClasses.of(setup.model, setup.classes)
        labels = aligned(
            objects, replace(classes, by_position=classes.by_position or ClassNames(classes.names).unnamed)
        ).labels
        if labels is None or int(labels.max()) >= setup.classes:
            raise DataError(f"viat: objects {shorten(self.objects)} have a class beyond the model's {setup.classes}")
        n = len(objects)
        setup.memory.update(
            {
                "labels": torch.from_numpy(labels),
                "shape": torch.tensor([channels, height]),
                "seed": torch.tensor(setup.seed),
                "epoch": torch.tensor(-1),
                "mu": torch.zeros(n, self.components, 6),
                "sigma": torch.zeros(n, self.components, 6),
            }
        )

    @override
    def augment(self, step: Step) -> None:
        memory = step.memory[self.info.name]
        if int(memory["epoch"]) < step.epoch:
            if self.views == "adversarial":
                self._search(step, memory)
            memory["epoch"] = torch.tensor(step.epoch)
        objects, rng = self._opened(memory), step.rng[slice(0, 1)].fold("viat").generators()[0]
        numbers = _draw_objects(memory["labels"].numpy(), self.batch_size, rng)
        views = self._draw_views(memory, numbers, rng)
        step.extra[IMAGES] = objects.images_each(numbers.tolist(), views).to(step.images.device)
        step.extra[LABELS] = memory["labels"][torch.from_numpy(numbers)].to(step.labels.device)

    @override
    def loss(self, step: Step) -> Tensor:
        images, labels = step.extra[IMAGES], step.extra[LABELS]
        logits = step.model(torch.cat([step.shown, images]))
        soft = torch.cat([step.soft_labels, F.one_hot(labels, step.classes).float()])
        with torch.no_grad():
            right = logits[len(step.shown) :].argmax(1) == labels
            step.figures["viat.accuracy"] = float(right.float().mean())
        return F.cross_entropy(logits, soft)

    def _open(self, channels: int, side: int) -> ObjectSet:
        options = divide(self.objects)[2]
        spec = self.objects if "size" in options else with_option(self.objects, "size", str(side))
        objects = open_objects(spec if channels == 3 else with_option(spec, "mode", "L"))
        if objects.options.size != side:
            raise ParameterError(f"viat: objects have size={objects.options.size}, the training images {side} pixels")
        return objects

    def _opened(self, memory: Memory) -> ObjectSet:
        channels, side = memory["shape"].tolist()
        return self._open(channels, side)

    def _search(self, step: Step, memory: Memory) -> None:
        """Learn all mixtures, or go on with one object of each class."""
        objects, labels, first = self._opened(memory), memory["labels"], int(memory["epoch"]) < 0
        streams = SampleRng.of(int(memory["seed"]), "viat", objects.ids).fold(step.epoch)
        chosen = torch.arange(len(objects))
        if not first:
            order = streams.fold("turn").fresh(1)[:, 0].argsort()  # the first of each class in this order
            chosen = torch.stack([order[(labels[order] == k).nonzero()[0, 0]] for k in torch.unique(labels)])
        attack = GMVFool(
            components=self.components,
            pairs=self.pairs,
            steps=self.steps if first else self.warm_steps,
            entropy=self.entropy,
            lr=self.lr,
            region=self.region,
        )
        device = step.images.device
        start = None if first else ViewMixture(memory["mu"][chosen], memory["sigma"][chosen]).to(device)
        some = Objects(torch.arange(len(chosen), device=device), labels[chosen].to(device))

        def render(number: int, views: Tensor) -> Tensor:
            return objects.images(int(chosen[number]), views).to(device)

        with step.inner.oracle(RENDERED) as oracle:
            found = attack.learn(some, render, oracle, streams[chosen].to(device), start).result
        for name, value in (("mu", found.mixture.mu), ("sigma", found.mixture.sigma)):
            memory[name] = memory[name].index_copy(0, chosen, value.cpu())
        step.figures["viat.fitness"] = float(found.fitness.mean())

    def _draw_views(self, memory: Memory, numbers: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """A viewpoint for each object, `[n, 6]`."""
        n = len(numbers)
        box = BOXES["natural" if self.views == "natural" else self.region]
        if self.views != "adversarial":
            spread = torch.from_numpy(rng.uniform(-1, 1, (n, 6))).float()
            return spread * torch.tensor(box.a) + torch.tensor(box.b)
        labels = memory["labels"].numpy()
        other = [rng.choice(np.flatnonzero(labels == labels[i])) for i in numbers]
        whose = torch.from_numpy(np.where(rng.random(n) < self.sharing, other, numbers))
        k = torch.from_numpy(rng.integers(0, self.components, n))
        r = torch.from_numpy(rng.standard_normal((n, 6))).float()
        return box.view(memory["mu"][whose, k] + memory["sigma"][whose, k] * r)


def _draw_objects(labels: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Numbers of objects, drawn evenly over classes and then over the objects of each."""
    classes = rng.choice(np.unique(labels), count)
    return np.array([rng.choice(np.flatnonzero(labels == k)) for k in classes], np.int64)
