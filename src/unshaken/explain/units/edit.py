"""`edit_units`: which of some units a network is better without, and what it is without them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.progress import track
from unshaken.explain.units.ablation import Unit, ablating
from unshaken.measure import Figure, compare, paired_difference
from unshaken.measure.statistics.paired import Comparison

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class UnitEdit:
    """The units that were taken out, and what came of it.

    Args:
        ordered: all candidates, first the one without which the accuracy is highest.
        alone: accuracy without each of them alone, in their order, on the images that order.
        curve: accuracy without the first 0, 1, ... of them, on the images that choose.
        count: how many are taken out.
        comparison: after against before, paired, on the images that judge.
        over_random: accuracy after, less the mean over random sets of as many units, paired by image.
        random: accuracy with each random set taken out, on the images that judge.
    """

    ordered: tuple[Unit, ...]
    alone: tuple[float, ...]
    curve: tuple[float, ...]
    count: int
    comparison: Comparison
    over_random: Figure | None
    random: tuple[float, ...]

    @property
    def units(self) -> tuple[Unit, ...]:
        """Units that are taken out."""
        return self.ordered[: self.count]


def edit_units(
    model: Classifier,
    units: Sequence[Unit],
    order_on: Batch,
    choose_on: Batch,
    judge_on: Batch,
    *,
    most: int = 50,
    others: Sequence[Unit] = (),
    draws: int = 5,
    seed: int = 0,
    batch: int = 256,
) -> UnitEdit:
    """Order units by the accuracy without each alone, take out the best prefix, and compare on other images.

    Where the cue that the units follow helps on the images that choose, nothing is taken out: choose on images whose
    cue is broken.

    Args:
        model: in evaluation mode; left as it is.
        units: candidates, such as those whose description speaks of the cue.
        order_on: labelled images that order them.
        choose_on: labelled images that choose how many are taken out, the fewest of equals.
        judge_on: labelled images that judge.
        most: units taken out at most.
        others: units from which random sets of equal size are drawn; none to compare with none.
        draws: number of random sets.
        seed: of them.
        batch: images in one pass.

    Raises:
        DataError: images have no labels, or the ones that judge are among those that order or choose.
        ParameterError: there is no candidate.
    """
    if not units:
        raise ParameterError("no unit was chosen: search for other words, or describe more layers")
    for name, part in (("order", order_on), ("choose", choose_on)):
        if shared := set(part.ids) & set(judge_on.ids):
            raise DataError(f"image {sorted(shared)[0]!r} serves to {name} and to judge: give other images to judge by")
    alone = single_accuracies(model, units, order_on, batch)
    order = np.argsort(-np.array(alone), kind="stable")
    ordered = tuple(units[i] for i in order)
    curve = [float(correct(model, choose_on, ordered[:n], batch).mean()) for n in range(min(most, len(units)) + 1)]
    count = int(np.argmax(curve))
    before, after = (correct(model, judge_on, chosen, batch) for chosen in ((), ordered[:count]))
    sets = random_sets(others, count, draws, seed) if others and count else []
    accuracies = [correct(model, judge_on, chosen, batch) for chosen in sets]
    gain = None
    if accuracies:
        gain = paired_difference(np.mean(accuracies, 0), after.astype(float), low=-1.0, high=1.0)
    return UnitEdit(
        ordered, tuple(alone[i] for i in order), tuple(curve), count, compare(before, after), gain,
        tuple(float(a.mean()) for a in accuracies),
    )  # fmt: skip


def single_accuracies(model: Classifier, units: Sequence[Unit], images: Batch, batch: int = 256) -> list[float]:
    """Accuracy without each unit alone.

    Args:
        model: a classifier.
        units: each is taken out by itself.
        images: labelled.
        batch: images in one pass.
    """
    found = []
    with track("units taken out one at a time", len(units)) as task:
        for unit in units:
            found.append(float(correct(model, images, [unit], batch).mean()))
            task.advance(1)
    return found


def random_sets(units: Sequence[Unit], count: int, draws: int, seed: int) -> list[list[Unit]]:
    """Sets of different units, drawn without replacement.

    Args:
        units: to draw from.
        count: units of a set.
        draws: number of sets.
        seed: of the draws.

    Raises:
        ParameterError: there are too few units.
    """
    if count > len(units):
        raise ParameterError(f"sets of {count} units cannot be drawn from {len(units)}")
    rng = np.random.default_rng([seed, 0x756E6974])
    return [[units[i] for i in np.sort(rng.permutation(len(units))[:count])] for _ in range(draws)]


def correct(model: Classifier, images: Batch, without: Sequence[Unit] = (), batch: int = 256) -> Flags:
    """Whether each image is classified correctly without some units, bool `[N]`.

    Args:
        model: a classifier.
        images: labelled.
        without: units that are taken out.
        batch: images in one pass.

    Raises:
        DataError: the images have no labels.
    """
    if images.labels is None:
        raise DataError("the images have no labels: an edit is judged by accuracy")
    with evaluating(model), torch.no_grad(), ablating(model, without):
        found = [model(part).argmax(1) for part in torch.split(images.images, batch)]
    return np.asarray((torch.cat(found) == images.labels).cpu().numpy(), bool)
