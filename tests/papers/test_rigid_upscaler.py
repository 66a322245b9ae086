"""The super-resolution network: its shapes and sum by hand, and the package's files."""

import json

import numpy as np
import pytest
import torch

from unshaken.core.errors import ModelError
from unshaken_papers.rigid.upscaler import LAYERS, PACKAGE, Upscaler, find_upscaler, load_upscaler


def make_package(folder, rng=None):
    """Writes an npm package of the same form, its kernels drawn or zero, its biases counted up."""
    weights, data = [], []
    for i, (name, (a, b, k)) in enumerate(LAYERS.items()):
        kernel = np.zeros((k, k, a, b)) if rng is None else rng.normal(0, 0.1, (k, k, a, b))
        for kind, values in (("kernel", kernel), ("bias", np.full(b, i))):
            weights.append({"name": f"{name}/{kind}", "shape": list(values.shape), "dtype": "float32"})
            data.append(values.astype("<f4").tobytes())
    place = folder / PACKAGE / "models"
    place.mkdir(parents=True)
    manifest = [{"paths": ["group1-shard1of1.bin"], "weights": weights}]
    (place / "model.json").write_text(json.dumps({"weightsManifest": manifest}))
    (place / "group1-shard1of1.bin").write_bytes(b"".join(data))
    return folder / PACKAGE


def test_weights_of_the_package_reach_their_layers(tmp_path):
    model = load_upscaler(make_package(tmp_path, np.random.default_rng(0)))
    data = np.random.default_rng(0).normal(0, 0.1, (3, 3, 3, 64))  # the first kernel drawn
    weight = model.layers["F_m1"].weight
    assert weight[5, 2, 0, 1].item() == pytest.approx(data[0, 1, 2, 5])
    assert {float(layer.bias[0]) for layer in model.layers.values()} == set(range(len(LAYERS)))
    assert not model.training


def test_an_image_is_doubled_and_redrawn(tmp_path):
    model = load_upscaler(make_package(tmp_path))
    images = torch.rand(9, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    last = len(LAYERS) - 1  # kernels of zero: the bias of the last layer alone is left
    assert torch.equal(model(images), torch.full((9, 3, 16, 24), last / 255))
    assert model.redraw(images).shape == images.shape


def test_the_sum_of_all_paths_by_hand():
    """On one grey pixel with kernels that pass one channel on, every skip adds its part."""
    model = Upscaler()
    with torch.no_grad():
        for name, layer in model.layers.items():
            layer.weight.zero_(), layer.bias.zero_()
            layer.weight[0, 0, layer.kernel_size[0] // 2, layer.kernel_size[0] // 2] = 1
            if name == "GFF_1":
                layer.weight[0, 64, 0, 0] = 1  # the second block's channel too
    value = 255 * 0.5
    blocks = 2 * value + 4 * value  # each block doubles its input: x + LFF(x)
    found = model(torch.full((1, 3, 1, 1), 0.5))[0, 0]
    assert found.flatten().tolist() == pytest.approx([(value + blocks) / 255] * 4)


def test_a_package_is_found_where_npm_puts_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NODE_PATH", str(tmp_path / "elsewhere"))
    monkeypatch.setattr("unshaken.data.named.GLOBAL", ())
    assert find_upscaler() is None
    made = make_package(tmp_path / "elsewhere")
    assert find_upscaler() == made


def test_another_network_is_refused(tmp_path):
    folder = make_package(tmp_path)
    file = folder / "models" / "group1-shard1of1.bin"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(ModelError, match=r"npm install @upscalerjs/default-model@1\.0\.0"):
        load_upscaler(folder)
