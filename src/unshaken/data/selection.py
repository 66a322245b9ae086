"""Some samples of a data set, as a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from unshaken.data.dataset import Dataset
from unshaken.data.decode import Source


class Selection(Dataset):
    """Some samples of a data set, with the ids, labels (the true ones too) and reasons that they have there.

    Args:
        whole: the data set.
        rows: which samples, int64 `[n]`, in the order wanted; one at least.
    """

    def __init__(self, whole: Dataset, rows: NDArray[np.int64]) -> None:
        place = {int(row): i for i, row in enumerate(rows)}
        super().__init__(
            ids=[whole.ids[i] for i in rows],
            labels=None if whole.labels is None else whole.labels[rows],
            classes=whole.classes,
            root=whole.root,
            options=whole.options,
            bad={place[i]: why for i, why in whole.bad.items() if i in place},
        )
        self.whole, self.rows, self.boxes = whole, rows, whole.boxes
        self.true_labels = None if whole.true_labels is None else whole.true_labels[rows]
        self.labels_version = whole.labels_version

    @override
    def fetch(self, index: int) -> Source:
        return self.whole.fetch(int(self.rows[index]))

    @override
    def content(self) -> Iterable[object]:
        yield from self.whole.content()
        if self.boxes is not None:
            yield self.whole.fingerprint
        yield hashlib.blake2b(np.ascontiguousarray(self.rows).tobytes(), digest_size=16).hexdigest()

    @override
    def corrupted(self, name: str, severity: int) -> Dataset | None:
        found = self.whole.corrupted(name, severity)
        return None if found is None else Selection(found, self.rows)
