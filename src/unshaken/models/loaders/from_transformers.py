"""`hf:NAME`: image classifiers and object detectors of transformers, from a local folder or the hub's cache."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torchvision.ops import box_convert
from typing_extensions import override

from unshaken.core.classifier import Classifier, View
from unshaken.core.documents import parse_json, read_text
from unshaken.core.errors import ModelError
from unshaken.core.imports import need
from unshaken.models.loaders.kinds import model_kind
from unshaken.models.loaders.spec import ModelSpec
from unshaken.models.loaders.weights import file_of_repository, first_line, offline, read_weights, refuse_disguised
from unshaken.models.networks.box_output import BoxOutput, number_labels

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


_RESAMPLE = {0: "nearest", 2: "bilinear", 3: "bicubic"}


class LogitsOnly(nn.Module):
    """A transformers image classifier that returns its logits alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(pixel_values=images).logits
        return logits


@model_kind("hf", form="hf:FOLDER|OWNER/NAME")
def load(spec: ModelSpec, download: bool) -> Classifier:
    """An image classifier or an object detector of transformers, with its image processor's settings and class names.

    A detector is known by its configuration (`architectures`). Photos are resized whole to the size of its processor,
    or to the square of the short side where that is what the processor states. Code that a repository brings is never
    run.

    Raises:
        MissingExtra: transformers is absent.
        ModelError: the model is absent, damaged, of another kind, or lacks weights.
    """
    why = f"model {str(spec)!r}"
    transformers = need("transformers", "transformers", "models", why)
    local = Path(spec.name).is_dir()
    if local:
        folder = Path(spec.name)
        config = folder / "config.json"
        if not config.is_file():
            raise ModelError(f"folder {str(folder)!r} has no config.json: it is not a transformers model")
        for path in folder.glob("*.safetensors"):  # read as tensors first, for a clear line where that fails
            refuse_disguised(path)
        for path in folder.glob("pytorch_model*.bin"):
            read_weights(path)
    else:
        config = file_of_repository(spec.name, ("config.json",), spec, download=download)
    detects = _is_detector(config, why)
    kind = transformers.AutoModelForObjectDetection if detects else transformers.AutoModelForImageClassification
    with offline(spec, unless=download and not local), _quiet(transformers):
        try:
            model, notes = kind.from_pretrained(
                spec.name,
                trust_remote_code=False,
                local_files_only=local or not download,
                output_loading_info=True,
            )
            settings = _processor(transformers, spec, local or not download)
        except (OSError, ValueError, RuntimeError, KeyError, pickle.UnpicklingError, SafetensorError) as error:
            raise ModelError(f"{why} cannot be loaded by transformers: {first_line(error)}") from error
    absent = sorted([*notes["missing_keys"], *(str(k[0]) for k in notes["mismatched_keys"])])
    if absent:
        raise ModelError(
            f"{why}: {len(absent)} weights are missing from its file ({', '.join(absent[:3])}): it is not a trained "
            f"{'detector' if detects else 'classifier'}"
        )
    mean, std = _normalisation(settings)
    labels = [str(model.config.id2label[i]) for i in range(len(model.config.id2label))]
    classes: Sequence[str] = labels
    net: nn.Module = LogitsOnly(model.float())
    if detects:
        classes, numbers = number_labels(labels)
        net = BoxOutput(QueryDetector(model.float(), len(numbers)), numbers=numbers)
    return Classifier(
        net,
        mean=mean,
        std=std,
        classes=classes,
        view=_whole_view(settings) if detects else _view(settings, getattr(model.config, "num_channels", 3)),
        name=f"hf:{spec.name}",
    )


def _is_detector(config: Path, why: str) -> bool:
    """Whether a configuration is that of a detector of objects."""
    try:
        found = parse_json(read_text(config), f"{why}: config.json", ModelError)
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{why}: config.json cannot be read: {error}") from None
    names = found.get("architectures") if isinstance(found, dict) else None
    return any(str(name).endswith("ForObjectDetection") for name in (names if isinstance(names, list) else ()))


def _whole_view(settings: dict[str, Any]) -> View | None:
    """A detector's view: the whole photo, in the size or the square of the short side that its processor states."""
    size = settings.get("size") or {}
    height = size.get("height") or size.get("shortest_edge") or size.get("max_height")
    width = size.get("width") or size.get("shortest_edge") or size.get("max_width")
    interpolation = _RESAMPLE.get(int(settings.get("resample") or 2), "bicubic")
    return View(height, width, interpolation=interpolation, fit="whole") if height and width else None


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Leave out transformers' progress bars, then put them back."""
    shown = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers.utils.logging.enable_progress_bar()


def _processor(transformers: Any, spec: ModelSpec, local: bool) -> dict[str, Any]:
    """Settings of the image processor; empty where the SPEC says it all and there is none."""
    try:
        found = transformers.AutoImageProcessor.from_pretrained(
            spec.name, trust_remote_code=False, local_files_only=local
        )
    except (OSError, ValueError) as error:
        if {"mean", "std", "size"} <= spec.options.keys():
            return {"do_normalize": False, "do_rescale": False}
        raise ModelError(
            f"model {str(spec)!r} comes without an image processor ({first_line(error)}): give mean, std and size"
        ) from error
    stated: dict[str, Any] = found.to_dict()
    return stated


def _normalisation(settings: dict[str, Any]) -> tuple[list[float] | None, list[float] | None]:
    """Mean and std in [0, 1] units: the processor takes 255 x to `255 x r - o`, then normalises."""
    scale = 255 * settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 255.0
    offset = 1.0 if settings.get("rescale_offset") else 0.0
    if settings.get("do_normalize", True):
        mean, std = settings["image_mean"], settings["image_std"]
    elif settings.get("do_rescale", True) and (scale != 1 or offset):
        mean, std = [0.0], [1.0]
    else:
        return None, None
    return [(m + offset) / scale for m in mean], [s / scale for s in std]


def _view(settings: dict[str, Any], channels: int) -> View | None:
    size, crop = settings.get("size") or {}, settings.get("crop_size") or {}
    interpolation = _RESAMPLE.get(int(settings.get("resample") or 2), "bicubic")
    short = size.get("shortest_edge")
    if settings.get("do_center_crop") and crop:
        resize = short or min(size.get("height", 0), size.get("width", 0)) or None
        return View(crop["height"], crop["width"], resize, interpolation, channels)
    if short and short < 384 and settings.get("crop_pct"):
        return View(short, short, int(short / settings["crop_pct"]), interpolation, channels)
    if short:
        return View(short, short, None, interpolation, channels)
    return View(size["height"], size["width"], None, interpolation, channels) if "height" in size else None
