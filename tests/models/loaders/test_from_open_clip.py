"""`openclip:` against the formula of zero-shot classification, on a tiny model of random weights."""

import json

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from unshaken.core.errors import ModelError, ParameterError
from unshaken.models import check_model, load_model

CONFIG = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
}


@pytest.fixture(scope="module")
def arch(tmp_path_factory):
    folder = tmp_path_factory.mktemp("arch")
    (folder / "Tiny-Test.json").write_text(json.dumps(CONFIG))
    foreign = CONFIG | {"text_cfg": CONFIG["text_cfg"] | {"hf_tokenizer_name": "no/such-tokenizer"}}
    (folder / "Tiny-Foreign.json").write_text(json.dumps(foreign))
    before = list(open_clip.factory._MODEL_CONFIG_PATHS)
    open_clip.add_model_config(folder)
    yield "Tiny-Test"
    open_clip.factory._MODEL_CONFIG_PATHS[:] = before
    for name in ("Tiny-Test", "Tiny-Foreign"):
        del open_clip.factory._MODEL_CONFIGS[name]


@pytest.fixture
def peer(arch, tmp_path):
    peer = open_clip.create_model(arch).eval()
    save_file(peer.state_dict(), tmp_path / "clip.safetensors")
    (tmp_path / "classes.txt").write_text("cat\nfire truck\nLäufer\n", encoding="utf-8")
    (tmp_path / "templates.txt").write_text("a photo of a {}.\n{} in {} land\n")
    return peer


def by_hand(peer, images, sentences):
    mean = torch.tensor(open_clip.OPENAI_DATASET_MEAN).view(3, 1, 1)
    std = torch.tensor(open_clip.OPENAI_DATASET_STD).view(3, 1, 1)
    with torch.no_grad():
        image = peer.encode_image((images - mean) / std)
        columns = []
        for group in sentences:
            text = peer.encode_text(open_clip.tokenize(group))
            centre = (text / text.norm(dim=1, keepdim=True)).sum(0)
            columns.append(torch.cosine_similarity(image, centre[None]))
        return peer.logit_scale.exp() * torch.stack(columns, 1)


def test_scaled_cosines_with_the_default_template(arch, peer, tmp_path, photos):
    classifier = load_model(f"openclip:{arch}/{tmp_path}/clip.safetensors?classes={tmp_path}/classes.txt")
    sentences = [["a photo of a cat."], ["a photo of a fire truck."], ["a photo of a Läufer."]]
    assert torch.allclose(classifier(photos), by_hand(peer, photos, sentences), atol=1e-4)
    assert classifier.classes == ("cat", "fire truck", "Läufer")
    assert (classifier.input_size, classifier.view.interpolation) == ((32, 32), "bicubic")
    check_model(classifier, photos)


def test_several_templates(arch, peer, tmp_path, photos):
    classifier = load_model(
        f"openclip:{arch}/{tmp_path}/clip.safetensors?classes={tmp_path}/classes.txt&templates={tmp_path}/templates.txt"
    )
    names = ("cat", "fire truck", "Läufer")
    sentences = [[f"a photo of a {n}.", f"{n} in {n} land"] for n in names]
    assert torch.allclose(classifier(photos), by_hand(peer, photos, sentences), atol=1e-4)


def test_gradients_pass(arch, peer, tmp_path, photos):
    classifier = load_model(f"openclip:{arch}/{tmp_path}/clip.safetensors?classes={tmp_path}/classes.txt")
    points = photos.requires_grad_(True)
    (gradient,) = torch.autograd.grad(classifier(points)[:, 0].sum(), points)
    assert gradient.abs().sum() > 0


def test_a_tokenizer_that_is_not_here_is_not_fetched(peer, tmp_path):
    with pytest.raises(ModelError, match="cannot be made by open_clip"):
        load_model(f"openclip:Tiny-Foreign/{tmp_path}/clip.safetensors?classes={tmp_path}/classes.txt")


def test_wrong_input(arch, peer, tmp_path):
    classes = f"classes={tmp_path}/classes.txt"
    (tmp_path / "bad.txt").write_text("a photo\n")
    with pytest.raises(ParameterError, match=r"template 'a photo' has no \{\}"):
        load_model(f"openclip:{arch}/{tmp_path}/clip.safetensors?{classes}&templates={tmp_path}/bad.txt")
    with pytest.raises(ModelError, match="no weights file"):
        load_model(f"openclip:{arch}/{tmp_path}/nope.safetensors?{classes}")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="cannot be made by open_clip"):
        load_model(f"openclip:{arch}/{tmp_path}/other.safetensors?{classes}")
