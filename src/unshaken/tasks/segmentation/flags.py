"""Doubts about a model that gives a class for each pixel, from its answers for the first images."""

from __future__ import annotations

import torch
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import NO_CLASS, predict
from unshaken.core.device import widen
from unshaken.core.flag import Flag, FlagKind
from unshaken.core.masks import IGNORED
from unshaken.core.oracle import required

ONE_CLASS = FlagKind(
    "one-class-of-pixels",
    "the model gives every pixel one class, and the masks have several",
    "Compare the SPEC's size, mean and std with those that the model was trained with.",
)
OTHER_PIXEL_CLASSES = FlagKind(
    "other-classes-of-pixels",
    "hardly a pixel has its label, and one class of the model stands for most pixels of a class of the masks",
    "Name the model's classes in the order of its logits (option classes): some nets count a background first.",
)
NO_PIXEL_CLASS = FlagKind(
    "pixels-without-class",
    "the model's output is not finite at some pixels",
    "Such pixels count as wrong; look for overflow or a division by zero in the net.",
)


def check_masks(batch: Batch, outputs: Tensor) -> list[Flag]:
    """Check a model on a first batch, and return all flags.

    Args:
        batch: the first samples, with masks.
        outputs: logits of these, `[N, K, H, W]`.
    """
    labels, predicted = required(batch.labels), predict(outputs.movedim(1, -1))
    known = labels != IGNORED
    answers, wanted = predicted[known], labels[known]
    flags = []
    if bool((answers == NO_CLASS).any()):
        share = float(widen(answers == NO_CLASS).mean())
        flags.append(NO_PIXEL_CLASS.flag(f"{share:.1%} of the labelled pixels of the first {len(batch)} images"))
    if len(torch.unique(wanted)) < 2:
        return flags
    if len(torch.unique(answers)) == 1:
        flags.append(ONE_CLASS.flag(f"class {int(answers[0])} at every pixel of the first {len(batch)} images"))
        return flags
    right = float(widen(answers == wanted).mean())
    largest = wanted.bincount().argmax()
    own = answers[(wanted == largest) & (answers >= 0)]
    most = int(own.bincount().argmax()) if len(own) else NO_CLASS
    if right < 0.1 and most not in (int(largest), NO_CLASS):
        text = f"{right:.1%} of the pixels are right; most pixels of class {int(largest)} are given class {most}"
        flags.append(OTHER_PIXEL_CLASSES.flag(text))
    return flags
