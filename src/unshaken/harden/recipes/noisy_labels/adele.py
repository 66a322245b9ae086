"""ADELE: masks corrected class by class once early learning ends, and agreement over input scales."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.device import device_of, widen, widest_float
from unshaken.core.errors import ParameterError
from unshaken.core.masks import IGNORED, MOST_CLASSES, overlap_counts
from unshaken.core.registry import register
from unshaken.harden.engine.recipe import (
    MASKS,
    Epoch,
    FirstTry,
    Recipe,
    Setup,
    Step,
    frozen_statistics,
    has_several_processes,
)
from unshaken.labels.correct.adele import (
    Constraint,
    Ignore,
    correct_masks,
    has_started,
    is_confident,
    start_of_correction,
)
from unshaken.labels.losses import Gate, multi_scale_consistency, multi_scale_cross_entropy
from unshaken.measure import iou

SCALES = "scale_logarithms"


def scale_weights(model: Classifier) -> Tensor:
    """The weights of the scales, of sum 1, with their gradient, `[count]`."""
    return model.net.get_parameter(SCALES).softmax(0)


def _without_scales(_: nn.Module, weights: dict[str, Any], prefix: str, *rest: Any) -> None:
    """Before loading into a net without learned scales: weights that were saved with them are taken all the same."""
    weights.pop(prefix + SCALES, None)


LABELS, COUNTS, CURVE, START, BLOCK = "labels", "counts", "curve", "start", "block"
"""Names of what the recipe remembers: masks `[samples, H, W]`, the epoch's counts `[3, K]`, intersection over union
`[epochs, K]`, `t_c` `[K]`, and the block of epochs in which each class was last corrected, `[K]`."""
AS_GIVEN = MOST_CLASSES
"""The value of a pixel in `labels` whose label is the given one."""
UNKNOWN = -1
"""`t_c` of a class that is not corrected yet."""


@register("adele", reference="Liu et al. 2022, arXiv:2110.03740")
class ADELE(Recipe):
    """ADELE: correct masks by confident predictions, each class from the end of its early learning.

    The curve of a class is the intersection over union of the predictions that its training steps make with the given
    labels, so that corrections do not bend it. Corrected labels are used from the next epoch on. Predictions that
    correct are made in evaluation mode at the size of the images, and their confidence is `softmax(w z)`, with w the
    weight of that scale (`1 / S` of S even ones), which is what cross-entropy trains and the published code for VOC
    takes; that for SegTHOR takes predictions of the training steps. The former also refines predictions by a dense
    conditional random field; there is none here. Class 0 is the background.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"loss", "net"})
    learns_from: ClassVar[frozenset[str]] = frozenset({MASKS})
    first_try: ClassVar[FirstTry] = FirstTry(arch="unet", parameters={"scales": "1"})

    correct: bool = Field(default=True, description="whether labels are corrected; false leaves the consistency alone")
    starts: tuple[PositiveInt, ...] = Field(
        default=(),
        description="t_c of each class, as 8+12, or one for all: epoch from 0 that correction follows; default fitted",
    )
    threshold: float = Field(
        default=0.9, gt=0, lt=1, description="r, share by which a class's slope falls before correction"
    )
    foreground: float = Field(default=0.7, ge=0, le=1, description="least probability of a predicted foreground class")
    background: float = Field(default=0.7, ge=0, le=1, description="least probability of predicted background")
    constraint: Constraint = Field(
        default="both", description="whether label and prediction must be on, or only the latter"
    )
    ignore: Ignore = Field(default="none", description="pixels to be ignored instead; see correct_masks")
    every: PositiveInt = Field(default=10, description="epochs of a block; each class is corrected once in a block")
    accumulate: bool = Field(
        default=True, description="whether corrected labels are corrected further; else the given ones"
    )
    scales: tuple[PositiveFloat, ...] = Field(
        default=(0.7, 1.0, 1.5), description="sizes of the input, such as 0.7+1+1.5; 1 alone for one pass"
    )
    statistics: Literal["all", "own"] = Field(
        default="all",
        description="scales whose statistics batch norm keeps for evaluation: all, as in SegTHOR's code, or 1 alone",
    )
    learned_scales: bool = Field(
        default=False, description="whether the weights w of the scales are learned, as for VOC; else all are equal"
    )
    consistency: NonNegativeFloat = Field(default=1.0, description="lambda, weight of the agreement over scales")
    sure: float = Field(default=0.8, ge=0, le=1, description="rho, probability from which agreement counts")
    gate: Gate = Field(default="image", description="whether one sure pixel lets its image count, or each pixel itself")

    @override
    def rebuild(self, model: Classifier) -> Classifier:
        if self.learned_scales:
            equal = torch.zeros(len(self.scales), device=device_of(model.net))  # their softmax are the weights w
            model.net.register_parameter(SCALES, nn.Parameter(equal))
        return model

    @override
    def end(self, model: Classifier) -> None:
        if self.learned_scales:
            delattr(model.net, SCALES)
            model.net.register_load_state_dict_pre_hook(_without_scales)  # type: ignore[no-untyped-call]

    @override
    def begin(self, setup: Setup) -> None:
        if has_several_processes():
            raise ParameterError("adele remembers each label in one table: train it in one process (--devices 1)")
        if self.scales.count(1.0) != 1:
            raise ParameterError(f"adele: scales={'+'.join(map(str, self.scales))} must hold 1 once")
        if len(self.starts) not in (0, 1, setup.classes - 1):
            raise ParameterError(
                f"adele: starts names {len(self.starts)} epochs; give one for all classes, or {setup.classes - 1}, one "
                "for each but the background"
            )
        height, width = setup.images.shape[2:]
        device = setup.images.device
        setup.memory[LABELS] = torch.full((setup.samples, height, width), AS_GIVEN, dtype=torch.uint8, device=device)
        setup.memory[COUNTS] = torch.zeros(3, setup.classes, dtype=torch.int64, device=device)
        setup.memory[CURVE] = torch.zeros(0, setup.classes, dtype=widest_float(device), device=device)
        for name in (START, BLOCK):
            setup.memory[name] = torch.full((setup.classes,), UNKNOWN, dtype=torch.int64, device=device)

    @override
    def loss(self, step: Step) -> Tensor:
        memory = step.memory[self.info.name]
        rows = step.rows.to(memory[LABELS].device)
        labels = overlaid(step.labels, memory[LABELS][rows])
        logits = []
        for scale in self.scales:
            counted = scale == 1 or self.statistics == "all"
            with nullcontext() if counted else frozen_statistics(step.classifier):
                logits.append(at_scale(step.model, step.shown, scale))
        own = logits[self.scales.index(1.0)].detach()
        memory[COUNTS] += overlap_counts(own.argmax(1), step.labels, step.classes)
        weights = scale_weights(step.classifier) if self.learned_scales else None
        if len(logits) == 1:
            return F.cross_entropy(logits[0], labels, ignore_index=IGNORED)
        agreement = multi_scale_consistency(logits, labels, sure=self.sure, gate=self.gate, weights=weights)
        if weights is not None:
            step.figures.update({f"scale_{s:g}": float(w) for s, w in zip(self.scales, weights.detach(), strict=True)})
        return (multi_scale_cross_entropy(logits, labels, weights) + self.consistency * agreement) / len(logits)

    @override
    def after_epoch(self, epoch: Epoch) -> None:
        memory = epoch.memory
        measured = iou(memory[COUNTS].cpu().numpy())
        memory[COUNTS] = torch.zeros_like(memory[COUNTS])
        new = torch.from_numpy(measured).to(memory[CURVE]).nan_to_num(0.0)
        memory[CURVE] = torch.cat([memory[CURVE], new[None]])
        epoch.figures.update({f"iou_{k}": float(v) for k, v in enumerate(new)})
        if self.correct:
            self._start_classes(epoch)
            self._correct(epoch)
            epoch.figures.update({f"start_{k}": float(v) for k, v in enumerate(memory[START]) if v != UNKNOWN})

    def _start_classes(self, epoch: Epoch) -> None:
        """Switch on the classes whose early learning has ended; what was decided stays."""
        curve, starts = epoch.memory[CURVE].cpu().numpy(), epoch.memory[START]
        for label in range(1, curve.shape[1]):
            if int(starts[label]) == UNKNOWN:
                given = self.starts[0 if len(self.starts) == 1 else label - 1] if self.starts else None
                start = given or start_of_correction(curve[:, label], threshold=self.threshold)
                if has_started(start, len(curve)) and start is not None:
                    starts[label] = start

    def _correct(self, epoch: Epoch) -> None:
        memory, block = epoch.memory, epoch.number // self.every
        on = memory[START] != UNKNOWN
        due = on & (memory[BLOCK] != block)
        if not bool(due.any()):
            return

        own = 1 / len(self.scales)
        if self.learned_scales:
            own = float(scale_weights(epoch.model).detach()[self.scales.index(1.0)])

        def read(images: Tensor) -> Tensor:
            probabilities = (own * epoch.model(images).float()).softmax(1)
            sure = is_confident(probabilities, self.foreground, self.background)
            return torch.stack([probabilities.argmax(1), sure.long()], 1).to(torch.uint8)

        rows, given, found = epoch.evaluate(read)
        now = overlaid(given, memory[LABELS][rows])
        before = now if self.accumulate else given
        after = correct_masks(
            before.to(torch.uint8), found[:, 0], found[:, 1].bool(), on, due=due, constraint=self.constraint,
            ignore=self.ignore,
        )  # fmt: skip
        memory[LABELS][rows] = after
        memory[BLOCK] = torch.where(due, block, memory[BLOCK])
        epoch.figures["changed"] = float(widen(after != now).mean())


def overlaid(given: Tensor, corrected: Tensor) -> Tensor:
    """Masks as they are now: the corrected value of a pixel, or the given one where there is none.

    Args:
        given: int64 `[N, H, W]`.
        corrected: uint8 `[N, H, W]`, `AS_GIVEN` where a label is unchanged.

    Returns:
        int64 `[N, H, W]`.
    """
    return torch.where(corrected == AS_GIVEN, given, corrected.long())


def at_scale(model: Callable[[Tensor], Tensor], images: Tensor, scale: float) -> Tensor:
    """Logits `[N, K, H, W]` of resized images, brought back to the size of the images.

    Args:
        model: from images to logits `[N, K, h, w]`.
        images: `[N, C, H, W]`.
        scale: factor of height and width.
    """
    if scale == 1:
        return model(images)
    height, width = images.shape[2:]
    size = (max(1, int(height * scale)), max(1, int(width * scale)))
    logits = model(F.interpolate(images, size, mode="bilinear", align_corners=True))
    return F.interpolate(logits, (height, width), mode="bilinear", align_corners=True)
