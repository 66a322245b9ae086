"""`tfjs:` on graphs made by the test: decoders by hand, gradients, and what is refused."""

import numpy as np
import pytest
import torch

from tests.models.tfjs.graphs import Graph, whole, window
from unshaken.core.errors import ModelError, ParameterError
from unshaken.models import check_model, fingerprint, load_model
from unshaken.models.networks.centernet import find_peaks
from unshaken.models.networks.nanodet import decode_distances

CLASSES, BINS = 3, 3


def nanodet(side=16):
    """A NanoDet of one feature map of stride 8: class 1 where the image is blue, every distance 1 stride."""
    graph = Graph(1, 3, side, side)
    graph.add("last", "Transpose", "image", graph.whole("p", [0, 2, 3, 1]))
    graph.add("low", "MaxPool", "last", ksize=whole(1, 8, 8, 1), **window(8, "VALID"))
    head = np.zeros((1, 1, 3, CLASSES), np.float32)
    head[0, 0, 0, 1] = 2.0  # channel 0 is blue, for the graph is given BGR
    graph.add("c", "_FusedConv2D", "low", graph.const("head", head), **window())
    graph.add("s", "Sigmoid", "c")
    sides = np.zeros((1, 1, 3, 4 * BINS), np.float32)
    bias = np.tile([-30.0, 30.0, -30.0], 4)
    graph.add("d", "Conv2D", "low", graph.const("sides", sides), **window())
    graph.add("b", "BiasAdd", "d", graph.const("bias", bias))
    places = (side // 8) ** 2
    graph.add("out", "Reshape", "s", graph.whole("n", [1, places, CLASSES]))
    graph.add("out_1", "Reshape", "b", graph.whole("m", [1, places, 4 * BINS]))
    graph.output("out_1", 1, places, 4 * BINS)
    graph.output("out", 1, places, CLASSES)
    return graph


def centernet(side=16):
    """A CenterNet of stride 4: class 0 where the image is red, each box 3 pixels to the left and top, 5 beyond."""
    graph = Graph(1, side, side, 3)
    graph.add("low", "MaxPool", "image", ksize=whole(1, 4, 4, 1), **window(4, "VALID"))
    red = np.zeros((1, 1, 3, 2), np.float32)
    red[0, 0, 0, 0] = 1 / 255
    graph.add("heat", "Conv2D", "low", graph.const("red", red), **window())
    graph.add("none", "Conv2D", "low", graph.const("zero", np.zeros((1, 1, 3, 4))), **window())
    graph.add("sides", "Add", "none", graph.const("s", [3.0, 3, 5, 5]))
    graph.output("sides", 1, side // 4, side // 4, 4)
    graph.output("heat", 1, side // 4, side // 4, 2)
    return graph


def found(detections):
    return [row for row in detections.tolist() if row[4] >= 0]


def test_nanodet_finds_what_is_blue_at_its_place(tmp_path):
    model = load_model(f"tfjs:{nanodet().write(tmp_path)}?decoder=nanodet&mean=0&std=1")
    images = torch.zeros(2, 3, 16, 16)
    images[1, 2, 8:, :8] = 3.0
    one, other = (found(part) for part in model(images))
    # A distance of one stride to each side of (4, 12), cut at the image's border; the other places score 0.5.
    assert other[0][:5] == pytest.approx([0, 4, 12, 16, 1], abs=1e-4)
    assert other[0][5] == pytest.approx(torch.tensor(6.0).sigmoid().item())
    assert {row[5] for row in one} == {0.5}
    assert (model.task, model.input_size, model.view.fit == "whole") == ("detection", (16, 16), True)
    check_model(model, images)


def test_nanodet_is_normalised_as_it_was_trained(tmp_path):
    model = load_model(f"tfjs:{nanodet().write(tmp_path)}?decoder=nanodet")
    best = model(torch.full((1, 3, 16, 16), 0.9))[0, 0, 5]
    assert best.item() == pytest.approx(torch.tensor(2 * (0.9 * 255 - 103.53) / 57.375).sigmoid().item())


def test_centernet_finds_peaks(tmp_path):
    model = load_model(f"tfjs:{centernet().write(tmp_path)}?decoder=centernet&classes=2")
    image = torch.zeros(1, 3, 16, 16)
    image[0, 0, 4, 9], image[0, 0, 4, 13], image[0, 0, 13, 0] = 0.9, 0.5, 0.25
    detections = model(image)
    # Places are 4 pixels apart; the one of 0.5 touches a higher one, and is no peak.
    assert np.allclose(found(detections[0]), [[5, 1, 13, 9, 0, 0.9], [0, 9, 5, 16, 0, 0.25]])
    assert model.classes == ("0", "1")


@pytest.mark.parametrize(("name", "make"), [("nanodet", nanodet), ("centernet", centernet)])
def test_gradients_of_scores_reach_the_images(name, make, tmp_path):
    model = load_model(f"tfjs:{make().write(tmp_path)}?decoder={name}")
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0), requires_grad=True)
    detections = model(images)
    detections[..., 5].sum().backward()
    assert (images.grad.flatten(1).abs().sum(1) > 0).all()


def test_expected_distances_by_hand():
    logits = torch.zeros(1, 4, 12)
    logits[..., :3] = torch.tensor([1.0, 2.0, 4.0]).log()  # to the left 0 x 1/7 + 1 x 2/7 + 2 x 4/7 = 10/7 strides
    boxes = decode_distances(logits, 4, 4, 2)[0]
    assert torch.allclose(boxes[3], torch.tensor([3 - 20 / 7, 1, 4, 4]))
    assert torch.allclose(boxes[0], torch.tensor([0.0, 0, 3, 3]))


def test_peaks_of_two_classes_by_hand():
    heat = torch.zeros(2, 4, 5)
    heat[0, 1, 1], heat[0, 1, 2], heat[1, 3, 4], heat[1, 0, 0] = 0.9, 0.8, 0.7, 0.3
    heights, labels, rows, columns = find_peaks(heat, 3)
    assert torch.allclose(heights, torch.tensor([0.9, 0.7, 0.3]))
    assert list(zip(labels.tolist(), rows.tolist(), columns.tolist(), strict=True)) == [(0, 1, 1), (1, 3, 4), (1, 0, 0)]


def test_the_graph_belongs_to_the_fingerprint(tmp_path):
    made = centernet()
    one = fingerprint(load_model(f"tfjs:{made.write(tmp_path)}?decoder=centernet"))
    made.outputs["heat:0"]["comment"] = "no weight has changed"
    assert fingerprint(load_model(f"tfjs:{made.write(tmp_path)}?decoder=centernet")) != one


@pytest.mark.parametrize(
    ("tail", "error", "reason"),
    [
        ("", ParameterError, "write tfjs:FILE.json.decoder=NAME"),
        ("?decoder=nanodett", ParameterError, "did you mean 'nanodet'"),
        ("?decoder=nanodet", ModelError, r"is no graph for decoder=nanodet: .* not sides \[1, 4, 4, 4\], heat"),
        ("?decoder=centernet&size=32", ModelError, "takes images of 3 x 16 x 16"),
        ("?decoder=centernet&decode=x", ParameterError, "has no option 'decode'"),
    ],
)
def test_wrong_options(tail, error, reason, tmp_path):
    path = centernet().write(tmp_path)
    with pytest.raises(error, match=reason):
        check_model(load_model(f"tfjs:{path}{tail}"), torch.zeros(1, 3, 32, 32))


def test_a_feature_map_that_is_none_of_the_image(tmp_path):
    made = nanodet()
    made.weights["n"][:], made.weights["m"][:] = [1, 2, 2 * CLASSES], [1, 2, 8 * BINS]
    with pytest.raises(ModelError, match="2 places are no feature map of an image of 16 x 16 pixels"):
        load_model(f"tfjs:{made.write(tmp_path)}?decoder=nanodet")
