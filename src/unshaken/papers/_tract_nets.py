"""Training, test and choosing images of rows that have not moved to `unshaken.papers.frame` yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.errors import DataError
from unshaken.data import load_data, subset
from unshaken.data.resident import Samples
from unshaken.papers.base import Bench


@dataclass(frozen=True, slots=True)
class Pictures:
    """What is learned, and what accuracy is measured on.

    Args:
        images: uint8 `[N, C, H, W]`, to learn from.
        labels: int64 `[N]`.
        test: what is reported.
        choosing: what the learning rate is chosen on.
        classes: number of classes K.
        key: what decides all of it.
    """

    images: Tensor
    labels: Tensor
    test: Batch
    choosing: Batch
    classes: int
    key: Mapping[str, Any]


def read_pictures(bench: Bench, train: int, test: int, choosing: int = 0) -> Pictures:
    """Stratified subsets of both splits of the bench's data.

    Args:
        bench: names the data.
        train: training images.
        test: test images for what is reported.
        choosing: further test images, for the choice of a learning rate.

    Raises:
        DataError: the data is absent, has no such splits or no labels, or fewer test images than two.
    """
    joint = "&" if "?" in bench.data else "?"
    parts = [load_data(f"{bench.data}{joint}split={s}", download=bench.download) for s in ("train", "test")]
    if parts[0].labels is None:
        raise DataError(f"data {bench.data!r} has no labels to train on")
    classes = int(parts[0].labels.max()) + 1
    seen, held = (Samples(d, None, classes) for d in parts)
    if seen.resident is None or held.resident is None:
        raise DataError(f"data {bench.data!r} does not fit in memory: name small images, or give ?size=")
    rows = torch.from_numpy(subset(parts[0], train, 0))
    batch = held.whole(subset(parts[1], test + choosing, 0))
    share = round(len(batch) * test / (test + choosing))
    order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(0))
    if share < 1 or (choosing and share >= len(batch)):
        raise DataError(f"data {bench.data!r}: {len(batch)} test images are too few to choose on and to report")
    return Pictures(
        seen.resident[seen.place[rows]],
        seen.labels[rows],
        batch[order[:share]],
        batch[order[share:]],
        classes,
        {"train": [len(rows), parts[0].fingerprint], "test": [len(batch), share, parts[1].fingerprint]},
    )
