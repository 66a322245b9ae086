"""Graph models of TensorFlow.js, written by hand."""

import base64
import json

import numpy as np


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def text(value):
    return {"s": encoded(value)}


def texts(*values):
    return {"list": {"s": [encoded(value) for value in values]}}


def whole(*values):
    return {"list": {"i": [str(value) for value in values]}}


def window(stride=1, padding="SAME", **more):
    return {"strides": whole(1, stride, stride, 1), "padding": text(padding), **more}


class Graph:
    """Nodes and weights that are put together one by one, then written as files."""

    def __init__(self, *shape):
        dims = [{"size": str(side)} for side in shape]
        self.nodes = [{"name": "image", "op": "Placeholder", "attr": {"shape": {"shape": {"dim": dims}}}}]
        self.weights, self.entries, self.outputs = {}, [], {}

    def const(self, name, values, dtype="float32", quantization=None):
        stored = np.asarray(values, quantization["dtype"] if quantization else dtype)
        self.nodes.append({"name": name, "op": "Const"})
        entry = {"name": name, "shape": list(stored.shape), "dtype": dtype}
        self.entries.append(entry | ({"quantization": quantization} if quantization else {}))
        self.weights[name] = stored
        return name

    def whole(self, name, values):
        return self.const(name, values, "int32")

    def add(self, name, op, *inputs, **attr):
        self.nodes.append({"name": name, "op": op, "input": list(inputs), "attr": attr})
        return name

    def output(self, name, *shape):
        self.outputs[f"{name}:0"] = {"tensorShape": {"dim": [{"size": str(side)} for side in shape]}}

    def document(self):
        return {
            "format": "graph-model",
            "modelTopology": {"node": self.nodes},
            "weightsManifest": [{"paths": ["w.bin"] if self.entries else [], "weights": self.entries}],
            "signature": {"outputs": self.outputs},
        }

    def data(self):
        return b"".join(self.weights[entry["name"]].tobytes() for entry in self.entries)

    def write(self, folder):
        (folder / "w.bin").write_bytes(self.data())
        (folder / "g.json").write_text(json.dumps(self.document()))
        return str(folder / "g.json")


def two_convolutions(side=8, seed=0):
    """An image `[1, side, side, 3]` to four channels of half the size, by two convolutions with a bias between them."""
    rng = np.random.default_rng(seed)
    graph = Graph(1, side, side, 3)
    graph.const("first", rng.normal(size=(3, 3, 3, 5)))
    graph.const("bias", rng.normal(size=5))
    graph.const("second", rng.normal(size=(1, 1, 5, 4)).astype(np.float16), quantization={"dtype": "float16"})
    graph.add("a", "_FusedConv2D", "image", "first", "bias", **window(2), fused_ops=texts("BiasAdd", "Relu"))
    graph.add("b", "Conv2D", "a", "second", **window())
    graph.output("b", 1, side // 2, side // 2, 4)
    return graph
