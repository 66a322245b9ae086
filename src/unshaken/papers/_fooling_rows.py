"""The rows of fooling images: what a network says of each, and how their search went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import torch
from torch import Tensor

from unshaken.attack.fooling import Generation, log_odds
from unshaken.run.rows import SCHEMAS, Condition, Part

FOOLING = pa.schema(
    [
        ("id", pa.string()),
        ("condition", pa.string()),
        ("method", pa.string()),
        ("made_for", pa.string()),
        ("seen_by", pa.string()),
        ("target", pa.int64()),
        ("prediction", pa.int64()),
        ("confidence", pa.float64()),
        ("log_odds", pa.float64()),
        ("tempered", pa.float64()),
        ("found", pa.int64()),
        ("certain", pa.int64()),
        ("variation", pa.float64()),
        ("nearest", pa.float64()),
        ("nearest_features", pa.float64()),
        ("forwards", pa.int64()),
        ("backwards", pa.int64()),
        ("seconds", pa.float64()),
        ("error", pa.string()),
    ]
)
"""One row an image and a network that looks at it.

`confidence` and `log_odds` are those of `target`, `tempered` is the confidence at the temperature that suits the
network's clean images, `found` the generation or step of the image, `certain` the first with a confidence of 0.9999
(-1 for never; ascent only), `variation` the mean step from a pixel to the next, `nearest` the L2 distance to the
nearest training image, `nearest_features` the same between mean activations of the last layer before the head.
"""
HISTORY = pa.schema(
    [
        ("condition", pa.string()),
        ("method", pa.string()),
        ("generation", pa.int64()),
        ("low", pa.float64()),
        ("median", pa.float64()),
        ("high", pa.float64()),
        ("above_99", pa.int64()),
        ("jumps", pa.int64()),
        ("evaluations", pa.int64()),
    ]
)
"""One row a generation of an evolution, over its cells."""
SCHEMAS["fooling"] = FOOLING
SCHEMAS["fooling_history"] = HISTORY


def seen_condition(method: str, made_for: str, seen_by: str) -> Condition:
    """Where the rows of one set of images belong, seen by one network."""
    return Condition(f"{method}.{made_for}.{seen_by}", method)


def fooling_rows(
    method: str,
    made_for: str,
    seen_by: str,
    ids: Sequence[str],
    targets: Tensor,
    logits: Tensor,
    *,
    temperature: float | None = None,
    found: Tensor | None = None,
    certain: Tensor | None = None,
    spent: tuple[float, float, float] | None = None,
    proxies: Mapping[str, Tensor | None] | None = None,
) -> Part:
    """Rows of images as one network sees them.

    Args:
        method: such as `direct`.
        made_for: the network that they were made for.
        seen_by: the network that looks.
        ids: of the images.
        targets: int64 `[N]`, the classes that they were made for.
        logits: `[N, K]` of the 8-bit images.
        temperature: of the looking network.
        found: int64 `[N]`.
        certain: int64 `[N]`.
        spent: forwards, backwards and seconds of the whole search, shared out evenly.
        proxies: further columns `[N]`: `variation`, `nearest`, `nearest_features`.
    """
    at = targets[:, None]
    odds = log_odds(logits).gather(1, at).flatten()
    columns: dict[str, object] = {
        "id": list(ids),
        "made_for": [made_for] * len(ids),
        "seen_by": [seen_by] * len(ids),
        "target": targets.tolist(),
        "prediction": logits.argmax(1).tolist(),
        "confidence": odds.sigmoid().tolist(),
        "log_odds": odds.tolist(),
    }
    if temperature is not None:
        columns["tempered"] = (logits.double() / temperature).softmax(1).gather(1, at).flatten().tolist()
    for name, values in {"found": found, "certain": certain, **(proxies or {})}.items():
        if values is not None:
            columns[name] = values.tolist()
    if spent is not None:
        forwards, backwards, seconds = (value / len(ids) for value in spent)
        columns |= {"forwards": [round(forwards)] * len(ids), "backwards": [round(backwards)] * len(ids)}
        columns["seconds"] = [seconds] * len(ids)
    return Part("fooling", seen_condition(method, made_for, seen_by), columns)


def history_rows(method: str, made_for: str, history: Sequence[Generation]) -> Part:
    """Rows of an evolution's generations."""
    names = [n for n in HISTORY.names if n not in ("condition", "method")]
    columns = {name: [getattr(g, name) for g in history] for name in names}
    return Part("fooling_history", Condition(f"{method}.{made_for}", method), columns)


def total_variation(images: Tensor) -> Tensor:
    """Mean absolute step from a pixel to its right and lower neighbours.

    Args:
        images: `[N, C, H, W]` in [0, 1].

    Returns:
        float64 `[N]`.
    """
    steps = [images.diff(dim=d).abs().double().mean((1, 2, 3)) for d in (2, 3) if images.shape[d] > 1]
    return torch.stack(steps).mean(0) if steps else torch.zeros(len(images), dtype=torch.float64)


def nearest(points: Tensor, others: Tensor) -> Tensor:
    """L2 distance to the nearest of other points, float64 `[N]`.

    Args:
        points: `[N, ...]`.
        others: `[M, ...]`.
    """
    return torch.cdist(points.flatten(1), others.flatten(1)).min(1).values.double()
