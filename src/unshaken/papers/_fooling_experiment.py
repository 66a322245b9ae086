"""The two forms of the experiment: small networks of this package, or a model of the user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from unshaken.attack.fooling import Ascent, Cppn, Direct, MapElites
from unshaken.core.classifier import evaluating
from unshaken.core.errors import ModelError
from unshaken.core.oracle import Oracle
from unshaken.models import load_model
from unshaken.papers._fooling_figures import Figures
from unshaken.papers._fooling_imagenet import imagenet_ascent
from unshaken.papers._fooling_nets import (
    SIDE,
    Digits,
    data_key,
    keep_clean,
    mean_features,
    read_digits,
    trained,
)
from unshaken.papers._fooling_rows import fooling_rows, nearest, total_variation
from unshaken.papers._fooling_run import Made, Net, Proxies, Workshop
from unshaken.papers.base import Bench

if TYPE_CHECKING:
    from unshaken.papers.fooling_images import FoolingImagesPaper

MOST = 20
"""Classes of a model of one's own, evenly spaced."""
REAL = 1000
"""Real test images whose proxies stand beside those of fooling images."""
ROBUST = "demo:robust"
POOL = MapElites(population=60, generations=15)
"""Evolutions that give the images of the reject class."""
MADE = ("ascent-decay", "ascent-plain", "direct", "cppn")


def make_all(workshop: Workshop, net: Net, paper: FoolingImagesPaper, mean: Tensor | float) -> list[Made]:
    """Ascent with and without decay, pixels and CPPNs, for one network."""
    size = paper.population
    return [
        workshop.ascended("ascent-decay", net, Ascent(steps=paper.steps), mean),
        workshop.ascended("ascent-plain", net, Ascent(steps=paper.steps, decay=0), mean),
        workshop.evolved("direct", net, Direct(), for_pixels(paper)),
        workshop.evolved("cppn", net, Cppn(), MapElites(population=size, generations=paper.cppn_generations)),
    ]


def for_pixels(paper: FoolingImagesPaper) -> MapElites:
    """How pixels are evolved."""
    return MapElites(population=paper.population, generations=paper.direct_generations, enough=paper.direct_enough)


class OwnModel:
    """Ascent and evolution on a model of the user's own.

    Args:
        bench: where it runs.
        paper: sizes.

    Raises:
        ModelError: the model takes images of any size, and none was said.
    """

    def __init__(self, bench: Bench, paper: FoolingImagesPaper) -> None:
        self.bench, self.paper = bench, paper
        self.model = load_model(bench.model, download=bench.download)
        view = self.model.view
        if view is None:
            raise ModelError(f"model {bench.model!r} takes images of any size: add its size, as in ?size=32")
        self.shape = (view.channels, view.height, view.width)

    def run(self) -> dict[str, Any]:
        """Put all rows that are not there yet, then the figures."""
        self.bench.pin(model=self.bench.model, **self.paper.model_dump())
        with evaluating(self.model):
            k = Oracle(self.model).exact(torch.full((1, *self.shape), 0.5)).shape[1]
        classes = tuple(range(k)) if k <= MOST else tuple(i * k // MOST for i in range(MOST))
        workshop = Workshop(self.bench, classes, self.shape, lambda images: {})
        make_all(workshop, Net("own", self.model), self.paper, 0.5)
        figures = Figures(self.bench.run)
        return {name: figures.made(name, "own") for name in MADE}


class SmallWorld:
    """The whole experiment, with small networks.

    Args:
        bench: where it runs.
        paper: sizes.

    Raises:
        DataError: the data is absent.
    """

    def __init__(self, bench: Bench, paper: FoolingImagesPaper) -> None:
        self.bench, self.paper = bench, paper
        self.digits: Digits = read_digits(bench, paper.train, paper.test)
        self.from_cache: list[bool] = []

    def run(self) -> dict[str, Any]:
        """Train what is not in the cache, put all rows that are not there yet, then the figures."""
        self.bench.pin(**data_key(self.digits), **self.paper.model_dump())
        nets = [self._net(name, self.bench.seed + i) for i, name in enumerate(("first", "second"))]
        first = nets[0]
        workshop = Workshop(self.bench, tuple(range(self.digits.classes)), (1, SIDE, SIDE), self._proxies(first))
        mean = self.digits.train.images.mean(0)
        made = make_all(workshop, first, self.paper, mean)
        robust = self._robust(workshop, mean)
        self._retrain(workshop, first)
        for images in made:
            for net in [*nets[1:], *robust]:
                workshop.shown(images, net)
        self._real(first, workshop)
        imagenet = imagenet_ascent(self.bench, self.paper.imagenet_classes, self.paper.imagenet_steps)
        return self._figures([n.name for n in nets[1:]] + [n.name for n in robust], imagenet)

    def _net(self, name: str, seed: int, reject: Tensor | None = None) -> Net:
        paper = self.paper
        model, found = trained(self.digits, epochs=paper.epochs, seed=seed, smoothing=paper.smoothing, reject=reject)
        self.from_cache.append(found)
        return Net(name, model, keep_clean(self.bench, name, model, self.digits))

    def _robust(self, workshop: Workshop, mean: Tensor) -> list[Net]:
        """The control: an adversarially trained network of the same classes, where the data is its own."""
        if not self.bench.data.startswith("fashion-mnist"):
            return []
        model = load_model(ROBUST)
        net = Net("robust", model, keep_clean(self.bench, "robust", model, self.digits))
        paper = self.paper
        workshop.ascended("ascent-plain", net, Ascent(steps=paper.steps, decay=0), mean)
        workshop.evolved("direct", net, Direct(), for_pixels(paper))
        return [net]

    def _retrain(self, workshop: Workshop, net: Net) -> None:
        """Rounds of images, a network that learns them as a class of their own, and evolution against it."""
        settings = MapElites(population=self.paper.population, generations=self.paper.cppn_generations)
        rejects = []
        for number in range(1, self.paper.rounds + 1):
            pool = workshop.pool(net, self.paper.rejects, POOL)
            rejects.append((pool.images[: self.paper.rejects] * 255).round().to(torch.uint8))
            seed = self.bench.seed + 100 * number
            after = self._net(f"retrained-{number}", seed, torch.cat(rejects))
            workshop.shown(pool, after)
            workshop.evolved("cppn", after, Cppn(), settings)
            net = after

    def _proxies(self, first: Net) -> Proxies:
        """Distances to the nearest training image, in pixels and in features of the first network."""
        known = self.digits.train.images
        known_features: list[Tensor] = []

        def proxies(images: Tensor) -> dict[str, Tensor | None]:
            if not known_features:
                known_features.append(mean_features(first.model, known))
            features = mean_features(first.model, images)
            return {"nearest": nearest(images, known), "nearest_features": nearest(features, known_features[0])}

        return proxies

    def _real(self, first: Net, workshop: Workshop) -> None:
        """The same proxies of real test images."""
        if self.bench.run.has_rows("fooling", "real.test.first", 0):
            return
        batch = self.digits.test[slice(0, REAL)]
        if batch.labels is None:
            return
        with evaluating(first.model):
            logits = Oracle(first.model).exact(batch.images)
        proxies = {"variation": total_variation(batch.images), **workshop.proxies(batch.images)}
        part = fooling_rows("real", "test", "first", batch.ids, batch.labels, logits, proxies=proxies)
        self.bench.keep([part], 0)

    def _figures(self, others: list[str], imagenet: str) -> dict[str, Any]:
        figures, last = Figures(self.bench.run), self.paper.rounds
        names = [f"retrained-{i}" for i in range(1, last + 1)]
        before = ["first", *names]
        measured: dict[str, Any] = {
            "used": f"{self.bench.data} ({len(self.digits.train)} training images)",
            **{name: figures.made(name, "first") for name in MADE},
            "transfer": {m: {net: figures.elsewhere(m, "first", net) for net in others} for m in MADE},
            "retrained": {
                str(i): {
                    **figures.made("cppn", f"retrained-{i}"),
                    "pool": figures.made("pool", before[i - 1])["confidence"],
                    "pool_after": figures.elsewhere("pool", before[i - 1], f"retrained-{i}")["confidence"],
                    "pool_rejected": figures.rejected("pool", before[i - 1], f"retrained-{i}", self.digits.classes),
                }
                for i in range(1, last + 1)
            },
            "accuracy": {net: figures.clean(net) for net in [*before, *others]},
            "real": figures.proxies(figures.rows("real", "test", "first")),
            "networks_from_cache": all(self.from_cache),
        }
        if "robust" in others:
            measured["control"] = {m: figures.made(m, "robust") for m in ("ascent-plain", "direct")}
        if imagenet:
            measured["imagenet"] = figures.made("ascent-plain", imagenet)
        return measured
