"""Which kernels are read: counts, grouped and transposed layers, and weights that are made of others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import parametrizations, prune, weight_norm
from torch.nn.utils import spectral_norm as older_spectral_norm
from torchvision.models import resnet18

from unshaken.core.errors import ModelError
from unshaken.explain.filters.kernels import conv_layers, layers_of_size
from unshaken.explain.filters.weight_files import filters_of_weights, read_filters

X = torch.ones(1, 4, 5, 5)


def fresh(**options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Conv2d(4, 6, 3, **options)


def test_counts_of_filters():
    with torch.device("meta"):
        nets = nn.Sequential(nn.Conv2d(64, 128, 3), nn.Conv2d(32, 32, 3, groups=32)), resnet18()
    layers = conv_layers(nets[0].to_empty(device="cpu"))
    assert [len(x.filters) for x in layers] == [8192, 32]
    assert [x.depthwise for x in layers] == [False, True]
    resnet = conv_layers(nets[1].to_empty(device="cpu"))
    assert len(layers_of_size(resnet, 3, name="resnet18")) == 16
    assert [x.name for x in layers_of_size(resnet, 7, name="resnet18")] == ["conv1"]
    assert len(layers_of_size(resnet, 1, name="resnet18")) == 3
    assert [x.depth for x in resnet] == [i / 20 for i in range(20)]


def test_a_filter_is_a_kernel_row_by_row():
    conv = nn.Conv2d(1, 2, 3)
    conv.weight.data = torch.arange(18.0).reshape(2, 1, 3, 3)
    assert conv_layers(conv)[0].filters.tolist() == [list(range(9)), list(range(9, 18))]


def test_rows_of_a_transposed_convolution_are_its_outputs():
    conv = nn.ConvTranspose2d(4, 6, 3, groups=2)
    layer = conv_layers(conv)[0]
    assert layer.weight.shape == (6, 2, 3, 3)
    with torch.no_grad():  # output channel 4 is the second one of the second group, which reads inputs 2 and 3
        assert np.array_equal(layer.weight[4, 1], conv.weight[3, 1].double().numpy())


def effective(net):
    """The weight that a forward pass uses, from what it answers to single pixels."""
    shown = torch.eye(36).reshape(36, 4, 3, 3)
    with torch.no_grad():
        found = net.eval()(shown) - net(torch.zeros(1, 4, 3, 3))
    return found.reshape(36, 6).T.reshape(6, 4, 3, 3).double().numpy()


@pytest.mark.filterwarnings("ignore:.*weight_norm.*")
@pytest.mark.parametrize(
    "change",
    [
        lambda c: c,
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
        weight_norm,
        older_spectral_norm,
        lambda c: prune.l1_unstructured(c, "weight", 0.4),
    ],
)
def test_weights_made_of_others_are_those_of_the_forward_pass(change):
    net = change(fresh())
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(1.5)  # what older hooks keep is stale now
    before = {k: v.clone() for k, v in net.state_dict().items()}
    training = net.training
    weight = conv_layers(net)[0].weight
    assert net.training == training
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert np.allclose(weight, effective(net), atol=1e-6)
    from_file = filters_of_weights(net.state_dict())
    assert [x.name for x in from_file] == [""]
    assert np.allclose(from_file[0].weight, weight, atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*quantized tensor creation:UserWarning")
def test_quantised_weights_are_numbers_again():
    net = torch.ao.nn.quantized.Conv2d(4, 6, 3)
    net.set_weight_bias(torch.quantize_per_tensor(torch.randn(6, 4, 3, 3).round(), 0.5, 0, torch.qint8), None)
    assert np.array_equal(conv_layers(net)[0].weight, net.weight().dequantize().double().numpy())


def test_half_precision_is_read():
    net = fresh().to(torch.bfloat16)
    assert np.array_equal(conv_layers(net)[0].weight, net.weight.detach().double().numpy())


def test_a_file_of_weights(tmp_path):
    net = nn.Sequential(fresh(), nn.BatchNorm2d(6), nn.Conv2d(6, 6, 3, groups=6), nn.Flatten(), nn.Linear(6, 2))
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    layers = read_filters(tmp_path / "net.safetensors")
    assert [(x.name, x.depthwise) for x in layers] == [("0", False), ("2", True)]
    assert np.array_equal(layers[0].weight, conv_layers(net)[0].weight)
    save_file({"a": torch.zeros(3)}, tmp_path / "none.safetensors")
    with pytest.raises(ModelError, match="no weights of convolutions"):
        read_filters(tmp_path / "none.safetensors")


def test_an_onnx_file_has_the_same_kernels(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from unshaken.models import load_model

    weight, up = (np.random.default_rng(i).standard_normal((4, 2, 3, 3)).astype(np.float32) for i in (0, 1))
    whole = np.round(3 * weight).astype(np.int8)
    make = onnx.helper.make_node
    nodes = [
        make("Conv", ["x", "w"], ["a"], name="first", group=2, pads=[1, 1, 1, 1]),
        make("ConvTranspose", ["a", "up"], ["b"], name="up", group=2),
        make("DequantizeLinear", ["q", "scale"], ["plain"], axis=0),
        make("Conv", ["b", "plain"], ["c"], name="quantised", group=2),
        make("Flatten", ["c"], ["y"]),
    ]
    scale = np.array([0.5, 1, 2, 4], np.float32)
    constants = {"w": weight, "up": up, "q": whole, "scale": scale}
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes, "net", [value("x", 1, [1, 4, 6, 6])], [value("y", 1, [1, None])],
        [onnx.numpy_helper.from_array(v, k) for k, v in constants.items()],
    )  # fmt: skip
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "net.onnx")
    layers = conv_layers(load_model(f"onnx:{tmp_path}/net.onnx"))
    assert [x.name for x in layers] == ["first", "up", "quantised"]
    assert np.array_equal(layers[0].weight, weight)
    assert np.array_equal(layers[1].weight[2, 1], up[3, 0])  # output 2 is the first of the second group: inputs 2, 3
    assert np.array_equal(layers[2].weight, whole * scale.reshape(4, 1, 1, 1).astype(np.float64))


def test_no_such_kernels_is_one_clear_line():
    with pytest.raises(ModelError, match="has no convolution: there are no filters"):
        layers_of_size(conv_layers(nn.Linear(3, 2)), 3, name="line")
    with pytest.raises(ModelError, match=r"no convolution with 5 x 5 kernels; it has 3 x 3 \(1\): choose size"):
        layers_of_size(conv_layers(fresh()), 5, name="net")
