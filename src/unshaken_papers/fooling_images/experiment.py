"""Fooling images of small networks, retrained ones and a control; or of a model of the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from unshaken.attack.fooling import Ascent, Cppn, Direct, MapElites
from unshaken.attack.fooling.results import nearest
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, View, evaluating
from unshaken.core.errors import MissingExtra, ModelError
from unshaken.core.oracle import Oracle, required
from unshaken.core.query import Features
from unshaken.measure.calibration.temperature import fit_temperature
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.networks import plan_training
from unshaken_papers.fooling_images import FoolingImagesPaper
from unshaken_papers.fooling_images.images import Made, Maker, Network, Proxies

ARCH, SIDE = "small", 28
LAYER = "body"
"""The last layer before the head of the small networks."""
MOST = 20
"""Classes of a model of one's own, evenly spaced."""
REAL = 1000
"""Real test images whose proxies stand beside those of fooling images."""
ROBUST = "demo:robust"
POOL = MapElites(population=60, generations=15)
"""Evolutions that give the images of the reject class."""
IMAGENET = "imagenet:efficientnet-lite0"
STUDY = {"decay": 0.0, "early": 0.02, "late": 0.1}
"""The published study's setting without regularisers, for ImageNet."""


def run(paper: FoolingImagesPaper, context: Context) -> None:
    """The small networks; or the user's own."""
    for repetition in context.repetitions(paper.seeds):
        if context.model != paper.model:
            fool_own_model(paper, repetition)
        else:
            fool_small_networks(paper, repetition)
            fool_imagenet(paper, repetition)


def fool_small_networks(paper: FoolingImagesPaper, context: Context) -> None:
    """The networks of one seed."""
    view = View(SIDE, SIDE, channels=1)
    train, test = (
        context.datasets.stratified(split, n, context.seed, view=view)
        for split, n in (("train", paper.train), ("test", paper.test))
    )
    Experiment(paper, context, train, test.batch()).run()


def make_all(maker: Maker, net: Network, paper: FoolingImagesPaper, mean: Tensor | float) -> list[Made]:
    """Ascent with and without decay, pixels and CPPNs, for one network."""
    return [
        maker.ascend("ascent-decay", net, Ascent(steps=paper.steps), mean),
        maker.ascend("ascent-plain", net, Ascent(steps=paper.steps, decay=0), mean),
        maker.evolve("direct", net, Direct(), for_pixels(paper)),
        maker.evolve("cppn", net, Cppn(), for_cppns(paper)),
    ]


def for_pixels(paper: FoolingImagesPaper) -> MapElites:
    """How pixels are evolved."""
    return MapElites(population=paper.population, generations=paper.direct_generations, enough=paper.direct_enough)


def for_cppns(paper: FoolingImagesPaper) -> MapElites:
    """How CPPNs are evolved."""
    return MapElites(population=paper.population, generations=paper.cppn_generations)


def fool_own_model(paper: FoolingImagesPaper, context: Context) -> None:
    """Ascent and evolution on a model of the user's own.

    Raises:
        ModelError: the model takes images of any size, and none is given.
    """
    model = context.load_model(context.model)
    if model.view is None:
        raise ModelError(f"model {context.model!r} takes images of any size: add its size, as in ?size=32")
    shape = (model.view.channels, model.view.height, model.view.width)
    with evaluating(model):
        k = Oracle(model).exact(torch.full((1, *shape), 0.5)).shape[1]
    classes = tuple(range(k)) if k <= MOST else tuple(i * k // MOST for i in range(MOST))
    make_all(Maker(context, classes, shape), Network("own", model), paper, 0.5)


def fool_imagenet(paper: FoolingImagesPaper, context: Context) -> None:
    """Ascents for evenly spaced classes of an ImageNet network, where its packages are there; outside the rule."""
    count = paper.imagenet_classes
    try:
        model = context.load_model(IMAGENET) if count else None
    except MissingExtra:
        return
    if model is not None:
        side = model.view.height if model.view is not None else 224
        maker = Maker(context, tuple(i * 1000 // count for i in range(count)), (3, side, side))
        mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
        maker.ascend("ascent-plain", Network("imagenet", model), Ascent(steps=paper.imagenet_steps, **STUDY), mean)


@dataclass(frozen=True, slots=True)
class Experiment:
    """The whole experiment, with small networks.

    Args:
        paper: the sizes.
        context: of the experiment.
        train: what networks learn.
        test: what their accuracy is measured on.
    """

    paper: FoolingImagesPaper
    context: Context
    train: Split
    test: Batch

    def run(self) -> None:
        """Train, and write all rows that are not there yet."""
        context, known = self.context, self.train.batch().images
        if not context.has("used", "used"):
            used = {"data": [context.data], "images": [len(self.train)], "classes": [self.train.classes]}
            context.write("used", "used", {"id": ["used"], **used})
        pair = enumerate(("first", "second"))
        first, second = (self.net(name, 2 * context.seed + i, self.train) for i, name in pair)
        shape = (1, SIDE, SIDE)
        maker = Maker(context, tuple(range(self.train.classes)), shape, proxies_of(first.model, known))
        mean = known.mean(0)
        made = make_all(maker, first, self.paper, mean)
        others = [second, *self.control(maker, mean)]
        self.retrain(maker, first)
        for images in made:
            for net in others:
                maker.show(images, net)
        if not context.has("real.test.first", "images"):
            real = self.test[slice(0, REAL)]
            distances = maker.distances(real.images)
            maker.write("real", "test", real.ids, required(real.labels), real.images, first, **distances)

    def net(self, name: str, seed: int, data: Split) -> Network:
        """A small network, its clean rows, and the temperature that suits its test images best."""
        paper = self.paper
        training = plan_training(paper.epochs, seed, lr=0.2, nesterov=True, smoothing=paper.smoothing, held_out=1)
        return self.measured(name, self.context.net(name, ARCH, data, training).model)

    def measured(self, name: str, model: Classifier) -> Network:
        """A network with its clean rows; the temperature lies in [0.05, 20]."""
        self.context.predict(f"clean.{name}", model, self.test)
        found = fit_temperature(*self.context.rows().logits(f"clean.{name}")).value
        return Network(name, model, float(np.clip(found, 0.05, 20)))

    def control(self, maker: Maker, mean: Tensor) -> list[Network]:
        """An adversarially trained network of the same classes, where the data is its own."""
        if not self.context.data.startswith("fashion-mnist"):
            return []
        net = self.measured("robust", self.context.load_model(ROBUST))
        maker.ascend("ascent-plain", net, Ascent(steps=self.paper.steps, decay=0), mean)
        maker.evolve("direct", net, Direct(), for_pixels(self.paper))
        return [net]

    def retrain(self, maker: Maker, net: Network) -> None:
        """Rounds of images, a network that learns them as a class of their own, and evolution against it."""
        data, reject = self.train, self.train.classes
        for number in range(1, self.paper.rounds + 1):
            pool = maker.pool(net, self.paper.rejects, POOL)
            images = (pool.images[: self.paper.rejects] * 255).round().to(torch.uint8)
            labels = torch.full((len(images),), reject)
            ids = (*data.ids, *(f"{number}/{i}" for i in range(len(images))))
            images, labels = torch.cat([data.images, images]), torch.cat([data.labels, labels])
            data = replace(data, images=images, labels=labels, ids=ids, classes=reject + 1)
            after = self.net(f"retrained-{number}", 1000 * number + self.context.seed, data)
            maker.show(pool, after)
            maker.evolve("cppn", after, Cppn(), for_cppns(self.paper))
            net = after


def proxies_of(model: Classifier, known: Tensor) -> Proxies:
    """Distances to the nearest training image, in pixels and in mean features of a network."""
    features: list[Tensor] = []

    def proxies(images: Tensor) -> Mapping[str, Tensor]:
        if not features:  # of the training images, once
            features.append(mean_features(model, known))
        near = nearest(mean_features(model, images), features[0])
        return {"nearest": nearest(images, known), "nearest_features": near}

    return proxies


def mean_features(net: Classifier, images: Tensor) -> Tensor:
    """Activations of the last layer before the head, meant over places, `[N, D]`."""
    with evaluating(net):
        oracle = Oracle(net)
        parts = [oracle.ask(Features(x, (LAYER,))).features for x in torch.split(images, 1000)]
    return torch.cat([part[LAYER].mean((2, 3)) for part in parts if part is not None])
