"""Graphs as nets: their parameters, gradients and copies; and what is refused, each in one line."""

import copy
import json
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.models.tfjs.graphs import Graph, two_convolutions, whole, window
from unshaken.core.errors import ModelError
from unshaken.models.tfjs import file, graph
from unshaken.models.tfjs.file import read_graph
from unshaken.models.tfjs.graph import GraphNet


@pytest.fixture
def images():
    return torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def by_torch(made, images):
    first, bias, second = (torch.from_numpy(made.weights[k].astype(np.float32)) for k in ("first", "bias", "second"))
    hidden = F.conv2d(F.pad(images, (0, 1, 0, 1)), first.permute(3, 2, 0, 1), bias, stride=2).relu()
    return F.conv2d(hidden, second.permute(3, 2, 0, 1)).permute(0, 2, 3, 1)


def test_two_convolutions_are_those_of_torch(tmp_path, images):
    made = two_convolutions()
    net = GraphNet(read_graph(made.write(tmp_path)))
    assert torch.allclose(net(images)["b"], by_torch(made, images), atol=1e-5)
    assert (net.shapes, net.size) == ({"b": (1, 4, 4, 4)}, (8, 8))
    assert [tuple(p.shape) for p in net.parameters()] == [(3, 3, 3, 5), (5,), (1, 1, 5, 4)]
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(other(images)["b"], net(images)["b"])


def test_gradients_reach_images_and_weights(tmp_path, images):
    made = two_convolutions()
    net = GraphNet(read_graph(made.write(tmp_path)))
    points, others = images.clone().requires_grad_(), images.clone().requires_grad_()
    net(points)["b"].square().sum().backward()
    by_torch(made, others).square().sum().backward()
    assert torch.allclose(points.grad, others.grad, rtol=1e-4, atol=1e-4)
    assert all(p.grad.abs().sum() > 0 for p in net.parameters())


def test_quantised_weights_are_scaled(tmp_path):
    made = Graph(1, 2, 2, 3)
    made.const("w", [0, 10, 255], quantization={"dtype": "uint8", "scale": 0.1, "min": -1.0})
    made.add("y", "Add", "image", "w")
    found = GraphNet(read_graph(made.write(tmp_path)), ["y"])(torch.zeros(1, 3, 2, 2))["y"]
    assert torch.allclose(found[0, 0, 0], torch.tensor([-1.0, 0.0, 24.5]))


def test_nodes_that_no_output_needs_are_left_out(tmp_path, images):
    made = two_convolutions()
    made.add("strange", "TopKV2", "b")
    assert GraphNet(read_graph(made.write(tmp_path)), ["a"]).shapes == {"a": (1, 4, 4, 5)}
    with pytest.raises(ModelError, match="operation 'TopKV2' of node 'strange' is not known"):
        GraphNet(read_graph(made.write(tmp_path)), ["strange"])


def test_images_of_another_size_are_refused(tmp_path):
    net = GraphNet(read_graph(two_convolutions().write(tmp_path)))
    with pytest.raises(ModelError, match=r"takes images of 3 x 8 x 8, not \[1, 3, 9, 8\]"):
        net(torch.zeros(1, 3, 9, 8))


def changed(change):
    """A graph of two convolutions with its document changed."""

    def write(folder):
        made = two_convolutions()
        path = made.write(folder)
        document = made.document()
        change(document)
        (folder / "g.json").write_text(json.dumps(document))
        return path

    return write


def node(document, name):
    return next(n for n in document["modelTopology"]["node"] if n["name"] == name)


def weight(document, name):
    return next(w for w in document["weightsManifest"][0]["weights"] if w["name"] == name)


BAD = {
    "no graph": (lambda d: d.clear(), r"is damaged \(format: Field required\)"),
    "of Keras": (lambda d: d.update(format="layers-model"), "is a Keras layers model: convert it"),
    "another format": (lambda d: d.update(format="x"), r"is damaged \(format: "),
    "nodes of another form": (lambda d: d["modelTopology"].update(node=[3]), "is damaged"),
    "node twice": (lambda d: d["modelTopology"]["node"].append(node(d, "a")), "node 'a' stands 2 times"),
    "a file elsewhere": (lambda d: d["weightsManifest"][0].update(paths=["../w.bin"]), "'../w.bin' is not in the"),
    "a file from the root": (lambda d: d["weightsManifest"][0].update(paths=["/etc/passwd"]), "is not in the graph's"),
    "no such file": (lambda d: d["weightsManifest"][0].update(paths=["v.bin"]), "no weights file"),
    "file twice": (lambda d: d["weightsManifest"][0].update(paths=["w.bin"] * 2), "are of another graph; get both"),
    "weights too few": (lambda d: weight(d, "first").update(shape=[3, 3, 3, 6]), "in the files: they are truncated"),
    "a bomb": (lambda d: weight(d, "first").update(shape=[1 << 30, 1 << 30, 1 << 30]), "they are truncated"),
    "size below 0": (lambda d: weight(d, "first").update(shape=[-3, 3, 3, 5]), "is damaged"),
    "size no number": (lambda d: weight(d, "first").update(shape=["3", 3, 3, 5]), "is damaged"),
    "another type": (lambda d: weight(d, "bias").update(dtype="complex64"), r"dtype: Input should be 'float32'"),
    "type of the same size": (lambda d: weight(d, "bias").update(dtype="int32"), r"node 'a' .* cannot be computed"),
    "scale not finite": (
        lambda d: weight(d, "second").update(quantization={"dtype": "float16", "scale": 1e999}),
        "is damaged",
    ),
    "weight twice": (lambda d: weight(d, "bias").update(name="first"), "weight 'first' stands twice"),
    "weight missing": (lambda d: weight(d, "bias").update(name="other"), "weights of node 'bias' are missing"),
    "node missing": (lambda d: node(d, "b")["input"].__setitem__(0, "c"), "there is no node 'c'"),
    "output missing": (lambda d: d.update(signature={"outputs": {"z:0": {}}}), "there is no node 'z'"),
    "no output": (lambda d: d.update(signature={}), "names no output"),
    "a circle": (lambda d: node(d, "a")["input"].__setitem__(0, "b"), "the graph has a circle"),
    "unknown operation": (lambda d: node(d, "a").update(op="Conv3D"), "operation 'Conv3D' of node 'a' is not known"),
    "unknown fused": (lambda d: node(d, "a")["attr"]["fused_ops"]["list"].update(s=["RWx1"]), "'Elu' fused with a"),
    "too few inputs": (lambda d: node(d, "b").update(input=["a"]), r"node 'b' \(Conv2D\) cannot be computed"),
    "further output of a tensor": (lambda d: node(d, "b")["input"].__setitem__(0, "a:1"), "cannot be computed"),
    "sizes do not agree": (lambda d: node(d, "b")["input"].__setitem__(0, "image"), r"from \[1, 8, 8, 3\], \[1, 1"),
    "no size": (lambda d: node(d, "image").update(attr={}), "one RGB image of a fixed size"),
    "size too large": (
        lambda d: node(d, "image")["attr"]["shape"]["shape"]["dim"][1].update(size="99999"), "of a fixed size"
    ),
    "four channels": (
        lambda d: node(d, "image")["attr"]["shape"]["shape"]["dim"][3].update(size="4"), "of a fixed size"
    ),
    "a batch of 8": (
        lambda d: node(d, "image")["attr"]["shape"]["shape"]["dim"][0].update(size="8"), "of a fixed size"
    ),
    "two inputs": (
        lambda d: (node(d, "bias").update(op="Placeholder")), "takes 2 inputs; one image is expected"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_damaged_graphs_are_told_in_one_line(name, tmp_path):
    change, reason = BAD[name]
    with pytest.raises(ModelError, match=reason) as caught:
        GraphNet(read_graph(changed(change)(tmp_path)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"<!doctype html>", "is an HTML page"),
        (b"{", "is damaged"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"format": "graph-model", "format": "x"}', "stands twice"),
        (b"\xff\xfe", "cannot be read"),
        (b"3", "is damaged"),
    ],
)
def test_files_that_are_no_graph(content, reason, tmp_path):
    (tmp_path / "g.json").write_bytes(content)
    with pytest.raises(ModelError, match=reason):
        read_graph(str(tmp_path / "g.json"))
    with pytest.raises(ModelError, match="it is a folder"):
        read_graph(str(tmp_path))


def test_truncated_and_broken_weights(tmp_path):
    made = two_convolutions()
    path = made.write(tmp_path)
    (tmp_path / "w.bin").write_bytes(made.data()[:-1])
    with pytest.raises(ModelError, match="they are truncated"):
        read_graph(path)
    made.weights["bias"][0] = np.nan
    with pytest.raises(ModelError, match="weight 'bias' has numbers that are not finite"):
        read_graph(made.write(tmp_path))


def test_memory_is_bounded_before_anything_is_computed(tmp_path, monkeypatch):
    made = Graph(1, 8, 8, 3)
    made.add("y", "ResizeBilinear", "image", made.whole("s", [1 << 20, 1 << 20]))
    with pytest.raises(ModelError, match=r"node 'y' .* more than 536,870,912 numbers for one image"):
        GraphNet(read_graph(made.write(tmp_path)), ["y"])
    monkeypatch.setattr(file, "LARGEST_WEIGHTS", 3)
    with pytest.raises(ModelError, match="at most 3 are read"):
        read_graph(two_convolutions().write(tmp_path))
    monkeypatch.setattr(graph, "MOST_NUMBERS", 100)
    monkeypatch.setattr(file, "LARGEST_WEIGHTS", 1 << 20)
    with pytest.raises(ModelError, match="more than 100 numbers"):
        GraphNet(read_graph(two_convolutions().write(tmp_path)))


def test_a_size_that_depends_on_the_image_is_refused(tmp_path):
    made = Graph(1, 8, 8, 3)
    made.add("y", "Reshape", "image", "image")
    with pytest.raises(ModelError, match="are no constant of a few whole numbers"):
        GraphNet(read_graph(made.write(tmp_path)), ["y"])


def test_a_window_that_is_larger_than_the_image_is_refused(tmp_path):
    made = Graph(1, 2, 2, 3)
    made.add("y", "MaxPool", "image", ksize=whole(1, 3, 3, 1), **window(1, "VALID"))
    with pytest.raises(ModelError, match=r"node 'y' \(MaxPool\) cannot be computed from \[1, 2, 2, 3\]"):
        GraphNet(read_graph(made.write(tmp_path)), ["y"])
