"""`run:DIR`: what `save_model` writes comes back, and nothing in the directory runs."""

import json

import pytest
import torch

from unshaken.core.classifier import Classifier, View
from unshaken.core.errors import ModelError, ParameterError
from unshaken.models import fingerprint, load_model, save_model


@pytest.fixture
def classifier(small):
    return Classifier(
        small,
        mean=[0.3],
        std=[0.2],
        classes=list("abcde"),
        view=View(28, 28, 32, "bicubic", 1, "letterbox"),
        name="hardened",
    )


def test_a_saved_model_comes_back_whole(classifier, tmp_path, images):
    save_model(classifier, tmp_path / "run", arch="small")
    found = load_model(f"run:{tmp_path}/run")
    assert torch.equal(found(images), classifier(images))
    assert (found.classes, found.view) == (classifier.classes, classifier.view)
    assert found.view.fit == "letterbox"
    assert fingerprint(found) == fingerprint(classifier)
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["model.json", "model.safetensors"]


def test_the_shape_of_model_json(classifier, tmp_path):
    save_model(classifier, tmp_path, arch="small")
    record = json.loads((tmp_path / "model.json").read_text())
    assert record["arch"] == "small"
    assert record["options"]["classes"] == list("abcde")
    assert record["options"]["view"]["resize"] == 32


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("{", ModelError, r"model\.json is damaged"),
        ("{}", ModelError, r"arch: Field required"),
        ('{"arch": "small", "options": {"means": 1}}', ModelError, "options.means: Extra inputs"),
        ('{"arch": "smal"}', ParameterError, "no architecture 'smal'; did you mean 'small'"),
        ('{"arch": "py:evil.py:make"}', ModelError, r"which loading would execute: allow it.*net=py:evil\.py:make'"),
    ],
)
def test_a_damaged_record(classifier, tmp_path, text, error, message):
    save_model(classifier, tmp_path, arch="small")
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(error, match=message):
        load_model(f"run:{tmp_path}")
