"""Every operation against torch, or by hand where TensorFlow does otherwise."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.models.tfjs.graphs import Graph, text, texts, whole, window
from unshaken.core.errors import ModelError
from unshaken.models.tfjs.file import read_graph
from unshaken.models.tfjs.graph import GraphNet
from unshaken.models.tfjs.operations import OPERATIONS

RNG = np.random.default_rng(3)
FILTERS = RNG.normal(size=(3, 3, 3, 4)).astype(np.float32)
DEPTHWISE = RNG.normal(size=(3, 3, 3, 2)).astype(np.float32)
BIAS = RNG.normal(size=3).astype(np.float32)
TO_LAST, TO_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


def torch_filters(filters):
    return torch.from_numpy(filters).permute(3, 2, 0, 1)


def torch_depthwise(filters):
    return torch.from_numpy(filters).permute(2, 3, 0, 1).flatten(0, 1)[:, None]


def nchw(function):
    """A function of images in torch's layout, as one of images in TensorFlow's."""
    return lambda x: function(x.permute(TO_FIRST)).permute(TO_LAST)


def with_bias(op, function):
    """The case of an operation of two tensors."""
    build = lambda g: g.add("y", op, "image", g.const("bias", BIAS))  # noqa: E731
    return build, lambda x: function(x, torch.from_numpy(BIAS))


CASES = {
    "Identity": (lambda g: g.add("y", "Identity", "image"), lambda x: x),
    "Relu": (lambda g: g.add("y", "Relu", "image"), F.relu),
    "Relu6": (lambda g: g.add("y", "Relu6", "image"), F.relu6),
    "Sigmoid": (lambda g: g.add("y", "Sigmoid", "image"), torch.sigmoid),
    "LeakyRelu": (lambda g: g.add("y", "LeakyRelu", "image", alpha={"f": 0.1}), lambda x: F.leaky_relu(x, 0.1)),
    "Add": with_bias("Add", torch.add),
    "AddV2": with_bias("AddV2", torch.add),
    "BiasAdd": with_bias("BiasAdd", torch.add),
    "Sub": with_bias("Sub", torch.sub),
    "Mul": with_bias("Mul", torch.mul),
    "Conv2D": (
        lambda g: g.add("y", "Conv2D", "image", g.const("w", FILTERS), **window(2, "VALID")),
        nchw(lambda x: F.conv2d(x, torch_filters(FILTERS), stride=2)),
    ),
    "_FusedConv2D": (
        lambda g: g.add(
            "y", "_FusedConv2D", "image", g.const("w", FILTERS), g.const("b", np.arange(4.0)),
            **window(dilations=whole(1, 2, 2, 1)), fused_ops=texts("BiasAdd", "LeakyRelu"), leakyrelu_alpha={"f": 0.3},
        ),
        nchw(lambda x: F.leaky_relu(F.conv2d(x, torch_filters(FILTERS), torch.arange(4.0), 1, 2, 2), 0.3)),
    ),
    "DepthwiseConv2dNative": (
        lambda g: g.add("y", "DepthwiseConv2dNative", "image", g.const("w", DEPTHWISE), **window()),
        nchw(lambda x: F.conv2d(x, torch_depthwise(DEPTHWISE), padding=1, groups=3)),
    ),
    "FusedDepthwiseConv2dNative": (
        lambda g: g.add(
            "y", "FusedDepthwiseConv2dNative", "image", g.const("w", DEPTHWISE), g.const("b", np.arange(6.0)),
            **window(), fused_ops=texts("BiasAdd", "Relu6"),
        ),
        nchw(lambda x: F.relu6(F.conv2d(x, torch_depthwise(DEPTHWISE), torch.arange(6.0), padding=1, groups=3))),
    ),
    "MaxPool": (
        lambda g: g.add("y", "MaxPool", "image", ksize=whole(1, 3, 3, 1), **window()),
        nchw(lambda x: F.max_pool2d(x, 3, 1, 1)),
    ),
    "ResizeBilinear": (
        lambda g: g.add("y", "ResizeBilinear", "image", g.whole("s", [9, 5]), half_pixel_centers={"b": True}),
        nchw(lambda x: F.interpolate(x, (9, 5), mode="bilinear")),
    ),
    "Pad": (
        lambda g: g.add("y", "Pad", "image", g.whole("p", [[0, 0], [1, 2], [3, 0], [0, 1]])),
        lambda x: F.pad(x, (0, 1, 3, 0, 1, 2)),
    ),
    "PadV2": (
        lambda g: g.add("y", "PadV2", "image", g.whole("p", [[0, 0], [1, 0], [0, 0], [0, 0]]), g.const("v", -7.0)),
        lambda x: F.pad(x, (0, 0, 0, 0, 1, 0), value=-7.0),
    ),
    "Transpose": (
        lambda g: g.add("y", "Transpose", "image", g.whole("p", TO_FIRST)),
        lambda x: x.permute(TO_FIRST),
    ),
    "Reshape": (lambda g: g.add("y", "Reshape", "image", g.whole("s", [1, -1, 9])), lambda x: x.reshape(1, -1, 9)),
    "ConcatV2": (
        lambda g: g.add("y", "ConcatV2", "image", "image", g.whole("a", -1)),
        lambda x: torch.cat([x, x], -1),
    ),
    "SplitV": (
        lambda g: g.add("y", "Relu", f"{g.add('s', 'SplitV', 'image', g.whole('n', [1, 2]), g.whole('a', 3))}:1"),
        lambda x: x[..., 1:].relu(),
    ),
    "Mean": (
        lambda g: g.add("y", "Mean", "image", g.whole("a", [1, 2]), keep_dims={"b": True}),
        lambda x: x.mean((1, 2), keepdim=True),
    ),
    "SparseToDense": (  # -1 at place 1 of [9, 9, 9], taken away from the constant of the reshape
        lambda g: g.add("y", "Reshape", "image", g.add(
            "n", "SparseToDense", g.whole("i", [[1]]), g.whole("s", [3]), g.whole("v", [-1]), g.whole("d", 6)
        )),
        lambda x: x.reshape(6, -1, 6),
    ),
}  # fmt: skip


def computed(graph, images, folder):
    net = GraphNet(read_graph(graph.write(folder)), ["y"])
    return net(images)["y"]


def test_every_operation_has_a_case():
    assert CASES.keys() == OPERATIONS.keys()


@pytest.mark.parametrize("op", CASES)
def test_an_operation_is_torchs(op, tmp_path):
    images = torch.from_numpy(RNG.normal(size=(1, 3, 6, 6)).astype(np.float32))
    build, expected = CASES[op]
    graph = Graph(1, 6, 6, 3)
    build(graph)
    found = computed(graph, images, tmp_path)
    assert torch.allclose(found, expected(images.permute(TO_LAST)), atol=1e-5)


def test_the_odd_pixel_of_a_border_comes_last(tmp_path):
    graph = Graph(1, 4, 4, 3)
    graph.add("y", "MaxPool", "image", ksize=whole(1, 3, 3, 1), **window(2))
    images = torch.arange(48.0).reshape(1, 3, 4, 4)
    found = computed(graph, images, tmp_path)[0, ..., 0]
    assert found.tolist() == [[10, 11], [14, 15]]  # windows begin at rows 0 and 2, with a border below alone


def test_the_old_way_of_resizing_begins_at_the_first_pixel(tmp_path):
    graph = Graph(1, 2, 2, 3)
    graph.add("y", "ResizeBilinear", "image", graph.whole("s", [4, 2]))
    images = torch.tensor([[0.0, 1], [2, 5]]).expand(1, 3, 2, 2)
    assert computed(graph, images, tmp_path)[0, ..., 0].tolist() == [[0, 1], [1, 3], [2, 5], [2, 5]]


@pytest.mark.parametrize(
    ("op", "attr", "reason"),
    [
        ("MaxPool", {"ksize": whole(1, 3, 3, 1), "strides": whole(1, 1, 1, 1)}, "padding is ''"),
        ("MaxPool", {"ksize": whole(1, 3, 3), **window()}, r"ksize are \[1, 3, 3\]"),
        ("MaxPool", {"ksize": whole(2, 3, 3, 1), **window()}, r"ksize are \[2, 3, 3, 1\]"),
        ("MaxPool", {"ksize": whole(1, 3, 3, 1), **window(), "data_format": text("NCHW")}, "its layout is 'NCHW'"),
        ("MaxPool", {"ksize": {"list": {"i": ["x"]}}, **window()}, "which is no whole number"),
        ("MaxPool", {**window()}, "attribute ksize is missing"),
        ("MaxPool", {"ksize": whole(1, 3, 3, 1), **window(), "padding": {"s": "%"}}, "no text in base 64"),
        ("LeakyRelu", {"alpha": {"f": "NaN"}}, "'NaN', which is no number"),
    ],
)
def test_attributes_that_are_not_understood_are_told(op, attr, reason, tmp_path):
    graph = Graph(1, 6, 6, 3)
    graph.add("y", op, "image", **attr)
    with pytest.raises(ModelError, match=reason):
        computed(graph, torch.zeros(1, 3, 6, 6), tmp_path)
