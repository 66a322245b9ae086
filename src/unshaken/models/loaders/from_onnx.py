"""`onnx:FILE`: an ONNX graph, run by onnxruntime on the CPU. A black box: no gradient passes."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier, View
from unshaken.core.errors import ModelError
from unshaken.core.imports import need
from unshaken.models.loaders.kinds import model_kind
from unshaken.models.loaders.settings import mark_source
from unshaken.models.loaders.spec import ModelSpec
from unshaken.models.loaders.weights import first_line, refuse_disguised

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}


PATIENCE = 20.0
"""Seconds that one pass of a graph with a loop may take; a graph without one always ends."""


class OnnxNet(nn.Module):
    """A graph with one image input, as a module without parameters. It can be copied and pickled.

    Args:
        path: the ONNX file.

    Raises:
        MissingExtra: onnxruntime is absent.
        ModelError: it is no graph, or has not one float input `[N, C, H, W]` or `[N, H, W, C]`.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path, name = path, f"onnx:{path}"
        session = _session(path)
        self.loops = b"\x22\x04Loop" in Path(path).read_bytes()  # as a node names the operator that may never end
        inputs = session.get_inputs()
        if len(inputs) != 1:
            raise ModelError(
                f"{name} has {len(inputs)} inputs ({', '.join(i.name for i in inputs)}); one image input is expected"
            )
        entry = inputs[0]
        if len(entry.shape) != 4 or entry.type not in _TYPES:
            raise ModelError(
                f"{name}: input {entry.name!r} is {entry.type} {entry.shape}; a float [N, C, H, W] is expected"
            )
        self.session, self.entry = session, entry.name
        self.dtype = _TYPES[entry.type]
        # A size that the graph leaves open is a string or None there.
        shape = [d if isinstance(d, int) and d > 0 else None for d in entry.shape]
        self.channels_last = shape[1] not in (1, 3) and shape[3] in (1, 3)
        self.batch = shape[0]
        self.channels, self.height, self.width = (shape[3], shape[1], shape[2]) if self.channels_last else shape[1:]

    @override
    def forward(self, images: Tensor) -> Tensor:
        pixels = images.detach().cpu().numpy().astype(self.dtype)
        if self.channels_last:
            pixels = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
        step = self.batch or len(pixels)
        parts = [self._run(pixels[i : i + step]) for i in range(0, len(pixels), step)]
        return torch.from_numpy(np.concatenate(parts)).to(images.device)

    @override
    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "session"}

    @override
    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self.session = _session(self.path)

    def _run(self, pixels: np.ndarray) -> np.ndarray:
        n = len(pixels)
        if self.batch and n < self.batch:
            pixels = np.concatenate([pixels, np.repeat(pixels[-1:], self.batch - n, 0)])
        try:
            with _limited(self.loops, f"onnx:{self.path}") as options:
                output = self.session.run(None, {self.entry: pixels}, options)[0]
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(
                f"onnx:{self.path} fails on images of shape {pixels.shape}: {first_line(error)}"
            ) from error
        if not isinstance(output, np.ndarray):
            raise ModelError(f"onnx:{self.path}: the first output is a {type(output).__name__}, not a tensor of logits")
        return output.astype(np.float32)[:n] if output.dtype.kind == "f" else output[:n]


@model_kind("onnx", form="onnx:FILE")
def load(spec: ModelSpec, download: bool) -> Classifier:
    """An ONNX file; batch, channels and size follow from its input. A graph of batch 1 is run a sample at a time.

    Nothing is assumed of preprocessing: give `mean` and `std` where the graph expects normalised images.

    Raises:
        MissingExtra: onnxruntime is absent.
        ModelError: the file is no ONNX graph of one image.
    """
    net = OnnxNet(spec.name)
    view = None
    if net.height and net.width:
        view = View(net.height, net.width, channels=net.channels or 3)
    mark_source(net, _digest(Path(spec.name)))
    return Classifier(net, view=view, differentiable=False, name=f"onnx:{spec.name}")


def _session(path: str) -> Any:
    runtime = need("onnxruntime", "onnxruntime", "onnx", f"model 'onnx:{path}'")
    refuse_disguised(Path(path))
    try:
        return runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"{path} is not an ONNX graph that onnxruntime can run: {first_line(error)}") from error


@contextmanager
def _limited(wanted: bool, name: str) -> Iterator[Any]:
    """Options of a pass that is stopped after `PATIENCE` seconds."""
    if not wanted:
        yield None
        return
    import onnxruntime

    options = onnxruntime.RunOptions()
    timer = threading.Timer(PATIENCE, setattr, (options, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        yield options
    except Exception as error:
        if not options.terminate:
            raise
        raise ModelError(
            f"{name} has a loop and gave no answer within {PATIENCE:g} s: it may run without end; export it without one"
        ) from error
    finally:
        timer.cancel()


def external_weights(graph: bytes) -> set[str]:
    r"""Names of the files that a graph refers to for weights (`TensorProto.external_data`, key `location`).

    Args:
        graph: the ONNX file's bytes.

    >>> sorted(external_weights(b"..\x0a\x08location\x12\x05w.bin.."))
    ['w.bin']
    """
    found = set[str]()
    for match in re.finditer(rb"\x0a\x08location\x12([\x80-\xff]?[\x00-\x7f])", graph):  # a field of up to 16 KB
        low, *high = match[1]
        size = (low & 0x7F) + 128 * (high[0] if high else 0)
        name = graph[match.end() : match.end() + size].decode("utf-8", "replace")
        if name and "\0" not in name:
            found.add(name)
    return found


def _digest(path: Path) -> str:
    """SHA-256 of the graph and of the files of weights that it refers to."""
    graph = path.read_bytes()
    digest = hashlib.sha256(graph)
    for name in sorted(external_weights(graph)):
        if not (path.parent / name).is_file():
            continue
        with (path.parent / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
