"""The forward passes of a search for wrong labels, in this process, in several of this machine, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.classifier import View
from unshaken.core.errors import RunError
from unshaken.core.progress import track
from unshaken.data import DataSource, as_dataset
from unshaken.data.resident import Samples
from unshaken.harden.engine.cross_validation import SHARD, HeldOut, Shard
from unshaken.harden.engine.start import FRESH
from unshaken.labels.engine.frozen import FeatureShards
from unshaken.models import fingerprint, load_model
from unshaken.run.engine import LOCAL, Engine
from unshaken.run.pool import do_all, open_pool
from unshaken.run.process_pool import Unit, Work
from unshaken.store.lock import Lock
from unshaken.store.run_dir import RunDir


@dataclass(frozen=True, slots=True, kw_only=True)
class Remade:
    """What another process needs to make a search anew.

    Args:
        run: the run directory.
        data: a SPEC or an object.
        data_fingerprint: of the data, as the first process found it.
        model: the SPEC of a trained model; an architecture where networks are trained.
        model_fingerprint: of a trained model, as the first process found it; None for an architecture.
        device: to compute on.
        download: whether model and data may be fetched.
        workers: threads that decode in each process.
    """

    run: RunDir
    data: DataSource
    data_fingerprint: str
    model: str
    model_fingerprint: str | None
    device: str
    download: bool
    workers: int | None

    def samples(self, view: View | None) -> Samples:
        """The data, whose images are decoded when they are asked for.

        Args:
            view: how the model looks at photos.

        Raises:
            RunError: it is not that of the first process.
        """
        dataset = as_dataset(self.data, download=self.download)
        if dataset.fingerprint != self.data_fingerprint:
            raise RunError(f"{self.run}: a process finds other data under {dataset.options.spec!r}; start a new run")
        return Samples(dataset, view, len(dataset.classes), workers=self.workers, sparse=True, hold=False)


@dataclass(frozen=True, slots=True)
class Passes:
    """Does the forward passes of a search, shard by shard.

    Args:
        there: what other processes need.
        engine: that does them.
        lock: of the run directory, renewed now and then.
    """

    there: Remade
    engine: Engine
    lock: Lock

    def features(self, shards: FeatureShards) -> None:
        """Compute the features of all samples, of which those of finished shards are there.

        Raises:
            UnshakenError: the model has no linear last layer, or a process failed.
        """
        remake = partial(remake_features, self.there, shards.rows)
        self._do(partial(run_features, shards), remake, [(shard, shards.size(shard)) for shard in shards.left()])

    def held_out(self, rows: NDArray[np.int64], held: HeldOut, left: Sequence[Shard]) -> None:
        """Let the networks of a cross-validation see the images that they were not trained on.

        Args:
            rows: of the images in the data set, int `[N]`.
            held: the cross-validation.
            left: shards that are not there yet.

        Raises:
            UnshakenError: a process failed.
        """
        remake = partial(remake_held_out, self.there, rows, held.fold, held.classes)
        self._do(partial(run_held_out, held), remake, [(shard, held.size(*shard)) for shard in left])

    def _do(self, work: Work, remake: Callable[[], Work], units: Sequence[tuple[Unit, int]]) -> None:
        sizes = dict(units)
        if not sizes:
            return
        with track("forward passes", sum(sizes.values())) as task:

            def finished(unit: Unit | None) -> None:
                self.lock.renew()
                task.advance(sizes.get(unit, 0))

            if self.engine == LOCAL:
                for unit in sizes:
                    work(unit)
                    finished(unit)
                return
            with open_pool(self.engine, self.there.run, remake, device=self.there.device) as pool:
                do_all(pool, sizes, finished)


def remake_features(there: Remade, rows: NDArray[np.int64]) -> Work:
    """Features made in another process: a function that computes a shard.

    Args:
        there: what is needed.
        rows: of the data set.

    Raises:
        RunError: data or model are not those of the first process.
    """
    model = load_model(there.model, download=there.download, device=there.device).eval()
    if fingerprint(model) != there.model_fingerprint:
        raise RunError(f"{there.run}: a process finds other weights under {there.model!r}; start a new run")
    return partial(run_features, FeatureShards(there.run, model, there.samples(model.view), rows))


def remake_held_out(there: Remade, rows: NDArray[np.int64], fold: NDArray[np.int64], classes: int) -> Work:
    """Passes of a cross-validation in another process: a function that does a shard.

    Args:
        there: what is needed.
        rows: of the images in the data set, int `[N]`.
        fold: of each image, int `[N]`.
        classes: number of classes K.

    Raises:
        RunError: the data is not that of the first process.
    """
    samples = there.samples(None)

    def images(places: NDArray[np.int64]) -> Tensor:
        found = [images for _, images, _ in samples.batches(rows[places], SHARD)]
        if sum(len(one) for one in found) != len(places):
            raise RunError(f"{there.run}: a process cannot read images that the first one has read")
        return torch.cat(found).mul_(255).round_().to(torch.uint8)

    arch = there.model.removeprefix(FRESH)
    return partial(run_held_out, HeldOut(there.run, arch, fold, classes, torch.device(there.device), images))


def run_features(shards: FeatureShards, unit: Unit) -> None:
    """Do a shard of features, named by its number."""
    if not isinstance(unit, int):
        raise RunError(f"{shards.run}: {unit!r} is no shard of features")
    shards.run_shard(unit)


def run_held_out(held: HeldOut, unit: Unit) -> None:
    """Do a shard of a fold's passes, named by the fold and its number."""
    if not isinstance(unit, tuple):
        raise RunError(f"{held.run}: {unit!r} is no shard of a fold")
    held.run_shard(*unit)
