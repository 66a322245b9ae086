"""Layers as a parameter names them, and the images from which weights of layers are learned."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from unshaken.core.errors import DataError, ModelError
from unshaken.core.query import Answer, Features, Gradient
from unshaken.core.rng import SampleRng
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores._layered import fgsm_examples, named_layers


def test_layers_by_name(anatomy):
    assert named_layers(anatomy, "penultimate") == ("head:in",)
    assert named_layers(anatomy, "stages") == ("stem", "body", "head:in")
    assert named_layers(anatomy, "a+ b++a") == ("a", "b")
    headless = replace(anatomy, head=None)
    assert named_layers(headless, "stages") == ("stem", "body")
    with pytest.raises(ModelError, match="has no recognisable stages"):
        named_layers(replace(headless, stages=()), "stages")


def examples(anatomy, fooled, unsteady=0):
    """Seven images of class 0 as the model sees them: `fooled` of them by the step, the last ones by noise already."""
    ids, images = [str(i) for i in range(7)], torch.full((7, 1, 2, 2), 0.5)
    right, wrong = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0])
    forward = ForwardPass(
        anatomy, right.expand(7, 2), {"a": torch.arange(7.0)[:, None]}, images, SampleRng.of(0, "t", ids),
        torch.zeros(7, dtype=torch.int64),
    )  # fmt: skip
    asked = fgsm_examples(forward, ["a"], 0.1, "lid")
    query = next(asked)
    assert isinstance(query, Gradient)
    gradient = torch.tensor([-3.0, 0.0, 2.0, 1e-9]).view(2, 2).expand(7, 1, 2, 2)
    moved = asked.send(Answer(gradient=gradient))
    assert isinstance(moved, Features)
    assert moved.points[0].flatten().tolist() == pytest.approx([0.4, 0.5, 0.6, 0.6])
    logits = torch.stack([wrong if i < fooled else right for i in range(7)])
    noisy = asked.send(Answer(logits=logits, features={"a": torch.ones(7, 1)}))
    assert 0.05 < float((noisy.points - 0.5).std()) < 0.2
    steady = torch.stack([wrong if i >= 7 - unsteady else right for i in range(7)])
    with pytest.raises(StopIteration) as stop:
        asked.send(Answer(logits=steady, features={"a": torch.zeros(7, 1)}))
    return stop.value.value


def test_images_serve_that_the_step_alone_turns(anatomy):
    clean, noisy, moved = examples(anatomy, 6, unsteady=2)
    assert clean.features["a"].flatten().tolist() == [0, 1, 2, 3, 4]
    assert (len(noisy), len(moved)) == (5, 5)
    assert moved.features["a"].flatten().tolist() == [1] * 5
    assert clean.labels.tolist() == [0] * 5


def test_fewer_than_five_are_too_few(anatomy):
    with pytest.raises(DataError, match="lid: only 4 of 7 held-out images are classified rightly and fooled"):
        examples(anatomy, 4)
