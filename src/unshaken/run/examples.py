"""Pictures kept of a run: of each condition the samples that it damaged most, beside the clean images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.part import CLEAN
from unshaken.store.run_dir import RunDir


def damage(changed: Mapping[str, Any], clean: Mapping[str, Any]) -> NDArray[np.float64]:
    """How much a condition hurt each sample, from its rows and the clean ones, in the same order.

    A sample that was right and no longer is (without labels: whose prediction changed) comes before all others; among
    equals the rise of the loss (without labels: the confidence in the new prediction) decides. Where nothing is plainly
    right or wrong, as of detections, the rise of the loss alone decides.

    Args:
        changed: columns `prediction`, `confidence`, and with labels `correct` and `loss`, each `[N]`.
        clean: the same columns of the clean images.
    """
    if changed.get("loss") is None:
        broken = np.asarray(changed["prediction"]) != np.asarray(clean["prediction"])
        gain = np.where(broken, changed["confidence"], -np.asarray(changed["confidence"]))
    else:
        judged = "correct" in changed
        broken = np.asarray(clean["correct"], bool) & ~np.asarray(changed["correct"], bool) if judged else np.zeros(1)
        gain = np.asarray(changed["loss"], float) - np.asarray(clean["loss"], float)
    scores: NDArray[np.float64] = np.nan_to_num(gain, nan=1e4).clip(-1e4, 1e4) + broken * 1e5
    return scores


def quota(wanted: int, shards: int) -> int:
    """Pictures that one shard may keep a condition, so that few are written in vain: `min(n, ceil(4 n / shards))`."""
    return min(wanted, -(-4 * wanted // shards))


def choose(scores: NDArray[np.float64], wanted: int) -> Tensor:
    """Indices of the `wanted` worst samples, rising; all of them when `wanted` is negative."""
    order = np.argsort(-scores, kind="stable")
    return torch.from_numpy(np.sort(order if wanted < 0 else order[:wanted]))


def prune(run: RunDir, scores: dict[str, dict[str, float]], wanted: int) -> None:
    """Keep the `wanted` worst of each condition over all shards, and the clean images that belong to them.

    Args:
        run: where.
        scores: condition to sample id to damage.
        wanted: pictures a condition; negative for all.
    """
    if wanted < 0:
        return
    kept: set[str] = set()
    files = run.names("examples", suffix=".safetensors")
    for condition, damages in scores.items():
        mine = {f: [*run.read_examples(f)] for f in files if f.rpartition("-")[0] == condition}
        best = sorted((i for ids in mine.values() for i in ids), key=lambda i: (-damages.get(i, -1e9), i))[:wanted]
        kept |= set(best)
        for file, ids in mine.items():
            _rewrite(run, file, ids, set(best))
    for file in files:
        if file.rpartition("-")[0] == CLEAN.id:
            _rewrite(run, file, [*run.read_examples(file)], kept)


def _rewrite(run: RunDir, file: str, ids: Sequence[str], keep: set[str]) -> None:
    """Keep some of the images of a file, which has those of `ids`; of many files one is open at a time."""
    left = [i for i in ids if i in keep]
    if not left:
        run.remove("examples", file)
    elif len(left) < len(ids):
        images, (condition, _, rest) = run.read_examples(file), file.rpartition("-")
        run.write_examples(torch.stack([images[i] for i in left]), left, condition, int(rest.partition(".")[0]))
