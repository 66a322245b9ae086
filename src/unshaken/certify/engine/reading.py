"""`read_chain`: a classifier's layers, read off its traced graph; what is not known is named."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node, Tracer

from unshaken.certify.engine import _pieces as pieces
from unshaken.certify.engine.layers import Chain, Layer
from unshaken.core.classifier import HALF, Classifier, evaluating
from unshaken.core.device import device_of, float64_device
from unshaken.core.errors import ModelError

KNOWN = (
    "linear layers, convolutions, ReLU, max and average pooling, the mean over places, batch norms, dropout, "
    "flattening, and sums and products with constants"
)
SLACK = 1e-4
"""Of the largest logit: how far the chain's logits may be from the model's, which float32 rounds."""


def read_chain(model: Classifier, images: Tensor) -> Chain:
    """The layers of a classifier for images of one size.

    Args:
        model: left as it is.
        images: `[N, C, H, W]`, at least one: gives the size, and the first two are compared with the model's logits.

    Raises:
        ModelError: an operation is not known, joins two paths, or the model does more than its graph says.
    """
    if type(model).forward is not Classifier.forward:
        raise ModelError(
            f"certify: model {model.name!r} is a {type(model).__name__} with a forward pass of its own, "
            "which bounds do not support; certify the inner model"
        )
    weight = next(model.net.parameters(), None)
    if weight is not None and weight.dtype in HALF:
        raise ModelError(
            f"certify: model {model.name!r} has {weight.dtype} weights; bounds are for float32: model.float()"
        )
    with evaluating(model), torch.no_grad():
        builder = ChainBuilder(tuple(images.shape[1:]), _device(model))
        if model.mean is not None and model.std is not None:
            builder.add(pieces.normalise(builder.shape, builder.held(model.mean), builder.held(model.std)))
        traced = _trace(model)
        GraphReader(traced, builder).read()
        if len(builder.shape) != 1:
            raise ModelError(f"certify: model {model.name!r} ends in shape {builder.shape}, not in one logit a class")
        chain = Chain(model.name, tuple(builder.layers))
        _agree(chain, model, images[:2])
    return chain


def _device(model: Classifier) -> torch.device:
    return float64_device(device_of(model))


def _trace(model: Classifier) -> GraphModule:
    root = nn.Sequential(model.net)  # a net that is a single layer is a leaf of it
    try:
        return GraphModule(root, Tracer().trace(root))
    except Exception as error:  # tracing runs any user's code: whatever it raises, there is no graph
        reason = str(error).partition("\n")[0]
        raise ModelError(f"certify: the layers of model {model.name!r} cannot be read ({reason}); {KNOWN}") from error


def _agree(chain: Chain, model: Classifier, images: Tensor) -> None:
    right = model(images.float()).to(chain.device).double()
    off = float((chain.forward(images) - right).abs().max()) if images.numel() else 0.0
    if not off <= SLACK * max(1e-6, float(right.abs().max())):
        raise ModelError(
            f"certify: the layers read from model {model.name!r} give logits that differ from its own by {off:.3g}: it "
            "computes something outside its traced graph (hooks, or NaN or infinite weights)"
        )


class ChainBuilder:
    """Collects layers, and folds a factor an entry into the linear layer before it."""

    def __init__(self, shape: tuple[int, ...], device: torch.device) -> None:
        self.shape, self.device = shape, device
        self.layers: list[Layer] = []

    def held(self, value: Tensor) -> Tensor:
        """A constant, float64 where the chain lies."""
        return value.detach().to(self.device, torch.float64)

    def add(self, layer: Layer) -> None:
        """The next layer."""
        if self.layers and (folded := pieces.fold(self.layers[-1], layer)) is not None:
            self.layers[-1] = folded
        else:
            self.layers.append(layer)
        self.shape = layer.target


class GraphReader:
    """Reads the layers of a traced graph.

    Args:
        traced: whose root holds the network as its only child.
        builder: where layers go.
    """

    def __init__(self, traced: GraphModule, builder: ChainBuilder) -> None:
        self.traced, self.builder = traced, builder
        self.modules = dict(traced.named_modules())
        self.constants: dict[Node, Any] = {}
        self.head: Node | None = None

    def read(self) -> None:
        """Read all nodes."""
        for node in self.traced.graph.nodes:
            if node.op == "placeholder":
                self.head = node  # the only one: the root is a sequence
            elif node.op == "get_attr":
                self.constants[node] = operator.attrgetter(str(node.target))(self.traced)
            elif node.op == "output":
                if node.args[0] is not self.head:
                    raise ModelError("certify: the model gives something other than its last layer's output")
            elif self.constant(node):
                continue
            else:
                self.step(node)
                self.head = node

    def constant(self, node: Node) -> bool:
        """Whether a node depends on no image but on weights, or on a shape; its value is stored."""
        if (node.op == "call_method" and node.target == "size") or node.target is getattr:
            self.constants[node] = pieces.Size()
            return True
        inputs = node.all_input_nodes
        if node.target is operator.getitem and isinstance(self.constants.get(inputs[0]), pieces.Size):
            self.constants[node] = pieces.Size()
            return True
        if not inputs or node.op == "call_module":
            return False
        if node.op == "call_method" and node.target in ("to", "type_as") and inputs[0] in self.constants:
            self.constants[node] = self.constants[inputs[0]]
            return True
        if all(i in self.constants for i in inputs):
            raise self.unknown(node)
        return False

    def step(self, node: Node) -> None:
        """Read one layer."""
        images = [i for i in node.all_input_nodes if i not in self.constants]
        if images != [self.head]:
            what = "joins two paths" if len(images) > 1 else "reads a layer before the last"
            raise ModelError(f"certify: {self.words(node)} {what}; bounds support layers in sequence only")
        shape, builder = self.builder.shape, self.builder
        name = self.name(node)
        make, arguments = self.piece(node)
        try:
            layers = make(name, shape, *arguments[0], **arguments[1])
        except TypeError:  # a form that the piece does not take
            raise self.unknown(node) from None
        for layer in layers:
            builder.add(layer)

    def piece(self, node: Node) -> tuple[Any, tuple[tuple[Any, ...], dict[str, Any]]]:
        """The function that makes the layers of a node, and its further arguments."""
        if node.op == "call_module":
            module = self.modules[str(node.target)]
            make: Any = pieces.MODULES.get(type(module))
            arguments: tuple[tuple[Any, ...], dict[str, Any]] = ((module, self.builder.held), {})
        else:
            make = pieces.CALLS.get(node.target)
            args = tuple(self.value(a) for a in node.args)
            arguments = ((self.builder.held, *args), {k: self.value(v) for k, v in node.kwargs.items()})
        if make is None:
            raise self.unknown(node)
        return make, arguments

    def value(self, argument: Any) -> Any:
        """An argument; the images' node is `pieces.X`."""
        if isinstance(argument, Node):
            return pieces.X if argument is self.head else self.constants[argument]
        if isinstance(argument, tuple | list):
            return tuple(self.value(a) for a in argument)
        return argument

    def name(self, node: Node) -> str:
        """Name of a node as it stands in the user's model."""
        text = str(node.target) if node.op == "call_module" else node.name
        return text.removeprefix("0.") or text

    def words(self, node: Node) -> str:
        """The name of a node in messages."""
        if node.op == "call_module":
            return f"layer {self.name(node)!r} is a {type(self.modules[str(node.target)]).__name__}, which"
        return f"operation {self.name(node)!r}"

    def unknown(self, node: Node) -> ModelError:
        """An operation that bounds do not know."""
        if node.op == "call_module":
            return ModelError(f"certify: {self.words(node)} bounds do not know; known are {KNOWN}")
        return ModelError(f"certify: {self.words(node)} is not known to bounds in this form; known are {KNOWN}")
