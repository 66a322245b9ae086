"""Fooling images: made by ascent and by evolution, kept, and shown to networks, as rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unshaken.attack.fooling import Ascent, Cppn, Generation, MapElites, ascend, log_odds, map_elites
from unshaken.attack.fooling.map_elites import Encoding
from unshaken.attack.fooling.results import total_variation
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.oracle import Oracle
from unshaken.core.progress import track
from unshaken.papers.context import Context

Proxies = Callable[[Tensor], Mapping[str, Tensor]]
"""From images `[N, C, H, W]` in [0, 1] to further columns: how far they are from real ones."""
HISTORY = ("generation", "low", "median", "high", "above_99", "jumps", "evaluations")


@dataclass(frozen=True, slots=True)
class Network:
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
        """One id for each image."""
        return [f"{self.method}.{self.made_for}/{i:04d}" for i in range(len(self.images))]


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes images, keeps them, and shows them to networks.

    Args:
        context: of the experiment.
        classes: to make images for.
        shape: channels, height and width.
        proxies: see `Proxies`.
    """

    context: Context
    classes: tuple[int, ...]
    shape: tuple[int, int, int]
    proxies: Proxies = lambda images: {}

    def ascend(self, method: str, net: Network, settings: Ascent, mean: Tensor | float) -> Made:
        """Images by ascent, made where they are not there yet."""
        if (kept := self.kept(method, net)) is not None:
            return kept
        oracle, began = Oracle(net.model), time.perf_counter()
        found = ascend(oracle, self.classes, self.shape, settings=settings, mean=mean, seed=self.context.seed)
        made = Made(method, net.name, found.images.float() / 255, found.classes)
        return self.keep(made, net, oracle, began, [], found=found.best_step, certain=found.crossed[:, 3])

    def evolve(self, method: str, net: Network, encoding: Encoding[Any], settings: MapElites) -> Made:
        """Images by evolution, made where they are not there yet."""
        return self.evolved(method, net, encoding, settings, [self.context.seed])

    def pool(self, net: Network, count: int, settings: MapElites) -> Made:
        """At least `count` images for a class of their own: the elites of many short evolutions of CPPNs."""
        runs = -(-count // len(self.classes))
        seeds = [(self.context.seed + 1) * 100_003 + i for i in range(runs)]
        return self.evolved("pool", net, Cppn(), settings, seeds)

    def evolved(
        self, method: str, net: Network, encoding: Encoding[Any], settings: MapElites, seeds: Sequence[int]
    ) -> Made:
        """The elites of an evolution, or of several; the history of an only one is kept."""
        if (kept := self.kept(method, net)) is not None:
            return kept
        oracle, began, runs = Oracle(net.model), time.perf_counter(), []
        with track(f"{method} for {net.name}", len(seeds)) as task:
            for seed in seeds:
                runs.append(map_elites(oracle, encoding, self.classes, self.shape, settings=settings, seed=seed))
                task.advance()
        archives = [run.archive for run in runs]
        images = torch.cat([a.images for a in archives]).float() / 255
        made = Made(method, net.name, images, torch.cat([torch.tensor(a.classes) for a in archives]))
        history = runs[0].history if len(runs) == 1 and method != "pool" else ()
        return self.keep(made, net, oracle, began, history, found=torch.cat([a.generation for a in archives]))

    def show(self, made: Made, net: Network) -> None:
        """Rows of images shown to another network."""
        if not self.context.has(f"{made.method}.{made.made_for}.{net.name}", "images"):
            self.write(made.method, made.made_for, made.ids, made.targets, made.images, net)

    def kept(self, method: str, net: Network) -> Made | None:
        """Images that are there already."""
        label = f"{method}.{net.name}.{net.name}"
        if not self.context.has(label, "images"):
            return None
        images, rows = (
            self.context.run.examples(self.context.id(f"{method}.{net.name}")),
            self.context.rows().table("images", label),
        )
        targets = dict(zip(rows["id"].to_pylist(), rows["target"].to_pylist(), strict=True))
        ids = sorted(images)
        return Made(method, net.name, torch.stack([images[i] for i in ids]), torch.tensor([targets[i] for i in ids]))

    def keep(
        self, made: Made, net: Network, oracle: Oracle, began: float, history: Sequence[Generation], **columns: Tensor
    ) -> Made:
        """Images first, then their history, then the rows that say that all is there."""
        label, n = f"{made.method}.{made.made_for}", len(made.images)
        cost: dict[str, Any] = {
            "forwards": round(oracle.meter.forwards / n),
            "backwards": round(oracle.meter.backwards / n),
            "seconds": (time.perf_counter() - began) / n,
        }
        self.context.run.write_examples(made.images, made.ids, self.context.id(label), 0)
        if history:
            generations = [{"id": str(g.generation), **{n: getattr(g, n) for n in HISTORY}} for g in history]
            self.context.write("history", label, generations)
        further = {**columns, **cost, **self.distances(made.images)}
        self.write(made.method, made.made_for, made.ids, made.targets, made.images, net, **further)
        return made

    def distances(self, images: Tensor) -> dict[str, Tensor]:
        """All proxies of images, as columns."""
        return {"variation": total_variation(images), **self.proxies(images)}

    def write(
        self, method: str, made_for: str, ids: Sequence[str], targets: Tensor, images: Tensor, net: Network,
        **columns: Any,
    ) -> None:  # fmt: skip
        """Rows of images shown to one network.

        Args:
            method: such as `direct`.
            made_for: the network that they were made for.
            ids: of the images.
            targets: int64 `[N]`, the classes that they were made for.
            images: float32 `[N, C, H, W]` in [0, 1], of 8 bits.
            net: the network.
            columns: further ones.
        """
        with evaluating(net.model):
            logits = Oracle(net.model).exact(images)
        at = targets[:, None]
        odds = log_odds(logits).gather(1, at).flatten()
        columns |= {
            "id": list(ids),
            "made_for": made_for,
            "shown_to": net.name,
            "target": targets,
            "prediction": logits.argmax(1),
            "confidence": odds.sigmoid(),
            "log_odds": odds,
        }
        if net.temperature is not None:
            columns["tempered"] = (logits.double() / net.temperature).softmax(1).gather(1, at).flatten()
        self.context.write("images", f"{method}.{made_for}.{net.name}", columns)
