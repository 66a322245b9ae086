"""MAP-Elites over classes: one population, one elite a class, and a child made for one class may win another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Generic, Protocol, TypeVar, cast

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.attack.fooling.base import FoolingImages, FoolingSearch
from unshaken.attack.fooling.confidence import check_known, check_task, log_odds
from unshaken.core.classifier import evaluating
from unshaken.core.device import widen
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.oracle import Oracle
from unshaken.core.progress import track
from unshaken.core.registry import Parameters
from unshaken.core.rng import SampleRng
from unshaken.core.state import State

G = TypeVar("G", bound=State)


@dataclass(frozen=True, slots=True)
class Archive(Generic[G]):
    """Elites, one row a cell.

    Args:
        classes: the class of each cell.
        genomes: one row a cell.
        images: uint8 `[cells, C, H, W]`, images of the genomes.
        odds: float64 `[cells]`, log-odds of the cell's class; minus infinity where the cell is empty.
        generation: int64 `[cells]`, when the elite came; -1 where the cell is empty.
    """

    classes: tuple[int, ...]
    genomes: G
    images: Tensor
    odds: Tensor
    generation: Tensor

    @classmethod
    def empty(cls, classes: tuple[int, ...], genomes: G, images: Tensor) -> Archive[G]:
        """Empty cells; a genome and an image, any, give the form."""
        cells = torch.zeros(len(classes), dtype=torch.int64)
        return cls(
            classes, genomes[cells], images[cells], torch.full((len(classes),), -torch.inf).double(), cells.sub(1)
        )

    @property
    def filled(self) -> Tensor:
        """Numbers of the cells that hold an elite, int64."""
        return (self.generation >= 0).nonzero().flatten()

    @property
    def confidence(self) -> Tensor:
        """Confidence of each cell's elite in its class, float64; 0 where the cell is empty."""
        return self.odds.sigmoid()

    def offer(self, genomes: G, images: Tensor, odds: Tensor, generation: int) -> tuple[Archive[G], int]:
        """Compare every child with every cell; it moves in where it is strictly better. Children come one by one.

        Args:
            genomes: of n children.
            images: uint8 `[n, C, H, W]`.
            odds: float64 `[n, cells]`, the log-odds of each cell's class; minus infinity where it may not move in.
            generation: what is noted of those that move in.

        Returns:
            The archive afterwards, and how often a child replaced an elite (or filled a cell).

        Raises:
            ParameterError: the log-odds are not `[n, cells]`, or not a number.
        """
        if odds.shape != (len(images), len(self.classes)) or bool(odds.isnan().any()):
            raise ParameterError(
                f"log-odds must be numbers of shape {(len(images), len(self.classes))}, not {tuple(odds.shape)}"
                f"{' with NaN' if bool(odds.isnan().any()) else ''}"
            )
        best_so_far = torch.cat([self.odds[None], odds]).cummax(0).values
        jumps = int((odds > best_so_far[:-1]).sum())
        best, child = odds.max(0)
        better = (best > self.odds).nonzero().flatten()
        if not len(better):
            return self, 0
        source = torch.arange(len(self.classes)).index_copy(0, better, len(self.classes) + child[better])
        return (
            replace(
                self,
                genomes=type(genomes).concat([self.genomes, genomes])[source],
                images=torch.cat([self.images, images])[source],
                odds=best_so_far[-1],
                generation=self.generation.index_fill(0, better, generation),
            ),
            jumps,
        )


Shape = tuple[int, int, int]


class Encoding(Protocol[G]):
    """An encoding of images by genomes: how these are drawn, vary and become images."""

    def begin(self, n: int, shape: Shape, rng: np.random.Generator) -> G:
        """The first n genomes."""

    def vary(self, parents: G, generation: int, rng: np.random.Generator) -> G:
        """As many children; neighbouring rows are a pair."""

    def draw(self, genomes: G, shape: Shape) -> Tensor:
        """Their images, uint8 `[N, C, H, W]`."""


class MapElites(Parameters):
    """How long and how wide the evolution runs.

    A per-class search (`independent`) is another, weaker algorithm; it is here to be compared with.
    """

    population: PositiveInt = Field(default=200, multiple_of=2, description="children a generation")
    generations: PositiveInt = Field(default=1000, description="generations, the first random one counted")
    enough: float | None = Field(default=None, gt=0, le=1, description="stop once every class has this confidence")
    independent: bool = Field(default=False, description="compare a child with its parent's cell alone")
    crop: PositiveInt | None = Field(
        default=None,
        description="side in pixels of the ten crops (corners, centre, mirrored) whose confidences are averaged",
    )


@dataclass(frozen=True, slots=True)
class Generation:
    """Record of one generation.

    Args:
        generation: from 0.
        low: least confidence of a cell.
        median: over cells.
        high: largest.
        above_99: cells with a confidence of 0.99 or more.
        jumps: replacements of elites.
        evaluations: images judged so far.
    """

    generation: int
    low: float
    median: float
    high: float
    above_99: int
    jumps: int
    evaluations: int


@dataclass(frozen=True, slots=True)
class EvolutionResult(Generic[G]):
    """Result of an evolution.

    Args:
        archive: the elites.
        history: one record a generation.
    """

    archive: Archive[G]
    history: tuple[Generation, ...]


def map_elites(
    oracle: Oracle,
    encoding: Encoding[G],
    classes: Sequence[int],
    shape: Shape,
    *,
    settings: MapElites,
    seed: int = 0,
    observe: Callable[[Archive[G], Generation], object] | None = None,
) -> EvolutionResult[G]:
    """Evolve an image for each class that the model is sure of.

    Children compete in all cells at once, so the search is one over the whole population and not one a sample: it
    runs the model itself, through the oracle. Elites are ranked by log-odds, which order images as confidence does and
    still differ where it rounds to 1. The model gets the 8-bit image.

    Args:
        oracle: runs the model and counts its passes.
        encoding: `Direct()` or `Cppn()`.
        classes: one cell each.
        shape: channels, height and width of the images.
        settings: how long and how wide.
        seed: decides all that is drawn.
        observe: sees the archive after each generation.

    Raises:
        ParameterError: the model has no such class, or the shape is no image's.
        ModelError: the model's answer is not a number.
    """
    check_task(classes, shape)
    if settings.crop is not None and settings.crop > min(shape[1:]):
        raise ParameterError(f"crop={settings.crop} is larger than the image, {shape[1]} x {shape[2]}")
    cells = torch.tensor(list(classes))
    rng = SampleRng.of(seed, f"map-elites/{type(encoding).__name__}", ["population"])
    archive: Archive[G] | None = None
    history: list[Generation] = []
    with evaluating(oracle.model), track("evolution", settings.generations) as task:
        for number in range(settings.generations):
            source, own = rng.fold(number).generators()[0], None
            if archive is None:
                genomes = encoding.begin(settings.population, shape, source)
            else:
                filled, half = archive.filled, settings.population // 2
                if settings.independent:
                    own = filled[torch.from_numpy(source.integers(0, len(filled), half))].repeat_interleave(2)
                else:
                    own = filled[torch.from_numpy(source.integers(0, len(filled), settings.population))]
                genomes = encoding.vary(archive.genomes[own], number, source)
            images = encoding.draw(genomes, shape)
            odds = _odds(oracle, images, settings.crop)
            check_known(classes, odds.shape[1])
            odds = odds[:, cells]
            if archive is None:
                archive = Archive.empty(tuple(classes), genomes, images)
            elif settings.independent and own is not None:
                odds = odds.where(torch.arange(len(cells)) == own[:, None], -torch.inf)
            archive, jumps = archive.offer(genomes, images, odds, number)
            history.append(_record(archive, number, jumps, settings.population))
            if observe is not None:
                observe(archive, history[-1])
            task.advance(note=f"median confidence {history[-1].median:.3f}")
            if settings.enough is not None and history[-1].low >= settings.enough:
                break
    if archive is None:  # not reached: there is one generation at least
        raise ParameterError("no generation was run")
    return EvolutionResult(archive, tuple(history))


def ten_crops(images: Tensor, side: int) -> Tensor:
    """The four corners and the centre, then the same mirrored.

    Args:
        images: `[N, C, H, W]`.
        side: of the crops, at most H and W.

    Returns:
        `[N, 10, C, side, side]`.
    """
    bottom, right = images.shape[2] - side, images.shape[3] - side
    places = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
    crops = torch.stack([images[:, :, y : y + side, x : x + side] for y, x in places], 1)
    return torch.cat([crops, crops.flip(4)], 1)


def _odds(oracle: Oracle, images: Tensor, crop: int | None) -> Tensor:
    """Log-odds `[N, K]` of all classes, on the CPU."""
    scaled = images.to(oracle.device).float() / 255
    if crop is None:
        odds = log_odds(oracle.exact(scaled)).cpu()
    else:
        logits = oracle.exact(ten_crops(scaled, crop).flatten(0, 1))
        odds = log_odds(widen(logits).softmax(1).reshape(len(images), 10, -1).mean(1).log()).cpu()
    if bool(odds.isnan().any()):
        raise ModelError(f"model {oracle.model.name!r} returns NaN for an image in [0, 1]: fix the model first")
    return odds


def _record(archive: Archive[G], number: int, jumps: int, population: int) -> Generation:
    p = archive.confidence
    return Generation(
        generation=number,
        low=float(p.min()),
        median=float(p.quantile(0.5)),
        high=float(p.max()),
        above_99=int((p >= 0.99).sum()),
        jumps=jumps,
        evaluations=(number + 1) * population,
    )


class Evolution(FoolingSearch):
    """A search by MAP-Elites whose genomes a subclass says, as an `Encoding`."""

    @override
    def find(
        self,
        oracle: Oracle,
        classes: Sequence[int],
        shape: Shape,
        *,
        generations: int | None = None,
        population: int | None = None,
        seed: int = 0,
    ) -> FoolingImages:
        settings = _settings(generations, population)
        encoding = cast(Encoding[Any], self)
        evolved = map_elites(oracle, encoding, classes, shape, settings=settings, seed=seed)
        record = {
            "settings": {**settings.model_dump(), **self.model_dump()},
            "history": [asdict(generation) for generation in evolved.history],
        }
        return FoolingImages(evolved.archive.images, evolved.archive.odds, evolved.archive.generation, record)

    @override
    def check(self, generations: int | None, population: int | None) -> None:
        _settings(generations, population)


def _settings(generations: int | None, population: int | None) -> MapElites:
    given = {"generations": generations, "population": population}
    return MapElites(**{k: v for k, v in given.items() if v is not None})
