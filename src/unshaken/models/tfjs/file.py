"""`read_graph`: nodes and weights of a TensorFlow.js graph model, from its JSON file and the binary files beside it.

Nothing in the files is run, only files of the same folder are read, and no number in them is trusted: the sizes that
the JSON states are compared with the bytes that are there before anything is allocated.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from unshaken.core.documents import parse_json, read_text, validate
from unshaken.core.errors import ModelError
from unshaken.core.numbers import shorten
from unshaken.models.loaders.weights import refuse_disguised

LARGEST_JSON = 64 << 20
"""Bytes of a graph's JSON file."""
LARGEST_WEIGHTS = 1 << 30
"""Bytes of all binary files of one graph."""
MOST_NODES = 20_000
Size = Annotated[int, Field(strict=True, ge=0, le=1 << 31)]


class Node(BaseModel):
    """One operation of a graph.

    Args:
        name: by which other nodes refer to its output.
        op: its operation, such as `Conv2D`.
        input: names of nodes; `NAME:1` for a further output of one.
        attr: its attributes, as the file has them.
    """

    name: str
    op: str
    input: list[str] = []
    attr: dict[str, Any] = {}


class _Quantization(BaseModel):
    dtype: Literal["float16", "uint8", "uint16"]
    scale: float = Field(default=1.0, allow_inf_nan=False)
    min: float = Field(default=0.0, allow_inf_nan=False)


class _Weight(BaseModel):
    name: str
    shape: list[Size]
    dtype: Literal["float32", "int32", "bool"]
    quantization: _Quantization | None = None

    @property
    def stored(self) -> np.dtype[Any]:
        """The type of its numbers in the file, little-endian."""
        return np.dtype(self.dtype if self.quantization is None else self.quantization.dtype).newbyteorder("<")


class _Group(BaseModel):
    paths: list[str]
    weights: list[_Weight]


class _Topology(BaseModel):
    node: list[Node] = Field(max_length=MOST_NODES)


class _Dimension(BaseModel):
    size: int = 0


class _Shape(BaseModel):
    dim: list[_Dimension] = []


class _Output(BaseModel):
    tensorShape: _Shape = _Shape()  # noqa: N815

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(dimension.size for dimension in self.tensorShape.dim)


class _Signature(BaseModel):
    outputs: dict[str, _Output] = {}


class _Document(BaseModel):
    format: Literal["graph-model"]
    modelTopology: _Topology  # noqa: N815  # as the format has it
    weightsManifest: list[_Group]  # noqa: N815
    signature: _Signature = _Signature()


@dataclass(frozen=True, slots=True)
class GraphFile:
    """Content of a graph's files.

    Args:
        path: of the JSON file.
        nodes: by name, in the file's order.
        weights: of the nodes `Const`, by name: float32, int32 or bool.
        outputs: shapes of what the file's signature calls outputs, by the name of their node; empty where not stated.
        files: the JSON file and the binary ones.
    """

    path: Path
    nodes: Mapping[str, Node]
    weights: Mapping[str, NDArray[Any]]
    outputs: Mapping[str, tuple[int, ...]]
    files: tuple[Path, ...]


def read_graph(file: str) -> GraphFile:
    """Read a graph model.

    Args:
        file: the JSON file that TensorFlow.js's converter writes, format `graph-model`.

    Raises:
        ModelError: a file is absent, damaged, of another format or too large, or the weights do not fill it exactly.
    """
    path, where = Path(file), f"tfjs:{file}"
    refuse_disguised(path)
    try:
        text = read_text(path, LARGEST_JSON)
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{where} cannot be read: {error}") from None
    value = parse_json(text, where, ModelError)
    if isinstance(value, dict) and value.get("format") == "layers-model":
        raise ModelError(f"{where} is a Keras layers model: convert it with --output_format=tfjs_graph_model")
    document = validate(
        _Document, value, where, ModelError, "a graph model as TensorFlow.js's converter writes it is needed"
    )
    nodes = document.modelTopology.node
    name, times = Counter(node.name for node in nodes).most_common(1)[0] if nodes else ("", 0)
    if times != 1:
        raise ModelError(f"{where}: node {shorten(name)} stands {times} times in the graph")
    parts = [part for group in document.weightsManifest for part in group.paths]
    for part in parts:
        if part in ("", ".", "..") or "/" in part or "\\" in part or "\0" in part:
            raise ModelError(f"{where}: weights file {shorten(part)} is not in the graph's own folder: put it there")
    files = [path.parent / part for part in parts]
    weights = _weights(document.weightsManifest, _read(files, where), where)
    outputs = {name.partition(":")[0]: output.shape for name, output in document.signature.outputs.items()}
    return GraphFile(path, {node.name: node for node in nodes}, weights, outputs, (path, *files))


def _read(files: list[Path], where: str) -> bytes:
    """The bytes of all binary files, one behind the other."""
    for file in files:
        refuse_disguised(file)
    size = sum(file.stat().st_size for file in files)
    if size > LARGEST_WEIGHTS:
        raise ModelError(f"{where}: its weights have {size:,} bytes; at most {LARGEST_WEIGHTS:,} are read")
    try:
        return b"".join(file.read_bytes() for file in files)
    except OSError as error:
        raise ModelError(f"{where}: its weights cannot be read: {error}") from None


def _weights(groups: list[_Group], data: bytes, where: str) -> dict[str, NDArray[Any]]:
    """Every weight, checked to lie inside the bytes that are there."""
    found: dict[str, NDArray[Any]] = {}
    place = 0
    stated = sum(math.prod(w.shape) * w.stored.itemsize for group in groups for w in group.weights)
    if stated != len(data):
        raise ModelError(
            f"{where}: its weights are {stated:,} bytes by the graph and {len(data):,} in the files: they are "
            f"{'truncated' if stated > len(data) else 'of another graph'}; get both again"
        )
    for weight in (w for group in groups for w in group.weights):
        if weight.name in found:
            raise ModelError(f"{where}: weight {shorten(weight.name)} stands twice")
        count = math.prod(weight.shape)
        stored = np.frombuffer(data, weight.stored, count, place).reshape(weight.shape)
        place += stored.nbytes
        found[weight.name] = _decoded(stored, weight)
        if not np.isfinite(found[weight.name]).all() and stored.ndim:
            raise ModelError(f"{where}: weight {shorten(weight.name)} has numbers that are not finite: get it again")
    return found


def _decoded(stored: NDArray[Any], weight: _Weight) -> NDArray[Any]:
    """The numbers that a weight stands for: quantised ones are scaled."""
    if weight.quantization is None or weight.quantization.dtype == "float16":
        return stored.astype(weight.dtype)
    values: NDArray[Any] = stored.astype(np.float64) * weight.quantization.scale + weight.quantization.min
    return np.round(values).astype(weight.dtype) if weight.dtype == "int32" else values.astype(weight.dtype)
