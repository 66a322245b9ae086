"""`onnx:` against the network that was exported."""

import copy
import pickle
import warnings

import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from unshaken.core.classifier import evaluating
from unshaken.core.errors import ModelError
from unshaken.core.oracle import Oracle
from unshaken.models import check_model, fingerprint, load_model
from unshaken.models.loaders import from_onnx
from unshaken.models.networks.small import SmallNet


@pytest.fixture(scope="module")
def graph():
    """A SmallNet and its export with an open batch size."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = SmallNet(classes=5)
        net(torch.rand(16, 1, 28, 28))
    shapes = ({0: torch.export.Dim("batch")},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(net.eval(), (torch.rand(2, 1, 28, 28),), dynamic_shapes=shapes, verbose=False)
    return net, program.model_proto


def pool(tmp_path, shape, kind=TensorProto.FLOAT, axes=(2, 3), inputs=1):
    """A graph that averages over an image's axes."""
    entries = [helper.make_tensor_value_info(f"x{i}", kind, shape) for i in range(inputs)]
    node = helper.make_node("ReduceMean", ["x0", "axes"], ["y"], keepdims=0)
    graph = helper.make_graph(
        [node], "g", entries, [helper.make_tensor_value_info("y", kind, None)],
        [helper.make_tensor("axes", TensorProto.INT64, [len(axes)], axes)],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "pool.onnx")
    return tmp_path / "pool.onnx"


@pytest.mark.parametrize("batch", [None, 1, 2, 5])
def test_any_batch_gives_the_logits_of_the_network(graph, tmp_path, images, batch):
    net, exported = graph
    fixed = copy.deepcopy(exported)
    if batch:
        del fixed.graph.value_info[:]
        for entry in (*fixed.graph.input, *fixed.graph.output):
            entry.type.tensor_type.shape.dim[0].dim_value = batch
    onnx.save(fixed, tmp_path / "net.onnx")
    classifier = load_model(f"onnx:{tmp_path}/net.onnx?mean=0.5&std=0.25")
    with torch.no_grad():
        expected = net((images - 0.5) / 0.25)
    assert torch.allclose(classifier(images), expected, atol=1e-5)
    assert classifier.net.batch == batch
    assert (classifier.input_size, classifier.view.channels) == ((28, 28), 1)
    check_model(classifier, images)


def test_channels_last_and_half_precision(tmp_path, photos):
    path = pool(tmp_path, [None, 32, 32, 3], TensorProto.FLOAT16, axes=(1, 2))
    found = load_model(f"onnx:{path}")(photos)
    assert found.dtype == torch.float32
    assert torch.allclose(found, photos.mean((2, 3)), atol=2e-3)


def test_it_is_a_black_box(tmp_path, photos):
    classifier = load_model(f"onnx:{pool(tmp_path, ['n', 3, 32, 32])}")
    points = photos.clone().requires_grad_(True)
    with evaluating(classifier), pytest.raises(ModelError, match="gives no gradients"):
        Oracle(classifier).gradient(classifier(points).sum(1), points)


def test_copies_and_pickles_answer_alike(tmp_path, photos):
    classifier = load_model(f"onnx:{pool(tmp_path, ['n', 3, 32, 32])}")
    for other in (copy.deepcopy(classifier), pickle.loads(pickle.dumps(classifier))):
        assert torch.equal(other(photos), classifier(photos))
        assert fingerprint(other) == fingerprint(classifier)


def test_the_file_is_the_fingerprint(tmp_path):
    one = fingerprint(load_model(f"onnx:{pool(tmp_path, ['n', 3, 32, 32])}"))
    assert fingerprint(load_model(f"onnx:{pool(tmp_path, ['n', 3, 32, 32])}")) == one
    assert fingerprint(load_model(f"onnx:{pool(tmp_path, ['n', 3, 16, 16])}")) != one


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"shape": ["n", 3], "axes": (1,)},
            r"input 'x0' is tensor\(float\) \['n', 3\]; a float \[N, C, H, W\] is expected",
        ),
        ({"shape": ["n", 3, 8, 8], "kind": TensorProto.INT32}, r"input 'x0' is tensor\(int32\)"),
        ({"shape": ["n", 3, 8, 8], "inputs": 2}, r"has 2 inputs \(x0, x1\); one image input is expected"),
    ],
)
def test_other_graphs_are_refused(tmp_path, options, message):
    with pytest.raises(ModelError, match=message):
        load_model(f"onnx:{pool(tmp_path, **options)}")


def test_no_graph(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"\x00\x01\x02")
    with pytest.raises(ModelError, match="is not an ONNX graph that onnxruntime can run"):
        load_model(f"onnx:{tmp_path}/net.onnx")
    (tmp_path / "net.onnx").write_text("<html>")
    with pytest.raises(ModelError, match="is an HTML page"):
        load_model(f"onnx:{tmp_path}/net.onnx")


def test_a_wrong_size_is_named(tmp_path, photos):
    classifier = load_model(f"onnx:{pool(tmp_path, ['n', 3, 16, 16])}")
    with pytest.raises(ModelError, match=r"fails on images of shape \(2, 3, 32, 32\)"):
        classifier(photos)


def test_a_loop_without_end_is_stopped(tmp_path, monkeypatch):
    """`while True: pass`, then the mean of each channel."""
    true = helper.make_tensor("t", TensorProto.BOOL, [], [True])
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["again"]), helper.make_node("Identity", ["v"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("again", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, None),
        ],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Loop", ["", "t", "x"], ["same"], body=body),
            helper.make_node("ReduceMean", ["same", "axes"], ["y"], keepdims=0),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [true, helper.make_tensor("axes", TensorProto.INT64, [2], (2, 3))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "endless.onnx")
    monkeypatch.setattr(from_onnx, "PATIENCE", 0.5)
    classifier = load_model(f"onnx:{tmp_path}/endless.onnx")
    with pytest.raises(ModelError, match=r"has a loop and gave no answer within 0.5 s"):
        classifier(torch.rand(1, 3, 8, 8))


@pytest.mark.parametrize("name", ["weights.bin", "net.onnx_data", "w" * 200 + ".bin"])
def test_weights_beside_the_graph_are_in_the_fingerprint(name, tmp_path):
    """Two graphs that differ only in a file of weights, whatever it is called, are two models."""
    torch.manual_seed(0)
    weights = torch.randn(4, 3, 32, 32)
    tensor = numpy_helper.from_array(weights.numpy(), "w")
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    pool = helper.make_node("GlobalAveragePool", ["y"], ["z"])
    flat = helper.make_node("Flatten", ["z"], ["logits"])
    images = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 32, 32])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 4])
    model = helper.make_model(
        helper.make_graph([node, pool, flat], "net", [images], [logits], [tensor]),
        opset_imports=[helper.make_opsetid("", 17)], ir_version=9,
    )  # fmt: skip
    onnx.save_model(model, tmp_path / "net.onnx", save_as_external_data=True, location=name, size_threshold=0)
    before = fingerprint(load_model(f"onnx:{tmp_path / 'net.onnx'}"))
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[::-1])
    assert fingerprint(load_model(f"onnx:{tmp_path / 'net.onnx'}")) != before
