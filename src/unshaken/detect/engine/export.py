"""Fitted detectors and their model as one ONNX graph: `images` in, `logits` and one `score_LABEL` each out."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.batch import in_unit_range
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.device import device_of
from unshaken.core.errors import ModelError, ParameterError, RunError, UnshakenError
from unshaken.core.imports import need
from unshaken.core.notebook import facts_card
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.base import follow
from unshaken.detect.engine.detector_set import DetectorSet
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.engine.screen import FittedDetector
from unshaken.models.loaders.weights import first_line

LARGEST = 2**31 - 2**24
"""Bytes that a file of this format can hold, with room for the graph itself."""
SCORE = "score_"


@dataclass(frozen=True, slots=True)
class ExportResult:
    """Result of an export.

    Args:
        file: the graph.
        thresholds: label to the largest score that is accepted, of each detector in the graph.
        refused: label to the reason, of each detector that is not in it.
    """

    file: Path
    thresholds: Mapping[str, float]
    refused: Mapping[str, str] = field(default_factory=dict)

    def _repr_html_(self) -> str:
        thresholds = {f"threshold of {name}": f"{value:.4g}" for name, value in self.thresholds.items()}
        refused = {f"not {name}": reason for name, reason in self.refused.items()}
        return facts_card(f"Exported to {self.file}", {**thresholds, **refused})


def export(detector_set: DetectorSet, file: str | Path, images: Tensor, *, accept: float = 0.95) -> ExportResult:
    """Write model and detectors as one ONNX graph for any number of images.

    Input is `images`, float32 `[N, C, H, W]` in [0, 1]; outputs are `logits` `[N, K]` and for each detector
    `score_LABEL`, float64 `[N]`, **higher is more abnormal**. The file's metadata hold `accept`, a `threshold_LABEL`
    for each (what is not above it is accepted), `detectors` (their parameters, JSON) and `fingerprint` of the model.

    A detector that asks the model again, or draws at random, is no function of one pass: it is left out, and named.

    Args:
        detector_set: the fitted detectors.
        file: where to write, `NAME.onnx`.
        images: at least two, float `[N, C, H, W]` in [0, 1], of the size that the graph is for.
        accept: share of normal images that are accepted at least, in (0, 1).

    Raises:
        MissingExtra: onnx or onnxscript is absent.
        ParameterError: no detector can be written, or they are too large for the format.
        ModelError: the model cannot be written.
        RunError: the file cannot be written.
    """
    onnx = need("onnx", "onnx", "onnx", "export")
    need("onnxscript", "onnxscript", "onnx", "export")
    pixels, detector_set = in_unit_range(images, "images").cpu(), _on_cpu(detector_set)
    if len(pixels) < 2:
        raise ParameterError(
            f"images of shape {tuple(pixels.shape)}: give two or more, so that their number stays open"
        )
    with evaluating(detector_set.model):
        refused = {
            label: reason
            for label, f in detector_set.detectors.items()
            if (reason := _refusal(detector_set, f, pixels))
        }
        able = {label: f for label, f in detector_set.detectors.items() if label not in refused}
        if not able:
            raise ParameterError("no detector can be exported: " + "; ".join(f"{k}: {v}" for k, v in refused.items()))
        _check_size(detector_set.model, able)
        proto, untranslated = _written(detector_set, able, pixels)
    refused |= untranslated
    able = {label: f for label, f in able.items() if label not in refused}
    thresholds = {label: detector_set.threshold(label, accept).value for label in able}
    record = {
        label: {"method": f.method.info.name, "params": f.method.model_dump(mode="json")} for label, f in able.items()
    }
    metadata = {"accept": repr(accept), **{f"threshold_{k}": repr(v) for k, v in thresholds.items()}}
    metadata |= {"detectors": json.dumps(record), "fingerprint": str(detector_set.about.get("fingerprint", ""))}
    onnx.helper.set_model_props(proto, metadata)
    try:
        onnx.save(proto, str(file))
    except OSError as error:
        raise RunError(f"{file}: cannot be written ({error.strerror or error})") from None
    return ExportResult(Path(file), thresholds, refused)


def _on_cpu(detector_set: DetectorSet) -> DetectorSet:
    """The same detectors and model on the CPU, where the graph is traced."""
    if device_of(detector_set.model).type == "cpu":
        return detector_set
    model, old = copy.deepcopy(detector_set.model).cpu(), detector_set.anatomy
    anatomy = Anatomy.named(model, old.classes, old.head, old.stages, old.maps, old.rectified)
    detectors = {
        label: FittedDetector(f.method, {k: v.cpu() for k, v in f.bank.items()}, f.calibration)
        for label, f in detector_set.detectors.items()
    }
    return DetectorSet(model, anatomy, detectors, detector_set.about)


class Graph(nn.Module):
    """One pass of the model, and the detectors' scores.

    Args:
        model: the classifier.
        anatomy: what is known of its inside.
        detectors: by label; each a function of one pass.
    """

    def __init__(self, model: Classifier, anatomy: Anatomy, detectors: Mapping[str, FittedDetector]) -> None:
        super().__init__()
        self.model, self.anatomy, self.detectors = model, anatomy, dict(detectors)

    @override
    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        methods = [f.method for f in self.detectors.values()]
        layers = tuple(dict.fromkeys(layer for m in methods for layer in m.layers(self.anatomy)))
        logits, features = self.model.features(images, layers)
        forward = ForwardPass(self.anatomy, logits.float(), features, images)
        return (forward.logits, *(_score(f, forward).double() for f in self.detectors.values()))


def _score(fitted: FittedDetector, forward: ForwardPass) -> Tensor:
    """The score of a detector that asks nothing more."""
    try:
        query = next(follow(fitted.method.score(forward, fitted.bank)))
    except StopIteration as stop:
        found: Tensor = stop.value
        return found
    raise ParameterError(f"it asks the model again ({type(query).__name__})")


def _refusal(detector_set: DetectorSet, fitted: FittedDetector, images: Tensor) -> str | None:
    """Why a detector is no function of one pass, or None."""
    if fitted.method.not_exported:
        return fitted.method.not_exported
    try:
        with torch.no_grad():
            Graph(detector_set.model, detector_set.anatomy, {"": fitted})(images[:2])
    except UnshakenError as error:
        return str(error)
    return None


def _check_size(model: Classifier, detectors: Mapping[str, FittedDetector]) -> None:
    sizes = {label: sum(t.nbytes for t in f.bank.values()) for label, f in detectors.items()}
    total = sum(sizes.values()) + sum(p.nbytes for p in model.parameters())
    if total > LARGEST:
        largest = max(sizes, key=lambda label: sizes[label])
        raise ParameterError(
            f"model and detectors have {total / 2**30:.1f} GiB, and an ONNX file holds 2: leave out {largest!r} "
            f"({sizes[largest] / 2**30:.1f} GiB), or fit it on fewer samples"
        )


def _written(
    detector_set: DetectorSet, detectors: Mapping[str, FittedDetector], images: Tensor
) -> tuple[Any, dict[str, str]]:
    """The graph as a model proto, and why detectors are missing that ONNX has no operations for."""

    def graph(some: Mapping[str, FittedDetector]) -> Any:
        return _traced(Graph(detector_set.model, detector_set.anatomy, some), images, [SCORE + label for label in some])

    try:
        return graph(detectors), {}
    except Exception as whole:
        reasons, alone = {}, {}
        for label, fitted in detectors.items():
            try:
                alone[label] = graph({label: fitted})
            except Exception as error:
                reasons[label] = f"it cannot be written as an ONNX graph: {_root(error)}"
        if len(reasons) == len(detectors) or not reasons:
            raise ModelError(
                f"model {detector_set.model.name!r} cannot be written as an ONNX graph: {_root(whole)}"
            ) from whole
        whole_graph = next(iter(alone.values())) if len(alone) == 1 else graph({k: detectors[k] for k in alone})
        return whole_graph, reasons


def _traced(graph: Graph, images: Tensor, scores: list[str]) -> Any:
    """A module as a model proto, its first axis open."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own making: it reports what it does there
        program = torch.onnx.export(
            graph.eval(),
            (images[:2],),
            dynamo=True,
            input_names=["images"],
            output_names=["logits", *scores],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    proto = None if program is None else program.model_proto
    if proto is None or not proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        raise ModelError("it fixes the number of images")
    return proto


def _root(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)
