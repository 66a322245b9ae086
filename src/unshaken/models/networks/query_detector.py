"""`QueryDetector`: a detector of transformers that answers a fixed number of queries, as DETR and its followers do."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.ops import box_convert
from typing_extensions import override

from unshaken.core.errors import ModelError

MOST = 100
"""Detections of an image that are given, where each query may stand for several classes."""


class QueryDetector(nn.Module):
    """Boxes, labels and scores from the logits and boxes of a detector's queries.

    With one logit more than there are labels the last one stands for no object, and a query has the label of the
    greatest probability (DETR, YOLOS). With as many, each label has a probability of its own, and the best pairs of
    query and label are given (Deformable DETR, RT-DETR).

    Args:
        model: of transformers; its output has `logits` `[N, Q, L]` and `pred_boxes` `[N, Q, 4]` as centre and size
            divided by the image's.
        labels: number of labels.
    """

    def __init__(self, model: nn.Module, labels: int) -> None:
        super().__init__()
        self.model, self.labels = model, labels

    @override
    def forward(self, images: Tensor) -> list[dict[str, Tensor]]:
        output = self.model(pixel_values=images)
        logits, boxes = output.logits, box_convert(output.pred_boxes, "cxcywh", "xyxy")
        height, width = images.shape[2:]
        boxes = boxes * boxes.new_tensor([width, height, width, height])
        if logits.shape[-1] == self.labels + 1:
            scores, labels = logits.softmax(-1)[..., :-1].max(-1)
            return [
                {"boxes": box, "labels": label, "scores": score}
                for box, label, score in zip(boxes, labels, scores, strict=True)
            ]
        if logits.shape[-1] != self.labels:
            raise ModelError(f"a detector of {self.labels} labels gives {logits.shape[-1]} logits a query")
        scores, places = logits.sigmoid().flatten(1).topk(min(MOST, logits[0].numel()))
        queries = torch.div(places, self.labels, rounding_mode="floor")
        return [
            {"boxes": box[query], "labels": place % self.labels, "scores": score}
            for box, query, place, score in zip(boxes, queries, places, scores, strict=True)
        ]
