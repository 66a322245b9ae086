"""Features of a trained model's last layer: of images in memory, or of a whole data set, shard by shard."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.classifier import INPUT, Classifier, evaluating
from unshaken.core.device import device_of
from unshaken.core.errors import DataError, ModelError
from unshaken.core.oracle import Oracle
from unshaken.data.resident import Samples
from unshaken.data.streaming import first_batch
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.explain.engine.layer_features import features_of_batches, pooled
from unshaken.store.run_dir import RunDir

SHARD = 256
"""Samples in a shard, and images in a pass."""
FOLDER = "features"
"""Folder of the run directory."""


def features_of(model: Classifier, samples: Samples, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Features `[n, D]`, one pass of the model.

    Args:
        model: with a linear last layer.
        samples: of the data set.
        rows: which of them, in this order.

    Raises:
        ModelError: the model's last layer is not linear, or cannot be seen.
    """
    layer, batches = _layer(model, samples.whole(rows[:2]).images), (b[1] for b in samples.batches(rows, SHARD))
    found = features_of_batches(model, batches, [layer], pool="flat", count=len(rows))[layer]
    features: NDArray[np.float32] = found.numpy()
    return features


@dataclass(frozen=True)
class FeatureShards:
    """Features of a data set's samples, in shards that are kept in a run directory.

    Args:
        run: the run directory.
        model: with a linear last layer.
        samples: of the data set; those that cannot be read are left out of the features.
        rows: which of them, int `[n]`.
    """

    run: RunDir
    model: Classifier
    samples: Samples
    rows: NDArray[np.int64]

    def left(self) -> list[int]:
        """The shards that are not there yet."""
        return [shard for shard in range(self._count) if not self.run.exists(*_place(shard))]

    def size(self, shard: int) -> int:
        """The number of samples in a shard."""
        return len(self._rows(shard))

    def run_shard(self, shard: int) -> None:
        """Write the features of one shard's samples, unless they are there.

        Raises:
            ModelError: the model's last layer is not linear, or cannot be seen.
        """
        if self.run.exists(*_place(shard)):
            return
        read, features = [np.empty(0, np.int64)], list[NDArray[np.float32]]()
        with evaluating(self.model), torch.no_grad():
            oracle = Oracle(self.model)
            for rows, images, _ in self.samples.batches(self._rows(shard), SHARD):
                _, outputs = oracle.forward(images.to(oracle.device), (self._input,))
                features.append(pooled(outputs[self._input].float(), "flat").cpu().numpy())
                read.append(rows.numpy())
        good = np.concatenate(read)
        bad = np.setdiff1d(self._rows(shard), good)
        reasons = np.array([self.samples.bad[int(row)] for row in bad], np.str_)
        values = np.concatenate(features) if features else np.empty((0, 0), np.float32)
        file = io.BytesIO()
        np.savez(file, features=values, rows=good, bad=bad, reasons=reasons)
        self.run.write(file.getvalue(), *_place(shard))

    def finish(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The rows that could be read, `[n]`, and their features `[n, D]`; all shards are there.

        Why others could not be read is noted in `samples.bad`.

        Raises:
            DataError: none could be read.
        """
        rows, features = [], []
        for shard in range(self._count):
            with np.load(io.BytesIO(self.run.read(*_place(shard))), allow_pickle=False) as found:
                self.samples.bad.update(zip(found["bad"].tolist(), found["reasons"].tolist(), strict=True))
                if len(found["rows"]):
                    rows.append(found["rows"])
                    features.append(found["features"])
        if not rows:
            raise DataError(
                f"none of the {len(self.rows)} samples of {self.samples.dataset.options.spec!r} can be read"
            )
        return np.concatenate(rows), np.concatenate(features)

    @cached_property
    def _input(self) -> str:
        """The layer whose values the last layer weighs."""
        return _layer(self.model, first_batch(self.samples.dataset, view=self.samples.view).images)

    @property
    def _count(self) -> int:
        return -(-len(self.rows) // SHARD)

    def _rows(self, shard: int) -> NDArray[np.int64]:
        return self.rows[shard * SHARD : (shard + 1) * SHARD]


def drop_shards(run: RunDir) -> None:
    """Delete the shards of features of a run that is finished."""
    for name in run.names(FOLDER):
        run.remove(FOLDER, name)


def _layer(model: Classifier, images: Tensor) -> str:
    device = device_of(model)
    head = Anatomy.of(model, images.to(device)).head
    if head is None:
        raise ModelError(f"model {model.name!r} has no linear last layer: give an architecture instead")
    return head + INPUT


def _place(shard: int) -> tuple[str, str]:
    return FOLDER, f"features-{shard:05d}.npz"
