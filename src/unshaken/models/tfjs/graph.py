"""`GraphNet`: a graph of TensorFlow.js as a torch module, which gradients pass through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.errors import ModelError, did_you_mean
from unshaken.core.numbers import MAX_SIDE, shorten
from unshaken.models.loaders.weights import first_line
from unshaken.models.tfjs.file import GraphFile, Node
from unshaken.models.tfjs.operations import OPERATIONS, Attributes

MOST_NUMBERS = 1 << 29
"""Numbers that all nodes of a graph together may compute for one image, 2 GiB."""
Value = Tensor | tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class _Step:
    """One node, ready to be computed."""

    name: str
    op: str
    inputs: tuple[tuple[str, int], ...]
    attributes: Attributes

    def compute(self, given: Sequence[Tensor]) -> Value:
        """The node's value from those that come in."""
        return OPERATIONS[self.op](given, self.attributes)


class GraphNet(nn.Module):
    """The part of a graph that its outputs need.

    Its weights are parameters; whole numbers and single values, which state sizes and factors, are constants. What
    follows from constants alone is computed once. All sizes are checked when the net is made, without computing.

    Args:
        file: of `read_graph`.
        outputs: names of the nodes to give; None for those that the file calls outputs.

    Attributes:
        channels_last: whether the graph takes images `[N, H, W, C]`.
        size: height and width in pixels that it takes.
        shapes: of the outputs for one image, by name.

    Raises:
        ModelError: an operation is not known; a node, weight or output is missing; nodes need each other in a circle;
            the graph takes no single image of 3 channels; sizes do not agree, or tensors would be too large.
    """

    def __init__(self, file: GraphFile, outputs: Sequence[str] | None = None) -> None:
        super().__init__()
        self.where = f"tfjs:{file.path}"
        self.outputs = tuple(file.outputs if outputs is None else outputs)
        order = _order(file.nodes, self.outputs, self.where)
        self.entry, shape = _entry([node for node in order if node.op == "Placeholder"], self.where)
        self.channels_last = shape[3] == 3
        self.size = (shape[1], shape[2]) if self.channels_last else (shape[2], shape[3])
        self.one_by_one = shape[0] == 1
        self.weights = nn.ParameterList()
        self._places: dict[str, int] = {}
        self._constants: dict[str, Value] = {}
        self._steps: list[_Step] = []
        self._numbers = 0
        for node in order:
            if node.op == "Const":
                self._keep(node.name, file)
            elif node.op != "Placeholder":
                self._plan(node)
        last = {name: step.name for step in self._steps for name, _ in step.inputs if name not in self.outputs}
        self._done: dict[str, list[str]] = {}
        for name, step_name in last.items():
            self._done.setdefault(step_name, []).append(name)
        self.shapes = self._traced()

    @override
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        if tuple(images.shape[1:]) != (3, *self.size):
            raise ModelError(f"{self.where} takes images of 3 x {self.size[0]} x {self.size[1]}, not {_shape(images)}")
        parts = torch.split(images, 1) if self.one_by_one else (images,)
        found = [self._run(part.permute(0, 2, 3, 1) if self.channels_last else part) for part in parts]
        return {name: torch.cat([one[name] for one in found]) for name in self.outputs}

    def _keep(self, name: str, file: GraphFile) -> None:
        """Enter a constant node, as a parameter where it is a weight."""
        if name not in file.weights:
            raise ModelError(f"{self.where}: the weights of node {shorten(name)} are missing")
        tensor = torch.from_numpy(file.weights[name].copy())
        if not tensor.is_floating_point() or not tensor.ndim:
            self._constants[name] = tensor
            return
        if tensor.ndim == 4:  # kept in the order in which convolutions read them
            tensor = tensor.permute(3, 2, 0, 1).contiguous().permute(2, 3, 1, 0)
        self._places[name] = len(self.weights)
        self.weights.append(nn.Parameter(tensor))

    def _plan(self, node: Node) -> None:
        """Enter a node that is computed; at once where it follows from whole numbers alone."""
        if node.op not in OPERATIONS:
            raise ModelError(
                f"{self.where}: operation {shorten(node.op)} of node {shorten(node.name)} is not known; "
                f"{did_you_mean(node.op, OPERATIONS)}"
            )
        inputs = tuple(_source(name) for name in node.input if not name.startswith("^"))
        step = _Step(node.name, node.op, inputs, Attributes(node.attr))
        given = [self._constants.get(name) for name, _ in inputs]
        if given and all(isinstance(one, Tensor) and not one.is_floating_point() for one in given):
            self._constants[node.name] = self._computed(step, self._constants)
        else:
            self._steps.append(step)

    def _computed(self, step: _Step, values: Mapping[str, Value]) -> Value:
        given: list[Tensor] = []
        try:
            for name, place in step.inputs:
                value = values[name]
                given.append(_part(value, place))
            found = step.compute(given)
            self._numbers += sum(t.numel() for t in ([found] if isinstance(found, Tensor) else found))
            if self._numbers > MOST_NUMBERS:
                raise ValueError(f"the graph would compute more than {MOST_NUMBERS:,} numbers for one image")
        except (ValueError, IndexError, TypeError, RuntimeError, OverflowError) as error:
            shapes = ", ".join(map(_shape, given))
            raise ModelError(
                f"{self.where}: node {shorten(step.name)} ({step.op}) cannot be computed from {shapes or 'nothing'}: "
                f"{first_line(error)}"
            ) from error
        return found

    def _run(self, images: Tensor) -> dict[str, Tensor]:
        """The outputs for images in the graph's own layout."""
        values: dict[str, Value] = {self.entry: images, **self._constants}
        values.update((name, self.weights[place]) for name, place in self._places.items())
        for step in self._steps:
            values[step.name] = step.compute([_part(values[name], place) for name, place in step.inputs])
            for name in self._done.get(step.name, ()):  # nobody needs it any more
                del values[name]
        return {name: _part(values[name], 0) for name in self.outputs}

    def _traced(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the outputs for one image, from a pass in which nothing is computed."""
        shape = (1, *self.size, 3) if self.channels_last else (1, 3, *self.size)
        values: dict[str, Value] = {self.entry: torch.empty(shape, device="meta"), **self._constants}
        values.update((name, self.weights[place].to("meta")) for name, place in self._places.items())
        with torch.no_grad():
            for step in self._steps:
                values[step.name] = self._computed(step, values)
        return {name: tuple(_part(values[name], 0).shape) for name in self.outputs}


def _source(name: str) -> tuple[str, int]:
    """The node and which of its outputs an input names."""
    node, colon, place = name.rpartition(":")
    return (node, int(place)) if colon and place.isascii() and place.isdecimal() and len(place) < 4 else (name, 0)


def _part(value: Value, place: int) -> Tensor:
    """One output of a node, most of which have a single one."""
    return (value,)[place] if isinstance(value, Tensor) else value[place]


def _order(nodes: Mapping[str, Node], outputs: Sequence[str], where: str) -> list[Node]:
    """The nodes that the outputs need, each behind those that it needs itself."""
    done: dict[str, Node] = {}
    above: set[str] = set()
    stack = [(name, False) for name in reversed(outputs)]
    if not stack:
        raise ModelError(f"{where} names no output")
    while stack:
        name, entered = stack.pop()
        if name in done:
            continue
        if name not in nodes:
            raise ModelError(f"{where}: there is no node {shorten(name)}; {did_you_mean(name, nodes)}")
        if entered:
            above.discard(name)
            done[name] = nodes[name]
            continue
        if name in above:
            raise ModelError(f"{where}: node {shorten(name)} needs its own result: the graph has a circle")
        above.add(name)
        stack.append((name, True))
        stack += [(_source(i)[0], False) for i in reversed(nodes[name].input) if not i.startswith("^")]
    return list(done.values())


def _entry(placeholders: Sequence[Node], where: str) -> tuple[str, tuple[int, int, int, int]]:
    """The name of the image's node, and the shape that it states."""
    if len(placeholders) != 1:
        raise ModelError(f"{where} takes {len(placeholders)} inputs; one image is expected")
    node = placeholders[0]
    try:
        sizes = [int(d["size"]) for d in node.attr["shape"]["shape"]["dim"]]
    except (KeyError, TypeError, ValueError):
        sizes = []
    image = sizes[1:3] if sizes[3:] == [3] else sizes[2:]
    if (
        len(sizes) != 4
        or sizes[0] not in (1, -1)
        or 3 not in (sizes[1], sizes[3])
        or not all(0 < side <= MAX_SIDE for side in image)
    ):
        raise ModelError(
            f"{where}: its input {shorten(node.name)} is {sizes or 'of no stated shape'}; one RGB image of a "
            "fixed size, [1, 3, H, W] or [1, H, W, 3], is expected"
        )
    return node.name, (sizes[0], sizes[1], sizes[2], sizes[3])


def _shape(tensor: Tensor) -> str:
    return str(list(tensor.shape))
