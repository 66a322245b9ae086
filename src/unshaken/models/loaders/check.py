"""Does a model behave as a classifier, and which model is it: `check_model` and `fingerprint`."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from unshaken.core.batch import most_images
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.device import device_of
from unshaken.core.errors import ModelError
from unshaken.data.spec import with_option
from unshaken.models.loaders.options import stem_channels
from unshaken.models.loaders.settings import settings_of, source_of
from unshaken.models.loaders.weights import first_line

FIRST_NAMES = {
    "DenoisingClassifier": "Denoised",
    "GuardNet": "Guard",
    "MultiViewClassifier": "Viewed",
    "NoiseLevelNet": "Injected",
    "PromptedClassifier": "Prompted",
    "ReplayedModule": "Passed",
    "ScaledLogits": "Scaled",
    "TransformingClassifier": "Transformed",
}
"""Modules that were renamed, under the names that fingerprints know: a new name does not make another model."""


def count_outputs(classifier: Classifier, images: Tensor) -> int:
    """The number of classes that a model tells apart, 0 where that cannot be known, as of some detectors of objects.

    Args:
        classifier: left in the mode it was found in.
        images: float `[N, C, H, W]` in [0, 1] that it takes, on its device, at least one.
    """
    if classifier.task == "detection":
        numbers = getattr(classifier.net, "numbers", None)
        return len(classifier.classes) or (0 if numbers is None else int(numbers.max()) + 1)
    with evaluating(classifier), torch.no_grad():
        return int(classifier(images[:1]).shape[1])


def check_model(classifier: Classifier, images: Tensor, *, data: str = "") -> None:
    """Check a model by passing two images, and one alone, through it; of a single very large image, that one.

    Args:
        classifier: left in the mode it was found in.
        images: float `[N, C, H, W]` in [0, 1], at least one.
        data: SPEC of their data set, for messages.

    Raises:
        ModelError: the images do not fit the model, or the output is no finite float tensor `[N, K]` with K >= 2.
    """
    if not len(images):
        raise ModelError(f"model {classifier.name!r} cannot be checked without an image")
    _check_fit(classifier, images, data)
    first = images[:1].to(device_of(classifier))
    several = most_images(first.numel()) > 1
    pair = images[[0, min(1, len(images) - 1)]].to(first.device) if several else first
    with evaluating(classifier), torch.inference_mode():
        for batch in (pair, first) if several else (first,):
            try:
                output = classifier(batch)
            except ModelError:
                raise
            except Exception as error:
                raise ModelError(
                    f"model {classifier.name!r} fails on images of shape {tuple(batch.shape)}"
                    f"{f' of data {data!r}' if data else ''}: "
                    f"{type(error).__name__}: {first_line(error)}{_hint(classifier, batch)}"
                ) from error
            _check_output(classifier, output, batch)


def fingerprint(classifier: Classifier) -> str:
    """Compute a SHA-256 digest that identifies a model: its modules' classes and settings, weights, mean and std.

    It is the same in every process and on every device. Settings are plain attributes, such as a stride or a factor;
    see `settings_of`. Where a model's file says more than that (the graph of `onnx:`, the source of `py:`), that file's
    hash enters too.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name, module in classifier.net.named_modules():
        kind = type(module).__qualname__
        digest.update(f"{name}={FIRST_NAMES.get(kind, kind)}{settings_of(module)};".encode())
    digest.update(source_of(classifier.net).encode())
    tensors = {**classifier.state_dict(), "mean": classifier.mean, "std": classifier.std}
    for key, value in sorted(tensors.items()):
        digest.update(f"{key}=".encode())
        if isinstance(value, Tensor):
            flat = value.detach().to("cpu").contiguous()
            digest.update(f"{flat.dtype}{tuple(flat.shape)}".encode())
            digest.update(flat.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _check_fit(classifier: Classifier, images: Tensor, data: str) -> None:
    view, name, channels, size = classifier.view, classifier.name, images.shape[1], tuple(images.shape[2:])
    whose = f"the images of data {data!r}" if data else "the images"
    takes = stem_channels(classifier.net) if view is None else view.channels
    if classifier.mean is not None and len(classifier.mean) not in (1, channels):
        takes = takes or len(classifier.mean)
    if takes is not None and takes != channels:
        mode = "L" if takes == 1 else "RGB"
        how = f"load them with mode={mode}"
        if data and not data.startswith("<"):
            how += f", as in --data {shlex.quote(with_option(data, 'mode', mode))}"
        raise ModelError(f"model {name!r} takes {takes} channels but {whose} have {channels}: {how}")
    if classifier.mean is not None and len(classifier.mean) not in (1, channels):
        raise ModelError(f"model {name!r} has {len(classifier.mean)} means but {whose} have {channels} channels")
    if view is not None and size != (view.height, view.width):
        raise ModelError(
            f"model {name!r} takes {view.height} x {view.width} pixels but {whose} have {size[0]} x {size[1]}: "
            f"load them with size={view.height if view.height == view.width else f'{view.height}x{view.width}'}"
        )


def _hint(classifier: Classifier, batch: Tensor) -> str:
    """Advice for a model that failed on several images; empty where one alone fails too."""
    if len(batch) == 1:
        return ""
    try:
        classifier(batch[:1])
    except Exception:  # whatever the model raises
        return ""
    return "; it takes one image alone: use --batch-size 1"


def _check_output(classifier: Classifier, output: Any, images: Tensor) -> None:
    n = len(images)
    if classifier.task == "detection":  # `BoxOutput` has checked its form
        return
    pixels = classifier.task == "segmentation"
    form = "[N, K, H, W]" if pixels else "[N, K]"
    what = f"model {classifier.name!r} must return logits, a float tensor {form}; it returns"
    if isinstance(output, Mapping):
        keys = [k for k, v in output.items() if isinstance(v, Tensor) and v.ndim == 2] or list(output)
        likely = next((k for k in ("logits", "out") if k in keys), keys[0] if keys else "logits")
        raise ModelError(f"{what} a {type(output).__name__} with keys {list(output)}: return output[{likely!r}]")
    if isinstance(output, tuple | list):
        raise ModelError(f"{what} a {type(output).__name__} of {len(output)}: return the entry with the logits alone")
    if not isinstance(output, Tensor):
        raise ModelError(f"{what} a {type(output).__name__}")
    if not output.is_floating_point():
        raise ModelError(f"{what} {output.dtype}: return logits, not labels or anything complex")
    if pixels:
        if output.ndim != 4 or (n, *output.shape[2:]) != (len(output), *images.shape[2:]):
            shapes = f"shape {tuple(output.shape)} for images {tuple(images.shape)}"
            raise ModelError(f"{what} {shapes}: return logits as large as the images")
    elif output.ndim != 2 or len(output) != n:
        hint = ""
        if output.ndim == 4 and output.shape[2:] == images.shape[2:]:
            hint = ": for a class for each pixel give the net an attribute task = 'segmentation'"
        raise ModelError(f"{what} shape {tuple(output.shape)} for {n} image{'s' * (n > 1)}{hint}")
    if output.shape[1] < 2:
        raise ModelError(
            f"{what} {output.shape[1]} logit per sample; the minimum is 2: return one logit for each class"
        )
    if classifier.classes and len(classifier.classes) != output.shape[1]:
        raise ModelError(
            f"model {classifier.name!r} gives {output.shape[1]} logits, but {len(classifier.classes)} classes are named"
        )
