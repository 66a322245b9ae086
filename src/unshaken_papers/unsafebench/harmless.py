"""False alarms of ready-made safety classifiers on photos that nobody would flag, as rows."""

from __future__ import annotations

import torch

from unshaken.core.batch import Batch
from unshaken.core.classifier import View
from unshaken.core.errors import MissingExtra
from unshaken.core.progress import track
from unshaken.data import stream, subset
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.moderation.nudenet import NudeNet
from unshaken.detect.moderation.opennsfw import OpenNSFW
from unshaken.papers.context import Context

ADAPTERS: dict[str, tuple[OpenNSFW | NudeNet, float]] = {"opennsfw": (OpenNSFW(), 0.5), "nudenet": (NudeNet(), 0.2)}
"""Each with the threshold of its package: of open_nsfw's decision, and below which NudeNet says nothing."""
VIEW = View(224, 224, resize=256, interpolation="bicubic")


def score_harmless(context: Context, data: str, photos: int) -> None:
    """Score photos with each package that is there; why others are left out is a row too.

    Args:
        context: of the experiment.
        data: SPEC of harmless photos.
        photos: how many.
    """
    dataset = context.datasets.open(spec=data)
    anatomy = Anatomy("none", 0, None, ())
    for name, (detector, threshold) in ADAPTERS.items():
        if context.has(name, "false_alarms") or context.has(name, "left_out"):
            continue
        ids: list[str] = []
        scores: list[float] = []
        try:
            with track(name, photos) as task:
                for batch in stream(dataset, subset(dataset, photos, context.seed), view=VIEW, batch_size=16):
                    if isinstance(batch, Batch):
                        passed = ForwardPass(anatomy, torch.zeros(len(batch), 0), images=batch.images)
                        scores += detector.score(passed, {}).tolist()
                        ids += batch.ids
                        task.advance(len(batch))
        except MissingExtra as error:
            context.write("left_out", name, {"id": [name], "reason": [str(error)]})
            continue
        context.write("false_alarms", name, {"id": ids, "score": scores, "threshold": threshold})
