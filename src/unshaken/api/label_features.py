"""The features of a search for wrong labels, kept for the reference pictures of a review."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from unshaken.core.errors import RunError
from unshaken.labels.engine.finder import Evidence
from unshaken.store.run_dir import RunDir

FILE = "features.npy"
LARGEST = 1 << 30
"""Bytes that are kept at most; beyond them references are told from pixels."""


def keep_features(run: RunDir, evidence: Evidence) -> None:
    """Keep the features that finders were given, at half precision; none where there are none, or too many.

    Args:
        run: the directory of the search.
        evidence: of its samples.
    """
    features = evidence.features
    if features is None or 2 * features.size > LARGEST:
        return
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    file = io.BytesIO()
    np.save(file, unit.astype(np.float16))
    run.write(file.getvalue(), FILE)


def read_features(run: RunDir, samples: int) -> NDArray[np.float16] | None:
    """The features that a search kept, `[N, D]` in the order of its rows; None where it kept none.

    Args:
        run: the directory of the search.
        samples: their number N.

    Raises:
        RunError: the file is damaged.
    """
    if not run.exists(FILE):
        return None
    try:
        found: NDArray[np.float16] = np.load(io.BytesIO(run.read(FILE)), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise RunError(f"{run}: {FILE} is damaged ({error}); delete it, and references are told from pixels") from None
    if found.ndim != 2 or len(found) != samples or found.dtype != np.float16:
        raise RunError(f"{run}: {FILE} does not fit its rows; delete it, and references are told from pixels")
    return found
