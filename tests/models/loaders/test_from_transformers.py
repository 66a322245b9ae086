"""`hf:` against transformers itself, from folders written by it."""

import json

import pytest
import torch
from transformers import ViTConfig, ViTForImageClassification, ViTModel

from unshaken.core.errors import ModelError
from unshaken.models import check_model, load_model

SQUARE = {"height": 32, "width": 32}
PROCESSOR = {
    "image_processor_type": "ViTImageProcessor", "do_resize": True, "do_rescale": True, "rescale_factor": 1 / 255,
    "do_normalize": True, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.25, 0.5], "resample": 3,
    "size": {"height": 32, "width": 32},
}  # fmt: skip


def config():
    return ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=16,
        id2label={0: "cat", 1: "dog", 2: "bird"}, label2id={"cat": 0, "dog": 1, "bird": 2},
    )  # fmt: skip


@pytest.fixture
def peer(tmp_path):
    peer = ViTForImageClassification(config()).eval()
    peer.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return peer


def test_logits_preprocessing_and_names(peer, tmp_path, photos):
    classifier = load_model(f"hf:{tmp_path}")
    mean, std = (torch.tensor(PROCESSOR[k]).view(3, 1, 1) for k in ("image_mean", "image_std"))
    assert torch.allclose(classifier(photos), peer(pixel_values=(photos - mean) / std).logits, atol=1e-5)
    assert classifier.classes == ("cat", "dog", "bird")
    assert (classifier.input_size, classifier.view.interpolation) == ((32, 32), "bicubic")
    check_model(classifier, photos)


def test_a_factor_other_than_1_over_255_is_kept(peer, tmp_path, photos):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**PROCESSOR, "rescale_factor": 1 / 127.5}))
    mean, std = (torch.tensor(PROCESSOR[k]).view(3, 1, 1) for k in ("image_mean", "image_std"))
    by_hand = (photos * 2 - mean) / std
    assert torch.allclose(load_model(f"hf:{tmp_path}")(photos), peer(pixel_values=by_hand).logits, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "changes", "view"),
    [
        ("CLIP", {"size": {"shortest_edge": 40}, "do_center_crop": True, "crop_size": SQUARE}, (32, 32, 40)),
        ("CLIP", {"size": {"shortest_edge": 40}, "do_center_crop": False}, (40, 40, None)),
        ("ConvNext", {"size": {"shortest_edge": 224}, "crop_pct": 0.875}, (224, 224, 256)),
        ("ViT", {"size": {"height": 32, "width": 24}}, (32, 24, None)),
    ],
)  # fmt: skip
def test_views(peer, tmp_path, kind, changes, view):
    record = {**PROCESSOR, **changes, "image_processor_type": f"{kind}ImageProcessor"}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(record))
    found = load_model(f"hf:{tmp_path}").view
    assert (found.height, found.width, found.resize) == view


def test_without_a_processor_the_spec_must_say(peer, tmp_path, photos):
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match=r"without an image processor .*: give mean, std and size"):
        load_model(f"hf:{tmp_path}")
    classifier = load_model(f"hf:{tmp_path}?mean=0.5&std=0.5&size=32")
    assert torch.allclose(classifier(photos), peer(pixel_values=photos * 2 - 1).logits, atol=1e-5)


def test_a_model_without_a_head_is_refused(tmp_path):
    ViTModel(config()).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    with pytest.raises(ModelError, match=r"2 weights are missing from its file \(classifier.bias, classifier.weight\)"):
        load_model(f"hf:{tmp_path}")


def test_damaged_folders(peer, tmp_path):
    (tmp_path / "model.safetensors").write_text("<!doctype html>")
    with pytest.raises(ModelError, match="is an HTML page"):
        load_model(f"hf:{tmp_path}")
    (tmp_path / "model.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{}")
    with pytest.raises(ModelError, match="cannot be loaded by transformers"):
        load_model(f"hf:{tmp_path}")
    (tmp_path / "config.json").unlink()
    with pytest.raises(ModelError, match=r"has no config\.json"):
        load_model(f"hf:{tmp_path}")


def test_code_of_a_repository_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "mine", "auto_map": {
            "AutoConfig": "mine.MineConfig", "AutoModelForImageClassification": "mine.Mine"}})
    )  # fmt: skip
    (tmp_path / "mine.py").write_text("open('ran.txt', 'w').write('x')\n")
    with pytest.raises(ModelError, match="cannot be loaded by transformers"):
        load_model(f"hf:{tmp_path}")
    assert not (tmp_path / "ran.txt").exists()
