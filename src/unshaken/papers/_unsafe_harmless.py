"""False alarms of ready-made safety classifiers on photos that nobody would flag, as rows."""

from __future__ import annotations

import pyarrow as pa
import torch

from unshaken.core.batch import Batch
from unshaken.core.classifier import View
from unshaken.core.errors import MissingExtra
from unshaken.core.progress import track
from unshaken.data import load_data, stream, subset
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.base import Detector
from unshaken.detect.engine.look import Look
from unshaken.detect.moderation.nudenet import NudeNet
from unshaken.detect.moderation.opennsfw import OpenNSFW
from unshaken.papers.base import Bench
from unshaken.run.rows import SCHEMAS, Condition, Part

SCHEMAS["false_alarms"] = pa.schema(
    [("id", pa.string()), ("condition", pa.string()), ("threshold", pa.float64()), ("score", pa.float64())]
)
"""One row a photo: P(unsafe), and the threshold above which the package flags; no image content."""

ADAPTERS: dict[str, tuple[Detector, float]] = {"opennsfw": (OpenNSFW(), 0.5), "nudenet": (NudeNet(), 0.2)}
"""Each with the threshold of its package: of open_nsfw's decision, and below which NudeNet says nothing."""
VIEW = View(224, 224, resize=256, interpolation="bicubic")


def harmless(bench: Bench, data: str, photos: int) -> dict[str, str]:
    """Score photos with each package that is there.

    Args:
        bench: where rows go.
        data: SPEC of harmless photos.
        photos: how many.

    Returns:
        Name of a classifier to why it was left out.
    """
    missing: dict[str, str] = {}
    dataset = load_data(data, download=bench.download)
    anatomy = Anatomy("none", 0, None, ())
    for name, (detector, threshold) in ADAPTERS.items():
        condition = Condition(name, name)
        if bench.run.has_rows("false_alarms", condition.id, 0):
            continue
        ids: list[str] = []
        scores: list[float] = []
        try:
            with track(name, photos) as task:
                for batch in stream(dataset, subset(dataset, photos, bench.seed), view=VIEW, batch_size=16):
                    if isinstance(batch, Batch):
                        look = Look(anatomy, torch.zeros(len(batch), 0), images=batch.images)
                        scores += detector.score(look, {}).tolist()
                        ids += batch.ids
                        task.advance(len(batch))
        except MissingExtra as error:
            missing[name] = str(error)
            continue
        columns = {"id": ids, "score": scores, "threshold": [threshold] * len(ids)}
        bench.keep([Part("false_alarms", condition, columns)], 0)
    return missing
