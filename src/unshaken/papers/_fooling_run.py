"""The experiment with fooling images: made by ascent and by evolution, shown to other networks, learnt as a class."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unshaken.attack.fooling import Ascent, Cppn, MapElites, ascend, map_elites
from unshaken.attack.fooling.map_elites import Encoding
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.oracle import Oracle
from unshaken.core.progress import track
from unshaken.papers._fooling_rows import fooling_rows, history_rows, seen_condition, total_variation
from unshaken.papers.base import Bench
from unshaken.run.rows import Part

Proxies = Callable[[Tensor], dict[str, Tensor | None]]
"""From images `[N, C, H, W]` in [0, 1] to further columns."""


@dataclass(frozen=True, slots=True)
class Net:
    """A network in the experiment.

    Args:
        name: in the rows.
        model: the network.
        temperature: that suits its clean images; None where unknown.
    """

    name: str
    model: Classifier
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """Images and the classes they were made for.

    Args:
        method: such as `direct`.
        made_for: name of the network.
        images: float32 `[N, C, H, W]` in [0, 1], of 8 bits.
        targets: int64 `[N]`.
    """

    method: str
    made_for: str
    images: Tensor
    targets: Tensor

    @property
    def ids(self) -> list[str]:
        """One an image."""
        return [f"{self.method}.{self.made_for}/{i:04d}" for i in range(len(self.images))]


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where images are made, kept and shown.

    Args:
        bench: the experiment's.
        classes: to make images for.
        shape: channels, height and width.
        proxies: of how far images are from real ones.
    """

    bench: Bench
    classes: tuple[int, ...]
    shape: tuple[int, int, int]
    proxies: Proxies

    def ascended(self, name: str, net: Net, settings: Ascent, mean: Tensor | float) -> Made:
        """Images by ascent, made where they are not there yet."""
        there = self.kept(name, net)
        if there is not None:
            return there
        oracle, began = Oracle(net.model), time.perf_counter()
        found = ascend(oracle, self.classes, self.shape, settings=settings, mean=mean, seed=self.bench.seed)
        made = Made(name, net.name, found.images.float() / 255, found.classes)
        self.keep(made, net, oracle, began, [], found=found.best_step, certain=found.crossed[:, 3])
        return made

    def evolved(self, name: str, net: Net, encoding: Encoding[Any], settings: MapElites) -> Made:
        """Images by evolution, made where they are not there yet."""
        there = self.kept(name, net)
        if there is not None:
            return there
        oracle, began = Oracle(net.model), time.perf_counter()
        found = map_elites(oracle, encoding, self.classes, self.shape, settings=settings, seed=self.bench.seed)
        archive = found.archive
        made = Made(name, net.name, archive.images.float() / 255, torch.tensor(archive.classes))
        self.keep(made, net, oracle, began, [history_rows(name, net.name, found.history)], found=archive.generation)
        return made

    def pool(self, net: Net, count: int, settings: MapElites) -> Made:
        """At least `count` images for a class of their own: the elites of many short evolutions of CPPNs."""
        name = "pool"
        there = self.kept(name, net)
        if there is not None:
            return there
        oracle, began, parts = Oracle(net.model), time.perf_counter(), []
        runs = -(-count // len(self.classes))
        with track(f"images for {net.name}'s successor", runs) as task:
            for i in range(runs):
                seed = (self.bench.seed + 1) * 100_003 + i
                found = map_elites(oracle, Cppn(), self.classes, self.shape, settings=settings, seed=seed)
                parts.append(found.archive)
                task.advance()
        made = Made(
            name,
            net.name,
            torch.cat([a.images for a in parts]).float() / 255,
            torch.cat([torch.tensor(a.classes) for a in parts]),
        )
        generations = torch.cat([a.generation for a in parts])
        self.keep(made, net, oracle, began, [], found=generations)
        return made

    def shown(self, made: Made, net: Net) -> None:
        """Rows of images as another network sees them."""
        if self.bench.run.has_rows("fooling", seen_condition(made.method, made.made_for, net.name).id, 0):
            return
        with evaluating(net.model):
            logits = Oracle(net.model).exact(made.images)
        part = fooling_rows(
            made.method, made.made_for, net.name, made.ids, made.targets, logits, temperature=net.temperature
        )
        self.bench.keep([part], 0)

    def kept(self, method: str, net: Net) -> Made | None:
        """Images that are there already."""
        place = f"{method}.{net.name}"
        if not self.bench.run.has_rows("fooling", seen_condition(method, net.name, net.name).id, 0):
            return None
        images = self.bench.run.examples(place)
        rows = self.bench.run.rows("fooling", ["id", "condition", "target"]).to_pylist()
        targets = {r["id"]: r["target"] for r in rows if r["condition"] == f"{place}.{net.name}"}
        ids = sorted(images)
        return Made(method, net.name, torch.stack([images[i] for i in ids]), torch.tensor([targets[i] for i in ids]))

    def keep(self, made: Made, net: Net, oracle: Oracle, began: float, further: list[Part], **columns: Tensor) -> None:
        """Images first, then their history, then the rows that say that all is there."""
        meter = oracle.meter
        spent = (float(meter.forwards), float(meter.backwards), time.perf_counter() - began)
        with evaluating(net.model):
            logits = Oracle(net.model).exact(made.images)
        part = fooling_rows(
            made.method,
            made.made_for,
            net.name,
            made.ids,
            made.targets,
            logits,
            temperature=net.temperature,
            spent=spent,
            proxies={"variation": total_variation(made.images), **self.proxies(made.images)},
            **columns,
        )
        self.bench.run.write_examples(made.images, made.ids, f"{made.method}.{made.made_for}", 0)
        self.bench.keep([*further, part], 0)
