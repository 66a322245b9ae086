"""A plain function of images is a black box; what it may not return gets one line."""

import copy

import numpy as np
import pytest
import torch

import unshaken
from unshaken.core.errors import ModelError, ParameterError, UnshakenError
from unshaken.models import as_classifier, fingerprint, from_function, load_model

SOURCE = """
import numpy as np
from torch import nn

def scores(images):
    assert isinstance(images, np.ndarray) and images.dtype == np.float32
    return images.reshape(len(images), -1)[:, :3] * 2

def shares(images):
    raw = np.exp(scores(images))
    return raw / raw.sum(1, keepdims=True)

def labels(images):
    return scores(images).argmax(1)

def last(images):
    return images[:, 0, 0]

def writes(images):
    images *= 0
    return [[0, 1, 2]] * len(images)

def build():
    return nn.Flatten()

net = nn.Flatten()
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "own.py").write_text(SOURCE)
    return tmp_path / "own.py"


def test_output_says_that_it_is_a_function_and_what_it_returns(file, images):
    expected = images.flatten(1)[:, :3] * 2
    model = load_model(f"py:{file}:scores?output=logits&mean=0&std=1/255")
    torch.testing.assert_close(model(images), expected * 255)
    assert not model.differentiable
    assert torch.equal(load_model(f"py:{file}:scores?output=logits")(images), expected)
    shares = load_model(f"py:{file}:shares?output=probabilities")
    torch.testing.assert_close(shares(images).softmax(1), expected.softmax(1))
    labels = load_model(f"py:{file}:labels?output=labels&classes=3")
    assert torch.equal(labels(images), torch.eye(3)[expected.argmax(1)])
    assert labels.labels_only
    assert not model.labels_only


def test_the_channels_come_last_on_demand_and_the_callers_images_stay(file):
    photos = torch.rand(2, 3, 4, 5)
    last = load_model(f"py:{file}:last?output=logits&layout=NHWC")
    assert torch.equal(last(photos), photos[:, :, 0, 0])
    before = photos.clone()
    load_model(f"py:{file}:writes?output=logits")(photos)
    assert torch.equal(photos, before)


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        ("scores", r"raised TypeError.*; for a function of images write py:.*:scores\?output=logits"),
        ("scores?layout=NHWC", "layout is of a function of images, and needs output=logits too"),
        ("build?output=logits", "cannot be called with images alone; for a factory of a net leave output out"),
        ("net?output=logits", "is no function of images, but of type Flatten"),
        ("scores?output=logit", "no output 'logit'; did you mean 'logits'"),
        ("scores?output=logits&layout=CHW", "no layout 'CHW'; did you mean 'NCHW'"),
        ("scores?output=logits&task=detection", "output and task exclude each other"),
        ("labels?output=labels", "say how many classes there are by classes=K"),
        ("scores?output=logits&classes=1", "the minimum is 2"),
        ("score?output=logits", "no callable 'score' in .*; did you mean 'scores'"),
    ],
)
def test_a_factory_is_never_taken_for_a_function_nor_a_function_for_a_factory(file, tail, message):
    with pytest.raises(UnshakenError, match=message) as caught:
        load_model(f"py:{file}:{tail}")
    assert "\n" not in str(caught.value)


def raises(images):
    raise ValueError("no such width\nsecond line")


@pytest.mark.parametrize(
    ("function", "output", "message"),
    [
        (raises, "logits", r"'raises' raised ValueError on images of shape \(2, 1, 28, 28\): no such width$"),
        (lambda x: x, "logits", r"has the shape \[2, 1, 28, 28\] for 2 images: \[N, K\] is expected"),
        (lambda x: x[:1, 0, 0], "logits", r"has the shape \[1, 28\] for 2 images"),
        (lambda x: np.arange(2), "logits", "for a label an image give output=labels"),
        (lambda x: np.arange(8.0), "logits", r"has the shape \[8\] for 2 images"),
        (lambda x: np.full((2, 3), np.nan), "logits", "NaN or infinite"),
        (lambda x: {"scores": 1}, "logits", "is of type dict, no array of numbers"),
        (lambda x: None, "logits", "is of type NoneType, no array of numbers"),
        (lambda x: np.ones((2, 3)) * 1j, "logits", "no array of numbers"),
        (lambda x: np.full((2, 3), -0.5), "probabilities", "output=logits is meant"),
        (lambda x: np.full(2, 7), "labels", "the label 7, which is none of 0 to 2"),
        (lambda x: np.zeros((2, 4)), "logits", "has 4 scores an image, but the model has 3 classes"),
        (lambda x: np.array([[0.1, 0.2, 0.7]] * 2), None, "looks like probabilities, and nothing says what it is"),
    ],
)
def test_a_bad_answer_gets_one_clear_line(images, function, output, message):
    model = from_function(function, output=output, classes=3 if output else ())
    with pytest.raises(ModelError, match=message) as caught:
        model(images[:2])
    assert "\n" not in str(caught.value)


def test_tensors_and_lists_are_read_too(images):
    expected = images.flatten(1)[:, :2]
    for answer in (expected.bfloat16(), expected.clone().requires_grad_(), expected.tolist()):
        found = from_function(lambda x, answer=answer: answer, output="logits")(images)
        torch.testing.assert_close(found, torch.as_tensor(answer).detach().float())


def test_another_code_or_revision_is_another_model(file):
    spec = f"py:{file}:scores?output=logits"
    same = fingerprint(load_model(spec))
    assert fingerprint(load_model(spec)) == same
    others = {fingerprint(load_model(f"{spec}&{more}")) for more in ("revision=b", "layout=NHWC")}
    others |= {fingerprint(load_model(f"py:{file}:{tail}")) for tail in ("last?output=logits", "build")}
    file.write_text(SOURCE.replace("* 2", "* 3"))
    others.add(fingerprint(load_model(spec)))
    assert len(others - {same}) == 5
    one, other = (from_function(f) for f in (raises, lambda x: x))
    assert fingerprint(one) == fingerprint(copy.deepcopy(from_function(raises)))
    assert len({fingerprint(m) for m in (one, other, from_function(raises, revision="b"))}) == 3


@pytest.mark.parametrize("thing", [3, torch.nn.Flatten, None])
def test_what_is_no_function(thing):
    with pytest.raises(ModelError, match="a SPEC such as 'demo', a torch module or a function of images"):
        as_classifier(thing)


def test_an_audit_asks_a_function_and_refuses_what_needs_gradients(tmp_path):
    images = torch.randint(256, (12, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    labels = torch.arange(12) % 3

    def predict(images):
        return images.reshape(len(images), -1)[:, :3]

    plan = [
        {"method": "contrast", "severities": [3]},
        {"method": "square", "params": {"queries": 2}, "norm": "linf", "eps": [0.1]},
    ]
    options = {"save_examples": 0, "device": "cpu"}
    found = unshaken.audit(predict, (images, labels), plan, out=tmp_path / "run", **options)
    expected = (images.flatten(1)[:, :3].argmax(1) == labels).float().mean()
    assert found.summary["clean"]["value"] == pytest.approx(float(expected))
    assert "train-mode" not in {flag["name"] for flag in found.summary["flags"]}
    assert {c["method"] for c in found.summary["conditions"]} >= {"contrast", "square"}
    refused = [{"method": "pgd", "eps": [0.1], "norm": "linf"}]
    with pytest.raises(ParameterError, match="gives no gradients"):
        unshaken.audit(predict, (images, labels), refused, out=tmp_path / "refused", **options)


def test_detectors_by_outputs_take_a_function():
    model = from_function(lambda x: x.reshape(len(x), -1)[:, :3], output="logits")
    images = torch.randint(256, (24, 1, 8, 8), dtype=torch.uint8)
    found = unshaken.detect.fit(model, (images, torch.arange(24) % 3), ["msp"])
    assert found.decide(images / 255, accept=0.9)["msp"].shape == (24,)
