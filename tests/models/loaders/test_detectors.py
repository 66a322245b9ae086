"""Detectors of torchvision, transformers and the user's own, against what they give by themselves."""

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models
from torchvision.models.detection import FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign
from transformers import (
    DetrImageProcessor,
    YolosConfig,
    YolosForObjectDetection,
    YolosImageProcessor,
)

from unshaken.core.errors import ModelError, ParameterError
from unshaken.models import check_model, fingerprint, load_model
from unshaken.models.class_names import coco_classes
from unshaken.models.loaders.from_transformers import QueryDetector
from unshaken.models.networks.box_output import BoxOutput
from unshaken.models.networks.torchvision_detectors import list_detectors

SSD = "ssdlite320_mobilenet_v3_large"


def joined(one):
    """What torchvision returns, as rows by falling score."""
    order = one["scores"].argsort(descending=True, stable=True)
    return torch.cat([one["boxes"], one["labels"][:, None], one["scores"][:, None]], 1)[order]


def rows_of(detections):
    return detections[detections[:, 4] >= 0]


@pytest.fixture
def scenes():
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def small(kind, labels=4):
    """A tiny detector of torchvision's classes with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        backbone = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 4, 1), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3, 2, 1))
        backbone.out_channels = 8
        anchors = AnchorGenerator(((16, 32),), ((1.0,),))
        sizes = {"min_size": 64, "max_size": 64}
        if kind == "faster-rcnn":
            net = FasterRCNN(
                backbone, labels, rpn_anchor_generator=anchors, box_roi_pool=MultiScaleRoIAlign(["0"], 2, 1),
                rpn_post_nms_top_n_test=20, box_score_thresh=0.0, **sizes,
            )  # fmt: skip
        else:
            net = RetinaNet(backbone, labels, anchor_generator=anchors, score_thresh=0.0, **sizes)
    return net.eval()


def own(tmp_path, body):
    (tmp_path / "own.py").write_text("import torch\n" + body)
    return f"py:{tmp_path}/own.py:make"


@pytest.mark.parametrize("kind", ["faster-rcnn", "retinanet"])
def test_a_detector_of_torchvisions_classes_is_known_by_its_class(kind, tmp_path, scenes):
    body = f"from tests.models.loaders.test_detectors import small\n\ndef make():\n    return small({kind!r})\n"
    model = load_model(own(tmp_path, body))
    points = scenes.clone().requires_grad_()
    detections = model(points)
    for found, one in zip(detections, small(kind)(scenes), strict=True):
        expected = joined(one)
        expected = expected[expected[:, 4] > 0][:100]  # label 0 is the background
        expected[:, 4] -= 1
        assert torch.allclose(rows_of(found)[: len(expected)], expected, atol=1e-4)
        assert len(rows_of(found)) == len(expected) > 0
    detections[..., 5].sum().backward()
    assert points.grad.abs().sum() > 0
    assert model.task == "detection"
    check_model(model, scenes)


DICTS = """
class Net(torch.nn.Module):
    def forward(self, images):
        return [{"boxes": torch.tensor([[1.0, 2, 3, 4]]), "labels": torch.tensor([1]), "scores": x.mean()[None]} for x in images]


def make():
    return Net()
"""  # noqa: E501  # of the user's file


def test_any_net_with_the_option_task(tmp_path, scenes):
    spec = own(tmp_path, DICTS)
    model = load_model(f"{spec}?task=detection&classes=2")
    assert torch.allclose(rows_of(model(scenes)[0])[0], torch.tensor([1.0, 2, 3, 4, 1, scenes[0].mean()]))
    check_model(model, scenes)
    with pytest.raises(ModelError, match="must return logits"):
        check_model(load_model(spec), scenes)
    with pytest.raises(ParameterError, match="there is no task 'detect'; did you mean 'detection'"):
        load_model(f"{spec}?task=detect")


def test_the_option_task_leaves_a_box_output_as_it_is(tmp_path, scenes):
    body = "from unshaken.models.networks.box_output import BoxOutput\n" + DICTS.replace("Net()", "BoxOutput(Net())")
    model = load_model(f"{own(tmp_path, body)}?task=detection")
    assert not isinstance(model.net.net, BoxOutput)
    assert model(scenes).shape == (2, 100, 6)


def test_a_classifier_with_the_option_task_is_told(tmp_path, scenes):
    spec = own(tmp_path, "def make():\n    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12288, 5))\n")
    with pytest.raises(
        ModelError, match=r"must return for each image a dict of boxes .* not a Tensor of shape \(2, 5\)"
    ):
        check_model(load_model(f"{spec}?task=detection"), scenes)


def test_a_label_beyond_those_that_are_numbered_is_told(scenes):
    class Net(torch.nn.Module):
        def forward(self, images):
            return [{"boxes": torch.ones(1, 4), "labels": torch.tensor([7]), "scores": torch.ones(1)}] * len(images)

    with pytest.raises(ModelError, match="a label that is not one of 0 to 3"):
        BoxOutput(Net(), numbers=[-1, 0, 1, 2])(scenes)


def test_every_detector_of_torchvision_is_listed():
    assert {"fasterrcnn_resnet50_fpn", "retinanet_resnet50_fpn", "fcos_resnet50_fpn", "ssd300_vgg16",
            "maskrcnn_resnet50_fpn", SSD} <= set(list_detectors())  # fmt: skip


def test_torchvision_by_name_with_cocos_classes():
    model = load_model(f"torchvision:{SSD}?weights=none")
    assert (model.classes, model.input_size, model.view.fit, model.mean) == (coco_classes(), (320, 320), "whole", None)
    image = torch.rand(1, 3, 320, 320, generator=torch.Generator().manual_seed(0))
    expected = joined(model.net.net(image)[0])
    named = [label for label in expected[:, 4].tolist() if model.net.numbers[int(label)] >= 0]
    names = models.detection.SSDLite320_MobileNet_V3_Large_Weights.DEFAULT.meta["categories"]
    found = rows_of(model(image)[0])
    assert [model.classes[int(k)] for k in found[:, 4]] == [names[int(label)] for label in named][:100]
    assert found[:, 5].min() >= 0.01


def test_torchvision_with_weights_of_a_file(tmp_path):
    peer = models.get_model(SSD, weights=None, weights_backbone=None, num_classes=5).eval()
    save_file(peer.state_dict(), tmp_path / "w.safetensors")
    (tmp_path / "names.txt").write_text("a\nb\nc\nd\n")
    model = load_model(f"torchvision:{SSD}?weights={tmp_path}/w.safetensors&classes={tmp_path}/names.txt")
    state = model.net.net.state_dict()
    assert all(torch.equal(state[key], value) for key, value in peer.state_dict().items())
    assert (model.classes, model.net.numbers.tolist()) == (("a", "b", "c", "d"), [-1, 0, 1, 2, 3])
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(ModelError, match=r"does not fit SSD: .* keys missing"):
        load_model(f"torchvision:{SSD}?weights={tmp_path}/x.safetensors")


def test_published_weights_are_not_fetched_unasked(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ModelError, match="run again with --download"):
        load_model(f"torchvision:{SSD}")
    with pytest.raises(ParameterError, match="has no weights 'X'"):
        load_model(f"torchvision:{SSD}@X")
    with pytest.raises(ParameterError, match="did you mean 'fasterrcnn_resnet50_fpn'"):
        load_model("torchvision:fasterrcn_resnet50_fpn")


LABELS, NAMED = {0: "N/A", 1: "person", 2: "car"}, ("person", "car")


def yolos(folder):
    peer = YolosForObjectDetection(YolosConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=[64, 64],
        patch_size=16, num_detection_tokens=7, id2label=LABELS, use_mid_position_embeddings=False,
    ))  # fmt: skip
    peer.eval().save_pretrained(folder)
    YolosImageProcessor(size={"shortest_edge": 64, "longest_edge": 128}).save_pretrained(folder)
    return peer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("yolos")
    with torch.random.fork_rng():
        torch.manual_seed(4)
        yolos(place)
    return place


def test_transformers_by_its_own_processor(folder, scenes):
    model = load_model(f"hf:{folder}")
    assert (model.task, model.classes, model.input_size, model.view.fit) == ("detection", NAMED, (64, 64), "whole")
    look = json.loads((folder / "preprocessor_config.json").read_text())
    mean, std = (torch.tensor(look[key]).view(3, 1, 1) for key in ("image_mean", "image_std"))
    peer = YolosForObjectDetection.from_pretrained(folder).eval()
    outputs = peer(pixel_values=(scenes - mean) / std)
    expected = DetrImageProcessor().post_process_object_detection(outputs, 0.0, [(64, 64)] * 2)
    for found, one in zip(model(scenes), expected, strict=True):
        rows = joined(one)
        rows = rows[rows[:, 4] > 0]  # N/A is no class
        rows[:, 4] -= 1
        assert torch.allclose(rows_of(found), rows, atol=1e-4)
    check_model(model, scenes)
    assert len(fingerprint(model)) == 64


def test_gradients_pass_through_transformers(folder, scenes):
    points = scenes.clone().requires_grad_()
    load_model(f"hf:{folder}")(points)[..., 5].sum().backward()
    assert points.grad.abs().sum() > 0


def test_a_probability_for_each_label(scenes):
    logits = torch.tensor([[[3.0, -1], [0, 2]]])
    boxes = torch.tensor([[[0.5, 0.5, 0.5, 0.5], [0.25, 0.25, 0.5, 0.25]]])

    class Model(torch.nn.Module):
        def forward(self, pixel_values):
            return SimpleNamespace(logits=logits, pred_boxes=boxes)

    (one,) = QueryDetector(Model(), 2)(scenes[:1])
    assert torch.allclose(one["scores"], torch.tensor([3.0, 2, 0, -1]).sigmoid())
    assert one["labels"].tolist() == [0, 1, 0, 1]
    assert one["boxes"][1].tolist() == [0, 8, 32, 24]
    with pytest.raises(ModelError, match="a detector of 5 labels gives 2 logits a query"):
        QueryDetector(Model(), 5)(scenes[:1])


def test_damaged_configurations(folder, tmp_path):
    (tmp_path / "config.json").write_text("[" * 10_000)
    with pytest.raises(ModelError, match=r"config.json is damaged"):
        load_model(f"hf:{tmp_path}")
